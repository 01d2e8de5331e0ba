"""Trouble that can be ordered for single sendings: `POST /_sandbox/mishaps` with a `Mishap` as a JSON object.

`kind` is the name of one of Resend's errors, or one of

    html      a proxy's page instead of an answer (502)
    not_json  200, and no JSON
    cut       the connection breaks off before the answer
    silent    no answer for `seconds` (the client gives up first)

The mails of these four, and with `done` those of an error too, are taken all the same: the client cannot know.
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from aura_cli.sandbox.resend.errors import NAMES, known
from aura_cli.sandbox.resend.state import Mishap

_UNTOLD = frozenset({"html", "not_json", "cut", "silent"})
_LONGEST = 120.0  # seconds
_PAGE = "<!doctype html><html><title>502</title><h1>Bad gateway</h1></html>"


def ordered(document: Any) -> Mishap:
    """A mishap out of the JSON that orders it. Raises ValueError."""
    try:
        found = msgspec.convert(document, Mishap)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind not in NAMES | _UNTOLD:
        raise ValueError(f"{found.kind}: unknown; there are {', '.join(sorted(NAMES | _UNTOLD))}")
    if found.times < 1 or not 0 <= found.seconds <= _LONGEST:
        raise ValueError(f"`times` is at least 1, `seconds` between 0 and {_LONGEST:g}")
    return found


def instead(mishap: Mishap | None) -> None:
    """Raise the error that comes instead of what was asked for, where one was ordered."""
    if mishap and mishap.kind in NAMES and not mishap.done:
        raise _error(mishap)


async def afterwards(request: web.Request, mishap: Mishap | None, answer: web.Response) -> web.Response:
    """What becomes of a good answer. Raises ResendError."""
    if not mishap:
        return answer
    if mishap.kind in NAMES:
        raise _error(mishap)
    if mishap.kind == "silent":
        await asyncio.sleep(mishap.seconds or _LONGEST)
    if mishap.kind in ("cut", "silent") and request.transport:
        request.transport.abort()
    if mishap.kind == "html":
        return web.Response(text=_PAGE, content_type="text/html", status=502)
    return web.Response(text="OK", content_type="application/json") if mishap.kind == "not_json" else answer


def _error(mishap: Mishap) -> Exception:
    waits = {"retry-after": f"{mishap.seconds or 1:g}"} if mishap.kind == "rate_limit_exceeded" else {}
    return known(mishap.kind, waits)
