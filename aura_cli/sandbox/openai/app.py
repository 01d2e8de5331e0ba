"""The stand-in's HTTP side: OpenAI's paths under `/v1`, and the sandbox's own under `/_sandbox`, which ask for no credentials:

POST   /_sandbox/scripts {…} or [{…}, …]   → how many wait; see scripts.py. GET lists them, DELETE forgets them
GET    /_sandbox/journal                   → the requests: what was asked, how it was answered, who did not wait
DELETE /_sandbox/journal                   → 204
"""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aura_cli.sandbox.faults import half
from aura_cli.sandbox.openai.answers import Answer, pieces, usual
from aura_cli.sandbox.openai.asking import Asked, judge, read
from aura_cli.sandbox.openai.errors import OpenAIError, no_such_model, ordered, rate_limited, server_error, wrong_key
from aura_cli.sandbox.openai.scripts import Script, Trouble
from aura_cli.sandbox.openai.scripts import ordered as ordered_scripts
from aura_cli.sandbox.openai.state import Entry, Model, OpenAIState
from aura_cli.sandbox.openai.streaming import Left, silence, stream, wait

LARGEST_BODY = 16 << 20
_SINCE = 1_721_172_741  # when the models came to be, epoch seconds
_NO_JSON = "<html><head><title>502 Bad Gateway</title></head></html>"


def make_app(state: OpenAIState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=[*middlewares, _answer_errors, _require_key(state)], client_max_size=LARGEST_BODY)
    app.router.add_post("/v1/chat/completions", partial(_complete, state))
    app.router.add_get("/v1/models", partial(_models, state))
    app.router.add_get("/v1/models/{model}", partial(_model, state))
    app.router.add_get("/_sandbox/scripts", partial(_scripts, state))
    app.router.add_post("/_sandbox/scripts", partial(_order, state))
    app.router.add_delete("/_sandbox/scripts", partial(_forget, state))
    app.router.add_get("/_sandbox/journal", partial(_journal, state))
    app.router.add_delete("/_sandbox/journal", partial(_forget, state))
    return app


def error_body(status: int) -> object:
    """What OpenAI says with a status that the fault middleware makes up."""
    return (rate_limited() if status == 429 else server_error(status)).body


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except OpenAIError as error:
        return _json(error.body, error.status)
    except web.HTTPException as refused:
        message = f"Invalid URL ({request.method} {request.path})" if refused.status == 404 else refused.reason
        return _json(OpenAIError(refused.status, message).body, refused.status)


def _require_key(state: OpenAIState) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not request.path.startswith("/_sandbox/") and not (
            scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode(), state.api_key.encode())
        ):
            raise wrong_key(key.strip())
        return await handler(request)

    return middleware


async def _complete(state: OpenAIState, request: web.Request) -> web.StreamResponse:
    """https://platform.openai.com/docs/api-reference/chat/create"""
    tried = request.headers.get("x-stainless-retry-count", "")
    entry = Entry(state.clock(), request.path, int(tried) if tried.isdecimal() else 0)
    state.note(entry)
    try:
        response = await _answered(state, request, entry)
        entry.status, entry.ended = response.status, entry.ended or "complete"
    except OpenAIError as error:
        entry.status, entry.ended = error.status, "complete"
        raise
    except Left:
        entry.ended = "left"
        return web.Response()  # to nobody
    except asyncio.CancelledError:
        entry.ended = "cut"
        raise
    return response


async def _answered(state: OpenAIState, request: web.Request, entry: Entry) -> web.StreamResponse:
    try:
        entry.request = msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        raise OpenAIError(400, "We could not parse the JSON body of your request.") from None
    asked = read(entry.request)
    spent = asked.tokens
    model = judge(state, asked, spent)
    script = state.script(asked.said)
    entry.script = script is not None
    if script:
        await wait(request, script.delay)
    if script and (script.status != 200 or (script.trouble is Trouble.ERROR and not asked.stream)):
        error = ordered(500 if script.status == 200 else script.status, script.code)
        return _json(error.body, error.status, _retry_after(script))
    answer = _answer(state, asked, spent, model, script)
    headers = {"x-request-id": f"req_sandbox{state.asked:06}"}
    if asked.stream:
        return await stream(request, entry, answer, headers, with_usage=asked.with_usage)
    return await _whole(request, entry, answer, headers)


def _answer(state: OpenAIState, asked: Asked, spent: int, model: Model, script: Script | None) -> Answer:
    """What a script says, or the usual up to as many tokens as were asked for."""
    about = (f"chatcmpl-sandbox{state.asked:06}", int(state.clock()), model.dated)
    if script:
        return Answer(*about, pieces(script.text * script.repeat, script.chunk), script.finish_reason, spent, script)
    parts = pieces(usual(model.dated, asked.said, len(asked.messages), spent))
    limit = asked.max_completion_tokens or asked.max_tokens or model.most
    return Answer(*about, parts[:limit], "length" if len(parts) > limit else "stop", spent, Script())


async def _whole(request: web.Request, entry: Entry, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
    """An answer at once, and what may happen to it."""
    trouble = answer.script.trouble
    if trouble is Trouble.SILENCE:
        await silence(request)
    if trouble is Trouble.NOT_JSON:
        return web.Response(text=_NO_JSON, headers=headers, content_type="application/json")
    response = _json(answer.whole(), 200, headers)
    if trouble in (Trouble.CUT, Trouble.SHORT):
        entry.ended = "cut"
        return await half(request, response)
    return response


async def _models(state: OpenAIState, request: web.Request) -> web.Response:
    """https://platform.openai.com/docs/api-reference/models/list"""
    del request
    return _json({"object": "list", "data": [_shown(name) for name in state.models]})


async def _model(state: OpenAIState, request: web.Request) -> web.Response:
    name = request.match_info["model"]
    if not state.model(name):
        raise no_such_model(name)
    return _json(_shown(name))


def _shown(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _SINCE, "owned_by": "system"}


async def _scripts(state: OpenAIState, request: web.Request) -> web.Response:
    del request
    return _json(state.scripts)


async def _order(state: OpenAIState, request: web.Request) -> web.Response:
    try:
        state.scripts += ordered_scripts(msgspec.json.decode(await request.read()))
    except ValueError as error:
        return _json({"error": str(error)}, 400)
    return _json({"waiting": len(state.scripts)})


async def _journal(state: OpenAIState, request: web.Request) -> web.Response:
    del request
    return _json([asdict(one) for one in state.journal])


async def _forget(state: OpenAIState, request: web.Request) -> web.Response:
    (state.journal if request.path.endswith("journal") else state.scripts).clear()
    return web.Response(status=204)


def _retry_after(script: Script) -> dict[str, str]:
    after = script.retry_after
    return {} if after is None else {"Retry-After": after if isinstance(after, str) else f"{after:g}"}


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json")
