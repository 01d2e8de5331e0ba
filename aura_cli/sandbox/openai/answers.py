"""What is answered: the text, what it costs, and OpenAI's shapes of both (https://platform.openai.com/docs/api-reference/chat/object)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aura_cli.sandbox.openai.scripts import Script

_TOKEN = re.compile(r"\s*\S{1,6}|\s+")


def pieces(text: str, size: int = 0) -> list[str]:
    """`text` in tokens, such as the stand-in has them, or in pieces of `size` characters."""
    return [text[place : place + size] for place in range(0, len(text), size)] if size else _TOKEN.findall(text)


def tokens(text: str) -> int:
    """How many tokens it has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def usual(model: str, said: str, messages: int, read: int) -> str:
    """What the stand-in says when nothing is scripted: what it was asked, and that it is no model."""
    quoted = " ".join(said.split())
    return (
        f"You said: **{quoted if len(quoted) <= 200 else quoted[:199] + '…'}**\n\n"
        f"This is the sandbox's stand-in of `{model}`. It has read {messages} message{'s' if messages > 1 else ''} "
        f"({read:,} tokens) and understood none of them:\n\n"
        "- nothing was sent to OpenAI, and nothing is charged;\n"
        "- other answers, and trouble, can be ordered with `POST /_sandbox/scripts`.\n"
    )


@dataclass(frozen=True)
class Answer:
    """One answer as it is to be sent: `model` is the dated name, `read` the tokens of the request."""

    id: str
    created: int
    model: str
    parts: list[str]
    finish_reason: str
    read: int
    script: Script

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def usage(self) -> dict[str, Any] | None:
        if not self.script.usage:
            return None
        written = tokens(self.text) + self.script.reasoning_tokens
        return {
            "prompt_tokens": self.read,
            "completion_tokens": written,
            "total_tokens": self.read + written,
            "prompt_tokens_details": {"cached_tokens": self.script.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.script.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self) -> dict[str, Any]:
        """The answer at once."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        usage = {"usage": self.usage} if self.script.usage else {}
        return {**self._shell("chat.completion"), "choices": [choice], **usage}

    def opening(self, *, with_usage: bool) -> dict[str, Any]:
        """The chunk that begins a stream."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, with_usage=with_usage)

    def chunks(self, *, with_usage: bool) -> Iterator[dict[str, Any]]:
        """The chunks with the text."""
        for part in self.parts:
            yield self._chunk({"content": part}, with_usage=with_usage)

    def closing(self, *, with_usage: bool) -> Iterator[dict[str, Any]]:
        """Why it ended, and what it cost where that was asked for."""
        yield self._chunk({}, self.finish_reason, with_usage=with_usage)
        if with_usage and self.script.usage:
            yield {**self._shell("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, *, with_usage: bool) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._shell("chat.completion.chunk"), "choices": [choice], **({"usage": None} if with_usage else {})}

    def _shell(self, kind: str) -> dict[str, Any]:
        shell = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**shell, "service_tier": "default", "system_fingerprint": "fp_sandbox0000"}
