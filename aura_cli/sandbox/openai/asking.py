"""What may be asked: the parameters of a chat completion that the stand-in knows, judged as OpenAI judges them.

https://platform.openai.com/docs/api-reference/chat/create
"""

import re
from typing import Annotated, Any, Literal

import msgspec

from aura_cli.sandbox.openai.answers import tokens
from aura_cli.sandbox.openai.errors import OpenAIError, no_such_model, too_long
from aura_cli.sandbox.openai.state import Model, OpenAIState

_Some = Annotated[int, msgspec.Meta(ge=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
A_MESSAGE, AN_ANSWER = 3, 3  # tokens that a message costs beside its text, and the beginning of an answer


class Part(msgspec.Struct):
    type: Literal["text"]
    text: str


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(msgspec.Struct):
    include_usage: bool = False
    include_obfuscation: bool = False


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body. What the stand-in would have to ignore (tools, formats, sound) it does not know."""

    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: _Some | None = None
    max_completion_tokens: _Some | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None

    @property
    def said(self) -> str:
        """The last message."""
        return self.messages[-1].text

    @property
    def tokens(self) -> int:
        """What the messages cost (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken)."""
        return sum(A_MESSAGE + tokens(one.text) for one in self.messages) + AN_ANSWER

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


def read(document: Any) -> Asked:
    """A request's JSON. Raises OpenAIError 400."""
    try:
        return msgspec.convert(document, Asked)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from None


def _refused(why: str) -> OpenAIError:
    """msgspec's words in OpenAI's."""
    what, _, place = why.partition(" - at `$")
    param = place.strip("`.") or None
    if unknown := re.match(r"Object contains unknown field `(.+)`", what):
        return OpenAIError(400, f"Unrecognized request argument supplied: {unknown[1]}")
    if missing := re.match(r"Object missing required field `(.+)`", what):
        name = f"{param}.{missing[1]}" if param else missing[1]
        return OpenAIError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    code = "invalid_type" if ", got `" in what else "invalid_value"
    return OpenAIError(400, f"Invalid value for '{param or 'body'}': {what.replace('`', '')}.", param=param, code=code)


def judge(state: OpenAIState, asked: Asked, spent: int) -> Model:
    """The model that is to answer messages of `spent` tokens. Raises OpenAIError where it cannot be asked this way."""
    model = state.model(asked.model)
    if model is None:
        raise no_such_model(asked.model)
    if asked.stream_options and not asked.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise OpenAIError(400, message, param="stream_options")
    if model.reasons and asked.max_tokens:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        raise OpenAIError(400, message, param="max_tokens", code="unsupported_parameter")
    if model.reasons and asked.temperature not in (None, 1):
        message = "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported."
        raise OpenAIError(400, message, param="temperature", code="unsupported_value")
    wanted = asked.max_completion_tokens or asked.max_tokens or 0
    if wanted > model.most:
        message = f"max_tokens is too large: {wanted}. This model supports at most {model.most} completion tokens."
        raise OpenAIError(400, message, param="max_tokens", code="invalid_value")
    if spent + wanted > model.context:
        raise too_long(model.context, spent)
    return model
