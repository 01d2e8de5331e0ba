"""The stand-in's HTTP side: the Measurement Protocol's two addresses, and the sandbox's own, which ask for nothing.

POST   /mp/collect        → 204, whatever came, as Google does; what it would drop is in the journal with the reasons
POST   /debug/mp/collect  → `{"validationMessages": […]}`; nothing is kept
GET    /_sandbox/journal  → the requests that were taken: when, measurement id, body, problems. DELETE forgets them
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from aura_cli.analytics.rules import Code, Problem, problems
from aura_cli.sandbox.credentials import GA_API_SECRET, GA_MEASUREMENT_ID


@dataclass
class AnalyticsState:
    """One property, and the requests that came for it. `clock` gives epoch seconds."""

    measurement_id: str = GA_MEASUREMENT_ID
    api_secret: str = GA_API_SECRET
    clock: Callable[[], float] = time.time
    journal: list[dict[str, Any]] = field(default_factory=list)


def make_app(state: AnalyticsState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=middlewares)
    app.router.add_post("/mp/collect", partial(_collect, state))
    app.router.add_post("/debug/mp/collect", partial(_validate, state))
    app.router.add_get("/_sandbox/journal", partial(_journal, state))
    app.router.add_delete("/_sandbox/journal", partial(_forget, state))
    return app


def error_body(status: int) -> object:
    """What comes with a status that the fault middleware makes up: Google describes none."""
    return {"error": {"code": status}}


async def _collect(state: AnalyticsState, request: web.Request) -> web.Response:
    body = await _body(request)
    found = [*_of_credentials(state, request), *_of_body(body)]
    wrong = [one.what for one in found]
    state.journal.append({"at": state.clock(), "measurement_id": request.query.get("measurement_id"), "body": body, "problems": wrong})
    return web.Response(status=204)


async def _validate(state: AnalyticsState, request: web.Request) -> web.Response:
    """It looks at neither the measurement id nor the secret, as Google's does not."""
    del state
    found = _of_body(await _body(request))
    messages = [{"fieldPath": one.path, "description": one.what, "validationCode": one.code} for one in found]
    return web.json_response({"validationMessages": messages})


async def _journal(state: AnalyticsState, request: web.Request) -> web.Response:
    del request
    return web.json_response(state.journal)


async def _forget(state: AnalyticsState, request: web.Request) -> web.Response:
    del request
    state.journal.clear()
    return web.Response(status=204)


def _of_credentials(state: AnalyticsState, request: web.Request) -> list[Problem]:
    known = {"measurement_id": state.measurement_id, "api_secret": state.api_secret}
    return [
        Problem(name, f"The {name} is unknown.", Code.VALUE_INVALID) for name, value in known.items() if request.query.get(name) != value
    ]


def _of_body(body: object) -> list[Problem]:
    if not isinstance(body, dict):
        return [Problem("", "The request's body is no JSON object.", Code.VALUE_INVALID)]
    return list(problems(body))


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        return None
