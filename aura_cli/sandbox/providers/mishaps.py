"""Trouble that can be ordered for single requests: `POST /_sandbox/mishaps` with a `Mishap` as a JSON object.

Some come instead of what was asked for, some after it was done: a rotated refresh token is then used up all the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from aura_cli.sandbox.providers.state import Mishap

_PAGE = "<!doctype html><html><title>Sorry</title><h1>We will be back soon</h1></html>"


def _refusal(code: str, status: int) -> Callable[[], web.Response]:
    return lambda: web.json_response({"error": code, "error_description": "ordered by the sandbox"}, status=status)


INSTEAD: Mapping[str, Callable[[], web.Response]] = {
    "invalid_grant": _refusal("invalid_grant", 400),
    "invalid_client": _refusal("invalid_client", 401),
    "error_with_200": _refusal("temporarily_unavailable", 200),
    "forbidden": _refusal("forbidden", 403),
    "not_found": _refusal("not_found", 404),
    "too_many": _refusal("slow_down", 429),
    "unavailable": _refusal("temporarily_unavailable", 503),
    "html": lambda: web.Response(text=_PAGE, content_type="text/html"),
    "nothing": lambda: web.Response(body=b""),
}


def _put(name: str) -> Callable[[dict[str, Any], Any], web.Response]:
    """The answer with `name` at its top saying `value`, or without it where that is null."""

    def answer(document: dict[str, Any], value: Any) -> web.Response:
        changed = {**document, name: value}
        return web.json_response({key: one for key, one in changed.items() if key != name or one is not None})

    return answer


AFTER: Mapping[str, Callable[[dict[str, Any], Any], web.Response]] = {  # the answer's document, the mishap's value → what is said
    "form": lambda document, _: web.Response(text=urlencode(document), content_type="application/x-www-form-urlencoded"),
    "access_token": _put("access_token"),
    "refresh_token": _put("refresh_token"),
    "expires_in": _put("expires_in"),
    "scope": _put("scope"),
}
CUT, SLOW = "cut", "slow"  # done, then the connection is cut; done, then `value` seconds pass
KINDS = frozenset({*INSTEAD, *AFTER, CUT, SLOW})


def ordered(document: Any) -> Mishap:
    """A mishap out of the JSON that orders it. Raises ValueError."""
    try:
        found = msgspec.convert(document, Mishap)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind not in KINDS:
        raise ValueError(f"{found.kind}: unknown; there are {', '.join(sorted(KINDS))}")
    return found


async def suffer(request: web.Request, answer: web.Response, mishap: Mishap) -> web.Response:
    """What becomes of a good answer."""
    if mishap.kind == CUT and request.transport:
        request.transport.abort()
    elif mishap.kind == SLOW:
        await asyncio.sleep(float(mishap.value or 1))
    elif mishap.kind in AFTER and isinstance(answer.body, bytes):
        document = msgspec.json.decode(answer.body)
        return AFTER[mishap.kind](document, mishap.value) if isinstance(document, dict) else answer
    return answer
