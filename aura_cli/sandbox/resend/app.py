"""The stand-in's HTTP side: Resend's paths, and the sandbox's own under `/_sandbox`, which ask for no credentials:

GET    /_sandbox/inbox, /_sandbox/inbox/{id}   pages to look at; `/` leads there
GET    /_sandbox/journal                       → {"mails", "requests", "deliveries"}; DELETE forgets requests and deliveries
POST   /_sandbox/limits {"rate", "daily", …}   → how much may be sent; see limits.py. GET as well
POST   /_sandbox/mishaps {"kind", …}           see mishaps.py; GET lists what was ordered, DELETE forgets it
POST   /_sandbox/webhooks {"url", "secret"?, "events"?}   who is told; DELETE: nobody
POST   /_sandbox/domains {"name", "spf"?, "dkim"?}   a domain is registered, or its records found otherwise; GET lists them
POST   /_sandbox/events {"id", "type"}         something becomes of a mail, such as "bounced"
POST   /_sandbox/clock {"advance": seconds}    time moves on: keys expire, quotas begin anew
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aura_cli.sandbox.resend import controls, domains, mailing
from aura_cli.sandbox.resend.delivery import Courier
from aura_cli.sandbox.resend.errors import ResendError, known
from aura_cli.sandbox.resend.state import Entry, ResendState

LARGEST_BODY = 64 << 20
_Handle = Callable[[ResendState, web.Request], Awaitable[web.StreamResponse]]


def make_app(state: ResendState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=[*middlewares, _answer(state)], client_max_size=LARGEST_BODY)
    routes: list[tuple[str, str, _Handle]] = [
        ("POST", "/emails", mailing.send),
        ("POST", "/emails/batch", mailing.send_batch),
        ("GET", "/emails", mailing.list_),
        ("GET", "/emails/{id}", mailing.show),
        ("GET", "/domains", domains.list_),
        ("GET", "/domains/{id}", domains.show),
        *controls.ROUTES,
    ]
    for method, path, handle in routes:
        app.router.add_route(method, path, partial(handle, state))
    app.cleanup_ctx.append(lambda app: _tell(state))
    return app


def error_body(status: int) -> object:
    """What Resend says with a status that the fault middleware makes up."""
    return known("rate_limit_exceeded" if status == 429 else "application_error").body


def _answer(state: ResendState) -> Middleware:
    """Everybody is counted, asked for the key, written into the journal, and gets refusals in Resend's shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox") or request.path == "/":
            return await handler(request)
        entry = Entry(state.now(), request.method, request.path, request.headers.get("Idempotency-Key"))
        state.journal.append(entry)
        request[mailing.ENTRY] = entry
        try:
            state.limits.admit()
            _require_key(state, request)
            answer = await handler(request)
        except ResendError as error:
            answer, entry.error = _refusal(error), error.name
        except web.HTTPException as refused:
            wrong = known("method_not_allowed" if refused.status == 405 else "not_found")
            answer, entry.error = _refusal(wrong), wrong.name
        entry.status = answer.status
        answer.headers.update(state.limits.headers)
        return answer

    return middleware


def _refusal(error: ResendError) -> web.Response:
    return web.Response(body=msgspec.json.encode(error.body), status=error.status, headers=error.headers, content_type="application/json")


def _require_key(state: ResendState, request: web.Request) -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise known("missing_api_key")
    if not hmac.compare_digest(key.strip().encode(), state.api_key.encode()):
        raise ResendError(401, "validation_error", "API key is invalid")


async def _tell(state: ResendState) -> AsyncIterator[None]:
    courier = Courier(state)
    state.on_event = courier.accept
    task = asyncio.create_task(courier.run())
    yield
    state.on_event = None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
