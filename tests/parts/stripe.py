"""Stripe's stand-in in the hands of a test: what was asked is kept, and every answer can be edited on its way out."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from aura_cli.sandbox import stripe
from aura_cli.sandbox.faults import Faults, fault_middleware
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.stripe.errors import ApiError, rate_limited
from tests.parts.loopback import serving


@dataclass(frozen=True)
class Asked:
    """One request: its path and the parameters of its query."""

    path: str
    query: dict[str, str]


Edit = Callable[[Asked, Any], Any]


@dataclass
class StandIn:
    """`edit` gets each request and the JSON of its answer, and gives what is sent instead: JSON, or bytes as they are.

    `state` may be looked at and changed while no request is under way.
    """

    state: stripe.StripeState
    faults: Faults
    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    edit: Edit = lambda asked, answer: answer

    def count(self) -> Counter[str]:
        """How often each kind of thing was asked for, such as `subscriptions` or `customers/…`."""
        parts = (one.path.removeprefix("/v1/").split("/") for one in self.asked)
        return Counter(part[0] if len(part) == 1 else f"{part[0]}/…" if part[0] != "checkout" else "sessions" for part in parts)

    def edit_each(self, path: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change every object that the list at `path`, or a path below it, answers with."""

        def edit(asked: Asked, answer: Any) -> Any:
            if asked.path.startswith(path) and "error" not in answer:
                for one in answer.get("data", [answer]):
                    change(one)
            return answer

        self.edit = edit


@contextmanager
def stand_in(population: Population, faults: Faults | None = None) -> Iterator[StandIn]:
    """A stand-in that knows `population`, on a free loopback port for as long as the block lasts."""
    faults = faults or Faults()
    state = stripe.StripeState(population.now, seed=population.seed, faults=faults)
    stripe.seed(state, population)
    found = StandIn(state, faults)
    app = stripe.make_app(state, [fault_middleware(faults, _error), _watched(found)])
    with serving(app) as found.base:
        yield found


def _watched(found: StandIn) -> Any:
    @web.middleware
    async def watched(request: web.Request, handler: Any) -> web.StreamResponse:
        asked = Asked(request.path, dict(request.query))
        found.asked.append(asked)
        answer: web.Response = await handler(request)
        edited = found.edit(asked, json.loads(answer.body or b"null"))  # type: ignore[arg-type]
        body = edited if isinstance(edited, bytes) else json.dumps(edited).encode()
        return web.Response(body=body, status=answer.status, content_type="application/json")

    return watched


def _error(status: int) -> object:
    return (
        rate_limited("global-rate", 1).body if status == 429 else ApiError(status, "An unexpected error occurred.", kind="api_error").body
    )
