"""OpenAI's stand-in in the hands of a test: scripts are ordered, and what was asked can be looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aura_cli.sandbox.faults import Faults, fault_middleware
from aura_cli.sandbox.openai import OpenAIState, error_body, make_app
from aura_cli.sandbox.openai.scripts import ordered
from tests.parts.loopback import serving


@dataclass
class Assistant:
    """`env` is what leads the program to it; `state` and `faults` may be looked at and changed while it runs."""

    base: str = ""
    state: OpenAIState = field(default_factory=OpenAIState)
    faults: Faults = field(default_factory=Faults)

    @property
    def env(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": self.state.api_key, "OPENAI_BASE_URL": f"{self.base}/v1"}

    def says(self, text: str = "", **script: Any) -> None:
        """Order one answer, or trouble: see aura_cli/sandbox/openai/scripts.py."""
        self.state.scripts += ordered({"text": text, **script})

    @property
    def asked(self) -> list[Any]:
        """The bodies of the requests so far."""
        return [entry.request for entry in self.state.journal]


@contextmanager
def assistant() -> Iterator[Assistant]:
    """A stand-in of its own, on a free loopback port for the length of the block."""
    found = Assistant()
    with serving(make_app(found.state, [fault_middleware(found.faults, error_body)])) as found.base:
        yield found
