"""Vercel's stand-in in the hands of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aura_cli.sandbox.faults import Faults, fault_middleware, fault_routes
from aura_cli.sandbox.vercel import VercelState, error_body, make_app
from tests.parts.loopback import serving


@dataclass
class Deployment:
    """`env` is what leads the program to it; `state` and `faults` may be changed while it runs."""

    base: str = ""
    state: VercelState = field(default_factory=VercelState)
    faults: Faults = field(default_factory=Faults)

    @property
    def env(self) -> dict[str, str]:
        meant = {"VERCEL_PROJECT_ID": self.state.project, "VERCEL_ORG_ID": self.state.team}
        return {**meant, "VERCEL_TOKEN": self.state.token, "VERCEL_API_BASE": self.base}


@contextmanager
def deployed() -> Iterator[Deployment]:
    """A stand-in of its own, on a free loopback port for the length of the block."""
    found = Deployment()
    app = make_app(found.state, [fault_middleware(found.faults, error_body)])
    app.add_routes(fault_routes(found.faults))
    with serving(app) as found.base:
        yield found
