"""The web app as far as links lead to it: pages that answer, so that what is sent out can be checked before, and tried afterwards."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Middleware

PAGES = {"/": "AURA", "/dashboard": "Dashboard", "/team/accept": "You have been invited to a team"}


@dataclass
class WebAppState:
    """The paths that were opened, with their queries, oldest first."""

    opened: list[str] = field(default_factory=list)


def make_app(state: WebAppState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=list(middlewares))

    async def page(request: web.Request) -> web.Response:
        state.opened.append(request.path_qs)
        title = html.escape(PAGES[request.path])
        text = f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><p>The sandbox's stand-in of the web app."
        return web.Response(text=text, content_type="text/html")

    async def opened(request: web.Request) -> web.Response:
        del request
        return web.json_response(state.opened)

    app.add_routes([web.get(path, page) for path in PAGES])
    app.router.add_get("/_sandbox/opened", opened)
    return app


def error_body(status: int) -> object:
    """What it says with a status that the fault middleware makes up."""
    return {"error": "Too many requests" if status == 429 else "Internal Server Error"}
