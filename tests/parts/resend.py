"""Resend's stand-in in the hands of a test: trouble is ordered, and what was taken can be looked at."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web
from aiohttp.typedefs import Handler

from aura_cli.sandbox.credentials import RESEND_WEBHOOK_SECRET
from aura_cli.sandbox.faults import Faults, fault_middleware, fault_routes
from aura_cli.sandbox.resend import Endpoint, ResendState, error_body, make_app
from aura_cli.sandbox.resend.mishaps import ordered
from aura_cli.sandbox.resend.state import Mail
from tests.parts.loopback import plain_client, serving


@dataclass
class Post:
    """`env` is what leads the program to it; `state` may be looked at and changed while it runs; `asked` are the paths of all requests."""

    state: ResendState = field(default_factory=ResendState)
    base: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {"RESEND_API_KEY": self.state.api_key, "RESEND_API_URL": self.base, "RESEND_WEBHOOK_SECRET": RESEND_WEBHOOK_SECRET}

    @property
    def faults(self) -> Faults:
        return self.state.faults

    @property
    def mails(self) -> list[Mail]:
        """What was taken so far, oldest first."""
        return list(self.state.mails.values())

    def suffers(self, kind: str, **more: Any) -> None:
        """Order trouble for the next sendings: see aura_cli/sandbox/resend/mishaps.py."""
        self.state.mishaps.append(ordered({"kind": kind, **more}))

    def tells(self, url: str) -> None:
        """Webhooks go to `url` from now on."""
        self.state.endpoints.append(Endpoint(url, RESEND_WEBHOOK_SECRET))

    def call(self, method: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One request with the right key."""
        own = {"Authorization": f"Bearer {self.state.api_key}", **(headers or {})}
        with plain_client(base_url=self.base, timeout=10) as http:
            return http.request(method, path, json=json, headers=own)


@contextmanager
def post(**about: Any) -> Iterator[Post]:
    """A stand-in of its own, on a free loopback port for the length of the block; `about` is of its ResendState."""
    found = Post(ResendState(**about))

    @web.middleware
    async def noting(request: web.Request, handler: Handler) -> web.StreamResponse:
        found.asked.append(request.path)
        return await handler(request)

    app = make_app(found.state, [noting, fault_middleware(found.faults, error_body)])
    app.add_routes(fault_routes(found.faults))
    with serving(app) as found.base:
        yield found
