"""The stand-in over HTTP: authentication, rate limits, parameters, idempotency, and Stripe's answers."""

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from aura_cli.sandbox.stripe import forms, params
from aura_cli.sandbox.stripe.delivery import Courier
from aura_cli.sandbox.stripe.errors import ApiError
from aura_cli.sandbox.stripe.expand import expand
from aura_cli.sandbox.stripe.idempotency import Answered
from aura_cli.sandbox.stripe.pages import Page
from aura_cli.sandbox.stripe.render import Renderer
from aura_cli.sandbox.stripe.routes import ROUTES
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route
from aura_cli.sandbox.stripe.shapes import JSON
from aura_cli.sandbox.stripe.state import StripeState

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
LARGEST_BODY = 1 << 20
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z_]+)?")


def make_app(state: StripeState, middlewares: Sequence[Any] = ()) -> web.Application:
    """The application, to be served on loopback; `middlewares` (aiohttp's) see each request first, and may spoil it."""
    app = web.Application(middlewares=[*middlewares, _answer_errors], client_max_size=LARGEST_BODY)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(state, route))
    app.cleanup_ctx.append(lambda app: _deliver(state))
    return app


async def _deliver(state: StripeState) -> AsyncIterator[None]:
    courier = Courier(state)
    state.on_event = courier.accept
    task = asyncio.create_task(courier.run())
    yield
    state.on_event = None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@web.middleware
async def _answer_errors(request: web.Request, handler: Handle) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return _response(msgspec.json.encode(error.body), error.status, error.headers)
    except web.HTTPException as refused:
        message = f"Unrecognized request URL ({request.method}: {request.path})." if refused.status == 404 else refused.reason
        return _response(msgspec.json.encode(ApiError(refused.status, message).body), refused.status)


def _response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _handler(state: StripeState, route: Route) -> Handle:
    endpoint = f"{route.method} {route.path}"
    sandbox = route.path.startswith("/_sandbox")

    async def handle(request: web.Request) -> web.Response:
        text = (await request.read()).decode(errors="replace")
        _authenticate(state, request)
        if not sandbox:
            state.limiter.admit(endpoint)
        identifier = state.mint.new("req")
        version = _version(state, request)
        headers = {"Request-Id": identifier, "Stripe-Version": version}
        key = request.headers.get("Idempotency-Key", "") if route.method == "POST" else ""
        fingerprint = hashlib.sha256(f"{endpoint} {request.path_qs}\n{text}".encode()).hexdigest()
        if key:
            headers["Idempotency-Key"] = key
            answered = state.keys.replay(key, fingerprint, state.now())
            if answered is not None:
                return _response(answered.body, headers={**headers, "Request-Id": answered.request, "Idempotent-Replayed": "true"})
        state.origin = None if sandbox else (identifier, key or None)
        as_json = sandbox and request.content_type == "application/json"
        given = forms.from_json(text) if as_json else forms.parse(request.query_string, text)
        body = msgspec.json.encode(_run(state, route, request, given, version))
        if key:
            state.keys.keep(key, Answered(fingerprint, state.now(), body, identifier))
        return _response(body, headers=headers)

    return handle


def _run(state: StripeState, route: Route, request: web.Request, raw: dict[str, Any], version: str) -> JSON:
    paths = params.texts("expand", raw.pop("expand", []))
    call = Call(state, request.match_info.get("id", ""), params.read(raw, route.fields, route.required))
    render = Renderer(state, version)
    return expand(_rendered(route.handler(call), render, request.path), paths, render)


def _rendered(answer: Answer, render: Renderer, path: str) -> JSON:
    if isinstance(answer, dict):
        return answer
    if not isinstance(answer, Page):
        return render(answer)
    data = [render(record) for record in answer.records]
    if path.endswith("/search"):
        return {"object": "search_result", "data": data, "has_more": answer.has_more, "next_page": answer.next_page, "url": path}
    return {"object": "list", "data": data, "has_more": answer.has_more, "url": path}


def _version(state: StripeState, request: web.Request) -> str:
    version = request.headers.get("Stripe-Version", state.api_version)
    if not _VERSION.fullmatch(version):
        raise ApiError(400, f"Invalid Stripe API version: {version}")
    return version


def _authenticate(state: StripeState, request: web.Request) -> None:
    """Bearer, or Basic with the key as the user's name. Raises ApiError 401."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            credential = base64.b64decode(credential).decode().partition(":")[0]
    if not credential.strip():
        message = "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth."
        raise ApiError(401, message)
    if not credential.strip().startswith(state.key_prefixes):
        shown = f"{credential[:3]}{'*' * 8}{credential[-4:]}"
        raise ApiError(401, f"Invalid API Key provided: {shown}")
