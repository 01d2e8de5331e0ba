"""What the stand-in knows: its key, its models, the scripts that are still to be played, and who asked what."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from aura_cli.sandbox.credentials import OPENAI_API_KEY
from aura_cli.sandbox.openai.scripts import Script

KEPT = 1_000  # requests


@dataclass(frozen=True)
class Model:
    """One model (https://platform.openai.com/docs/models). Sizes are tokens; a request for it is answered under its dated name."""

    dated: str
    context: int
    most: int  # that an answer may have
    reasons: bool = False  # takes max_completion_tokens, and no temperature


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "gpt-4o-mini": Model("gpt-4o-mini-2024-07-18", 128_000, 16_384),
        "gpt-4o": Model("gpt-4o-2024-08-06", 128_000, 16_384),
        "gpt-4.1-mini": Model("gpt-4.1-mini-2025-04-14", 1_047_576, 32_768),
        "o4-mini": Model("o4-mini-2025-04-16", 200_000, 100_000, reasons=True),
    }
)


@dataclass
class Entry:
    """One request as the journal has it. `status` is None while it is under way."""

    at: float  # epoch seconds
    path: str
    retry: int  # how often the client had tried before, by its own count
    request: Any = None  # the JSON of its body
    script: bool = False  # whether a script answered
    status: int | None = None
    chunks: int = 0  # of a stream, that were sent
    ended: str = ""  # complete, cut (by us) or left (the client did not wait for all of it)


@dataclass
class OpenAIState:
    """One account; `clock` gives epoch seconds."""

    api_key: str = OPENAI_API_KEY
    models: dict[str, Model] = field(default_factory=lambda: dict(MODELS))
    clock: Callable[[], float] = time.time
    scripts: list[Script] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list)
    asked: int = 0

    def note(self, entry: Entry) -> None:
        """Take a request into the journal, which keeps the newest."""
        self.asked += 1
        self.journal.append(entry)
        del self.journal[:-KEPT]

    def model(self, name: str) -> Model | None:
        """By its usual or its dated name."""
        return self.models.get(name) or next((one for one in self.models.values() if one.dated == name), None)

    def script(self, said: str) -> Script | None:
        """The script for a request whose last message is `said`; one that was played as often as it was to be is gone."""
        found = next((one for one in self.scripts if one.match in said), None)
        if found and found.times:
            found.times -= 1
            if not found.times:
                self.scripts.remove(found)
        return found
