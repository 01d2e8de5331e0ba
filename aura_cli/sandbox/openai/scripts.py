"""What is to be answered, and what is to go wrong, ordered by `POST /_sandbox/scripts` with a `Script` or a list of them as JSON.

Scripts are played in the order in which they came, each for the next request whose last message contains its `match`.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]


class Trouble(StrEnum):
    """What happens to an answer with status 200. A stream has had `after` chunks of text by then."""

    CUT = "cut"  # the connection ends in the middle of the body
    SHORT = "short"  # the body ends properly, but nothing says that the answer is finished
    NOT_JSON = "not_json"  # a chunk, or the whole answer, cannot be read
    ERROR = "error"  # a stream tells of an error of the server; any other answer is one
    SILENCE = "silence"  # nothing more comes, and the connection stays open


class Script(msgspec.Struct, forbid_unknown_fields=True):
    """One answer, sent as it is: no limit of the request cuts it."""

    text: str = ""
    repeat: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1  # the text so many times
    match: str = ""
    times: _Count = 1  # how many requests it answers; 0: all
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200  # any other than 200 is an error in OpenAI's shape
    code: str = ""  # of an error; insufficient_quota is another 429 than usual
    retry_after: float | str | None = None  # seconds, or a date (RFC 9110 §10.2.3)
    finish_reason: str = "stop"
    delay: _Seconds = 0.0  # before anything is sent
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # chunks of text a second; 0: as fast as they can be read
    chunk: _Count = 0  # characters in each; 0: a token
    trouble: Trouble | None = None
    after: _Count = 3
    cached_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    usage: bool = True  # False: OpenAI says nothing of tokens


def ordered(document: Any) -> list[Script]:
    """Scripts out of the JSON that orders them. Raises ValueError."""
    try:
        return msgspec.convert(document if isinstance(document, list) else [document], list[Script])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
