"""The assistant's model: OpenAI, or OpenRouter where its key is set, as the web app has it; one answer, streamed.

What is spoken is one request and its server-sent events (https://platform.openai.com/docs/api-reference/chat-streaming), over the house's
own transport: OpenAI's library takes longer to import than a command has until the first word. The tests hold this reading against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aura_cli.errors import ServiceError
from aura_cli.settings import Settings

if TYPE_CHECKING:
    from aura_cli.transport import Service

DEFAULT = "gpt-4o-mini"
MAX_TOKENS = 1000
TEMPERATURE = 0.7
TIMEOUT = 120.0  # seconds without a byte: a model that reasons says nothing for a minute and more
ATTEMPTS = 3
LONGEST_WAIT = 20.0  # seconds: whoever sits there waits no longer, and a job gets its answer
MOST_TOKENS = 1 << 31  # as many as a column holds: more is no count
DIGITS = 20  # before or behind the point: an amount with more is none
_HALVES = re.compile("[\ud800-\udfff]")
_OPENAI = ("OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1")
_OPENROUTER = ("OpenRouter", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1")


@dataclass(frozen=True)
class Said:
    """One message as a model gets it."""

    role: str
    content: str


@dataclass(frozen=True)
class Wish:
    """What is asked of a model. `reasons`: it thinks first, takes no temperature and counts its thoughts among its tokens."""

    model: str = DEFAULT
    max_tokens: int = MAX_TOKENS
    temperature: float | None = TEMPERATURE
    reasons: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens by the service's own count; cached ones are among the input, reasoning among the output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int


@dataclass
class Reply:
    """What has come of an answer so far. `finish`: why the model ended; None: it has not. `cost`: US dollars, where the service says."""

    parts: list[str] = field(default_factory=list)
    model: str | None = None
    finish: str | None = None
    usage: Usage | None = None
    cost: Decimal | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True)
class Model:
    """The way to a model. `routed`: OpenRouter, which names models with their vendor."""

    service: Service
    routed: bool

    def answer(self, messages: Sequence[Said], wish: Wish, reply: Reply, waiting: Callable[[float, str], None]) -> Iterator[str]:
        """The answer's text, piece by piece, as it comes; `reply` is filled alongside.

        Raises as `Service.lines` does; ServiceError for a stream that tells of an error, cannot be read, or ends without an end.
        """
        request = _request(messages, wish, routed=self.routed)
        how = {"attempts": ATTEMPTS, "longest_wait": LONGEST_WAIT, "final": _useless, "waiting": waiting}
        half = ""
        with self.service.lines("chat/completions", request, **how) as lines:  # type: ignore[arg-type]
            for event in _events(lines):
                if event == "[DONE]":
                    break
                text, half = _whole(half + _take(self._read(event), reply))
                if text:
                    reply.parts.append(text)
                    yield text
        if reply.finish is None:
            raise ServiceError(f"{self.service.name}: the answer ended without an end")

    def _read(self, event: str) -> Mapping[str, Any]:
        try:
            chunk = json.loads(event, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError):  # no JSON, a number beyond all numbers, a nest too deep
            raise ServiceError(f"{self.service.name}: a part of the answer cannot be read: {event[:80]!a}") from None
        if not isinstance(chunk, dict):
            raise ServiceError(f"{self.service.name}: a part of the answer is none: {event[:80]!a}")
        if error := chunk.get("error"):
            said = error.get("message") if isinstance(error, dict) else error
            raise ServiceError(f"{self.service.name} broke the answer off: {str(said)[:300]}")
        return chunk


def model_of(settings: Settings, timeout: float = TIMEOUT) -> Model | None:
    """The model that is configured; None without a key. Use its `service` as a context manager."""
    routed = settings.secret("OPENROUTER_API_KEY") is not None
    name, key, base, usual = _OPENROUTER if routed else _OPENAI
    secret = settings.secret(key)
    if secret is None:
        return None
    from aura_cli.transport import Rate, Service

    headers = {"Authorization": f"Bearer {secret.reveal().strip()}"}
    return Model(Service(name, settings.get(base) or usual, headers, Rate(0), _described, timeout), routed)


def _request(messages: Sequence[Said], wish: Wish, *, routed: bool) -> dict[str, Any]:
    """Models that reason refuse `max_tokens` and a temperature (https://platform.openai.com/docs/guides/reasoning)."""
    name = f"openai/{wish.model}" if routed and "/" not in wish.model else wish.model
    request: dict[str, Any] = {"model": name, "messages": [{"role": one.role, "content": one.content} for one in messages]}
    request["max_completion_tokens" if wish.reasons else "max_tokens"] = wish.max_tokens
    if wish.temperature is not None and not wish.reasons:
        request["temperature"] = wish.temperature
    return request | {"stream": True, "stream_options": {"include_usage": True}}


def _events(lines: Iterator[bytes]) -> Iterator[str]:
    """The data of each event (https://html.spec.whatwg.org/multipage/server-sent-events.html); comments keep the line open."""
    data: list[str] = []
    for line in lines:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" ").decode(errors="replace"))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _take(chunk: Mapping[str, Any], reply: Reply) -> str:
    """Note what a chunk says beside its text, and return that."""
    if isinstance(model := chunk.get("model"), str) and model:
        reply.model = model
    if isinstance(usage := chunk.get("usage"), dict):
        reply.usage, reply.cost = _usage(usage), _cost(usage.get("cost"))
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if finish := choice.get("finish_reason"):
        reply.finish = str(finish)
    delta = choice.get("delta")
    said = (delta.get("content") or delta.get("refusal")) if isinstance(delta, dict) else None
    return said if isinstance(said, str) else ""


def _whole(text: str) -> tuple[str, str]:
    """Text whose characters are whole, and what its last one may lack: half of a pair, where a service has cut between two."""
    if not _HALVES.search(text):
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    return text.removesuffix(half).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half


def _usage(told: Mapping[str, Any]) -> Usage | None:
    def count(place: object, name: str) -> int:
        value = place.get(name) if isinstance(place, dict) else None
        return value if isinstance(value, int) and 0 <= value < MOST_TOKENS else 0

    if not isinstance(told.get("prompt_tokens"), int) or not isinstance(told.get("completion_tokens"), int):
        return None
    cached = count(told.get("prompt_tokens_details"), "cached_tokens")
    reasoning = count(told.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(count(told, "prompt_tokens"), count(told, "completion_tokens"), cached, reasoning)


def _cost(told: object) -> Decimal | None:
    if not isinstance(told, Decimal | int) or isinstance(told, bool):
        return None
    amount = Decimal(told)
    return amount if amount.is_finite() and abs(amount.adjusted()) < DIGITS else None


def _described(body: bytes) -> str:
    error = _error(body)
    return str(error.get("message") or "")


def _useless(body: bytes) -> bool:
    """An account without credit does not get some by waiting."""
    return _error(body).get("code") == "insufficient_quota"


def _error(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = told.get("error") if isinstance(told, dict) else None
    return error if isinstance(error, dict) else {}
