"""Services that refuse everything and repeat in their refusals what they were sent: credentials, addresses, bodies."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from tests.parts.loopback import serving

SHAPES: Mapping[str, Callable[[str], object]] = {  # by the first part of the path: how each service says what is wrong
    "stripe": lambda text: {"error": {"type": "invalid_request_error", "message": text}},
    "openai": lambda text: {"error": {"type": "invalid_request_error", "code": None, "param": None, "message": text}},
    "resend": lambda text: {"statusCode": 400, "name": "validation_error", "message": text},
    "vercel": lambda text: {"error": {"code": "bad_request", "message": text}},
    "upstash": lambda text: {"error": text},
    "privy": lambda text: {"error": text},
}


@contextmanager
def echoing(status: int, before: int = 0) -> Iterator[str]:
    """Such a service at BASE/NAME for each of SHAPES, answering with `status`; so many characters stand before what is repeated."""
    app = web.Application()

    async def refuse(request: web.Request) -> web.Response:
        headers = sorted(request.headers.items(), key=lambda header: header[0].lower() != "authorization")
        text = "." * before + " ".join([*(f"{name}: {value}" for name, value in headers), str(request.rel_url), await request.text()])
        shape = SHAPES.get(request.path.split("/")[1], SHAPES["vercel"])
        return web.Response(status=status, body=json.dumps(shape(text)).encode(), content_type="application/json")

    app.router.add_route("*", "/{path:.*}", refuse)
    with serving(app) as base:
        yield base
