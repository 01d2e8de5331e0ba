"""The stand-in's HTTP side: https://vercel.com/docs/rest-api/projects and .../environment, as far as variables go.

GET    /v9/projects/{idOrName}            → the project
GET    /v10/projects/{idOrName}/env       → `{"envs", "pagination"}`; `decrypt=true` gives values, but of sensitive ones
POST   /v10/projects/{idOrName}/env       one variable or an array of them; `upsert=true` changes one that is there
GET    /v1/projects/{idOrName}/env/{id}   → one with its value, but a sensitive one's
DELETE /v9/projects/{idOrName}/env/{id}
GET    /v1/env                            → `{"data", "pagination"}`: what the team shares
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aura_cli.sandbox.vercel.state import PROJECT_NAME, TARGETS, TYPES, Variable, VercelError, VercelState

PAGE = 20  # elements, where nobody asks for another number; 100 at most
_Handle = Callable[[VercelState, web.Request], Awaitable[web.Response]]


def make_app(state: VercelState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=[*middlewares, _answer(state)])
    routes: list[tuple[str, str, _Handle]] = [
        ("GET", "/v9/projects/{project}", _project),
        ("GET", "/v10/projects/{project}/env", _list),
        ("POST", "/v10/projects/{project}/env", _create),
        ("GET", "/v1/projects/{project}/env/{id}", _show),
        ("DELETE", "/v9/projects/{project}/env/{id}", _delete),
        ("GET", "/v1/env", _shared),
    ]
    for method, path, handle in routes:
        app.router.add_route(method, path, _bound(state, handle))
    return app


def error_body(status: int) -> object:
    """What comes with a status that the fault middleware makes up."""
    code, message = ("rate_limited", "Rate limit exceeded") if status == 429 else ("internal_server_error", "An unexpected error occurred")
    return {"error": {"code": code, "message": message}}


def _bound(state: VercelState, handle: _Handle) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        named = request.match_info.get("project", PROJECT_NAME) in (PROJECT_NAME, state.project)
        if not named or request.query.get("teamId") != state.team:  # without its team's id nobody finds it
            raise VercelError(404, "not_found", "Project not found")
        return await handle(state, request)

    return handler


def _answer(state: VercelState) -> Middleware:
    """Everybody is asked for the token, and gets refusals in Vercel's shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox"):
            return await handler(request)
        try:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {state.token}".encode()):
                raise VercelError(403, "forbidden", "Not authorized")
            return await handler(request)
        except VercelError as error:
            return web.json_response(error.body, status=error.status)
        except web.HTTPNotFound:
            return web.json_response({"error": {"code": "not_found", "message": "The page was not found"}}, status=404)

    return middleware


async def _project(state: VercelState, request: web.Request) -> web.Response:
    del request
    return web.json_response({"id": state.project, "name": PROJECT_NAME, "accountId": state.team, "framework": "nextjs"})


async def _list(state: VercelState, request: web.Request) -> web.Response:
    decrypt = request.query.get("decrypt") == "true" and not state.withholds
    branch = request.query.get("gitBranch")
    mine = [one for one in state.variables if not one.shared and branch in (None, one.branch)]
    some, pagination = _page(mine, request)
    return web.json_response({"envs": [one.shown(decrypt=decrypt) for one in some], "pagination": pagination})


async def _shared(state: VercelState, request: web.Request) -> web.Response:
    some, pagination = _page([one for one in state.variables if one.shared], request)
    return web.json_response({"data": [one.shown(decrypt=False) for one in some], "pagination": pagination})


async def _show(state: VercelState, request: web.Request) -> web.Response:
    return web.json_response(_found(state, request).shown(decrypt=True))


async def _delete(state: VercelState, request: web.Request) -> web.Response:
    found = _found(state, request)
    state.variables.remove(found)
    return web.json_response(found.shown(decrypt=False))


async def _create(state: VercelState, request: web.Request) -> web.Response:
    body = await request.json()
    made: list[Variable] = []
    for one in body if isinstance(body, list) else [body]:
        key, value, kind, target = _asked(one)
        for each in target if request.query.get("upsert") == "true" else ():
            state.remove(key, each)
        made.append(state.put(key, value, target, type=kind, branch=one.get("gitBranch")))
    return web.json_response({"created": [one.shown(decrypt=False) for one in made], "failed": []}, status=201)


def _asked(body: Any) -> tuple[str, str, str, list[str]]:
    """Key, value, type and targets. Raises VercelError for what is none of them."""
    given = body if isinstance(body, dict) else {}
    key, value, kind, target = (given.get(name) for name in ("key", "value", "type", "target"))
    if not isinstance(key, str) or not key or not isinstance(value, str) or kind not in TYPES:
        raise VercelError(400, "bad_request", "Invalid request: `key`, `value` and `type` are required")
    if not isinstance(target, list) or not target or not {*target} <= {*TARGETS}:
        raise VercelError(400, "bad_request", "Invalid request: `target` should be an array of targets")
    if kind == "sensitive" and "development" in target:
        raise VercelError(400, "bad_request", "You cannot set a Sensitive Environment Variable's target to development.")
    return key, value, kind, target


def _found(state: VercelState, request: web.Request) -> Variable:
    for one in state.variables:
        if one.id == request.match_info["id"]:
            return one
    raise VercelError(404, "not_found", "The Environment Variable was not found")


def _page(found: Sequence[Variable], request: web.Request) -> tuple[Sequence[Variable], dict[str, Any]]:
    """The newest first, so many of them, older than `until`; `next` is the following page's `until`."""
    size, until = min(int(request.query.get("limit", PAGE)), 100), int(request.query.get("until", len(found) + 1))
    numbered = [(number, one) for number, one in enumerate(found, 1) if number < until][::-1]
    some = numbered[:size]
    following = some[-1][0] if len(numbered) > size else None
    return [one for _, one in some], {"count": len(some), "next": following, "prev": None}
