"""Google Analytics' stand-in in the hands of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aura_cli.sandbox.analytics import AnalyticsState, error_body, make_app
from aura_cli.sandbox.faults import Faults, fault_middleware, fault_routes
from tests.parts.loopback import serving


@dataclass
class Property:
    """`env` is what leads the program to it; `faults` may be changed while it runs."""

    base: str = ""
    state: AnalyticsState = field(default_factory=AnalyticsState)
    faults: Faults = field(default_factory=Faults)

    @property
    def env(self) -> dict[str, str]:
        known = {"NEXT_PUBLIC_GA_MEASUREMENT_ID": self.state.measurement_id, "GA_API_SECRET": self.state.api_secret}
        return {**known, "GA_API_BASE": self.base}

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and parameters of every event that counts, oldest first."""
        bodies = [entry["body"] for entry in self.state.journal if not entry["problems"]]
        return [(event["name"], event["params"]) for body in bodies for event in body["events"]]


@contextmanager
def collecting() -> Iterator[Property]:
    """A stand-in of its own, on a free loopback port for the length of the block."""
    found = Property()
    app = make_app(found.state, [fault_middleware(found.faults, error_body)])
    app.add_routes(fault_routes(found.faults))
    with serving(app) as found.base:
        yield found
