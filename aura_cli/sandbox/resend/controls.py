"""The sandbox's own paths: look at mails, order trouble, move time on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from aiohttp import web

from aura_cli.sandbox.credentials import RESEND_WEBHOOK_SECRET
from aura_cli.sandbox.resend import domains, mishaps, pages
from aura_cli.sandbox.resend.events import KINDS, happen
from aura_cli.sandbox.resend.state import Endpoint, Mail, ResendState
from aura_cli.settings import leads_here

SHOWN = 200  # mails on the inbox page
_WHOLE = ("rate", "daily", "monthly")
_LIMITS = (*_WHOLE, "work")


async def _home(state: ResendState, request: web.Request) -> web.Response:
    del state, request
    raise web.HTTPFound("/_sandbox/inbox")


async def _inbox(state: ResendState, request: web.Request) -> web.Response:
    del request
    newest = [mail for mail, _ in zip(reversed(state.mails.values()), range(SHOWN), strict=False)]
    return _page(pages.inbox(newest, len(state.mails)))


async def _open(state: ResendState, request: web.Request) -> web.Response:
    mail = state.mails.get(request.match_info["id"])
    return _page(pages.mail(mail)) if mail else _page(pages.nothing(), 404)


async def _journal(state: ResendState, request: web.Request) -> web.Response:
    del request
    mails = [_noted(mail) for mail in state.mails.values()]
    return _json({"mails": mails, "requests": [asdict(one) for one in state.journal], "deliveries": list(map(asdict, state.deliveries))})


async def _forget_journal(state: ResendState, request: web.Request) -> web.Response:
    del request
    state.journal.clear()
    state.deliveries.clear()
    return web.Response(status=204)


async def _limits(state: ResendState, request: web.Request) -> web.Response:
    if request.method == "POST":
        for name, value in (await _object(request)).items():
            number = name in _LIMITS and isinstance(value, int if name in _WHOLE else int | float) and not isinstance(value, bool)
            if not number or value < 0:
                raise _wrong(f"{name}: {value!r}; there are {', '.join(_LIMITS)}, numbers from 0 on")
            setattr(state.limits, name, value)
    return _json({name: getattr(state.limits, name) for name in _LIMITS})


async def _mishaps(state: ResendState, request: web.Request) -> web.Response:
    if request.method == "POST":
        try:
            state.mishaps.append(mishaps.ordered(await _object(request)))
        except ValueError as error:
            raise _wrong(str(error)) from None
    elif request.method == "DELETE":
        state.mishaps.clear()
    return _json(state.mishaps)


async def _webhooks(state: ResendState, request: web.Request) -> web.Response:
    if request.method == "POST":
        wanted = await _object(request)
        url, secret, events = wanted.get("url"), wanted.get("secret", RESEND_WEBHOOK_SECRET), wanted.get("events", [])
        if not isinstance(url, str) or not leads_here(url) or not isinstance(secret, str) or not isinstance(events, list):
            raise _wrong("`url` is an address on this machine, `secret` a text, `events` a list")
        state.endpoints.append(Endpoint(url, secret, tuple(events)))
    elif request.method == "DELETE":
        state.endpoints.clear()
    return _json([{"url": one.url, "events": one.events} for one in state.endpoints])


async def _domains(state: ResendState, request: web.Request) -> web.Response:
    if request.method == "POST":
        try:
            domains.change(state, await _object(request))
        except ValueError as error:
            raise _wrong(str(error)) from None
    return _json(state.registered)


async def _events(state: ResendState, request: web.Request) -> web.Response:
    wanted = await _object(request)
    mail, kind = state.mails.get(wanted.get("id", "")), wanted.get("type")
    if mail is None or kind not in KINDS:
        raise _wrong(f"`id` is a mail's, `type` one of {', '.join(KINDS)}")
    return _json({"id": happen(state, mail, kind).id})


async def _clock(state: ResendState, request: web.Request) -> web.Response:
    seconds = (await _object(request)).get("advance")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise _wrong("`advance` is a number of seconds")
    state.ahead += seconds
    return _json({"now": state.now()})


def _noted(mail: Mail) -> dict[str, Any]:
    message = mail.message
    return {
        "id": mail.id,
        "to": list(message.to),
        "subject": message.subject,
        "at": mail.created,
        "key": mail.key,
        "last_event": mail.last_event,
        "tags": dict(message.tags),
    }


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.DecodeError:
        raise _wrong("a JSON object is expected") from None


def _wrong(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=msgspec.json.encode({"error": message}).decode(), content_type="application/json")


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(body=html.encode(), status=status, headers=pages.HEADERS)


ROUTES: Sequence[tuple[str, str, Callable[[ResendState, web.Request], Awaitable[web.Response]]]] = (
    ("GET", "/", _home),
    ("GET", "/_sandbox/inbox", _inbox),
    ("GET", "/_sandbox/inbox/{id}", _open),
    ("GET", "/_sandbox/journal", _journal),
    ("DELETE", "/_sandbox/journal", _forget_journal),
    ("GET", "/_sandbox/limits", _limits),
    ("POST", "/_sandbox/limits", _limits),
    ("GET", "/_sandbox/mishaps", _mishaps),
    ("POST", "/_sandbox/mishaps", _mishaps),
    ("DELETE", "/_sandbox/mishaps", _mishaps),
    ("GET", "/_sandbox/webhooks", _webhooks),
    ("POST", "/_sandbox/webhooks", _webhooks),
    ("DELETE", "/_sandbox/webhooks", _webhooks),
    ("GET", "/_sandbox/domains", _domains),
    ("POST", "/_sandbox/domains", _domains),
    ("POST", "/_sandbox/events", _events),
    ("POST", "/_sandbox/clock", _clock),
)
