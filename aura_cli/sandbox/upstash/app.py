"""The stand-in's HTTP side, as https://upstash.com/docs/redis/features/restapi describes it.

A command is the body of a POST to `/`, a JSON array, or the parts of a path (`/set/key/text?EX=100`), with a POST's body as one more;
many are an array of arrays at `/pipeline` and `/multi-exec`. An answer is `{"result": …}` or `{"error": "…"}`; with
`Upstash-Encoding: base64` all text in a result but `OK` is in base64.
"""

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aura_cli.sandbox.credentials import UPSTASH_REDIS_REST_TOKEN
from aura_cli.sandbox.upstash.store import RedisError, Store


class Database(Protocol):
    """Where commands are run: `Store`, or `Remote` in front of a real one."""

    async def run(self, commands: Sequence[Sequence[str]], *, atomic: bool = False) -> list[Any]:
        """What each command answers, a RedisError where it fails. Raises RedisError where the whole cannot be run."""

    async def close(self) -> None:
        """Nothing is run any more."""


@dataclass
class UpstashState:
    """One database, and the token that opens it."""

    database: Database = field(default_factory=Store)
    token: str = UPSTASH_REDIS_REST_TOKEN


def make_app(state: UpstashState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=[*middlewares, _answer_errors, _require_token(state)])
    app.router.add_post("/", partial(_one, state))
    app.router.add_post("/pipeline", partial(_many, state))
    app.router.add_post("/multi-exec", partial(_many, state))
    app.router.add_route("*", "/{command:(?!_sandbox/).+}", partial(_path, state))
    app.on_cleanup.append(lambda app: state.database.close())
    return app


def error_body(status: int) -> object:
    """What Upstash says with a status that the fault middleware makes up."""
    return {"error": "ERR max requests limit exceeded" if status == 429 else "ERR internal error"}


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RedisError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": f"ERR {error.reason}"}, status=error.status)


def _require_token(state: UpstashState) -> Middleware:
    expected = state.token.encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given.strip() if scheme.lower() == "bearer" else request.query.get("_token", "")
        if not request.path.startswith("/_sandbox/") and not hmac.compare_digest(token.encode(), expected):
            return web.json_response({"error": "WRONGPASS invalid or missing auth token"}, status=401)
        return await handler(request)

    return middleware


async def _one(state: UpstashState, request: web.Request) -> web.Response:
    return await _single(state, request, _command(await _body(request)))


async def _path(state: UpstashState, request: web.Request) -> web.Response:
    words = [unquote(part) for part in request.rel_url.raw_path[1:].split("/")]
    if request.can_read_body:
        words.append(await request.text())
    more = [word for name, value in request.query.items() if name != "_token" for word in (name, value) if word]
    return await _single(state, request, [*words, *more])


async def _single(state: UpstashState, request: web.Request, command: Sequence[str]) -> web.Response:
    (answer,) = await state.database.run([command])
    if isinstance(answer, RedisError):
        raise answer
    return web.json_response(_shown(answer, request))


async def _many(state: UpstashState, request: web.Request) -> web.Response:
    commands = await _body(request)
    if not isinstance(commands, list) or not commands:
        raise RedisError("ERR empty pipeline request")
    answers = await state.database.run([_command(one) for one in commands], atomic=request.path == "/multi-exec")
    return web.json_response([{"error": str(one)} if isinstance(one, RedisError) else _shown(one, request) for one in answers])


def _shown(answer: Any, request: web.Request) -> dict[str, Any]:
    return {"result": _encoded(answer) if request.headers.get("Upstash-Encoding") == "base64" else _readable(answer)}


def _encoded(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_encoded(one) for one in answer]
    if answer in ("OK", b"OK") or not isinstance(answer, (str, bytes)):
        return _readable(answer)
    return base64.b64encode(answer if isinstance(answer, bytes) else answer.encode(errors="surrogatepass")).decode()


def _readable(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_readable(one) for one in answer]
    if isinstance(answer, RedisError):
        return str(answer)
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _command(words: object) -> list[str]:
    """A command's words; what is no text travels as JSON. Raises RedisError for what is none."""
    if not isinstance(words, list) or not words or not isinstance(words[0], str):
        raise RedisError("ERR failed to parse command")
    return [word if isinstance(word, str) else json.dumps(word) for word in words]


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise RedisError("ERR failed to parse request: no JSON") from None
