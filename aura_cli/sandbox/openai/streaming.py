"""An answer in server-sent events, chunk by chunk (https://platform.openai.com/docs/api-reference/chat-streaming), as fast as ordered."""

import asyncio
import time

import msgspec
from aiohttp import web

from aura_cli.sandbox.faults import SUFFERS, Fault
from aura_cli.sandbox.openai.answers import Answer
from aura_cli.sandbox.openai.errors import server_error
from aura_cli.sandbox.openai.scripts import Trouble
from aura_cli.sandbox.openai.state import Entry

_LOOK = 0.05  # seconds between two looks at whether the client is still there


class Left(Exception):
    """The client has gone away."""


async def wait(request: web.Request, seconds: float) -> None:
    """Let time pass. Raises Left as soon as the client is gone."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, _LOOK))
        if request.transport is None or request.transport.is_closing():
            raise Left


async def silence(request: web.Request) -> None:
    """Wait until the client gives up: raises Left."""
    while True:
        await wait(request, 3600)


async def stream(request: web.Request, entry: Entry, answer: Answer, headers: dict[str, str], *, with_usage: bool) -> web.StreamResponse:
    """Send `answer`; `entry` counts along. Raises Left when the client goes away."""
    trouble, after = answer.script.trouble, answer.script.after
    if fault := request.get(SUFFERS):
        trouble, after = Trouble.CUT, len(answer.parts) // 2 if fault is Fault.CUT_HALF else 0
    response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
    try:
        await response.prepare(request)
        entry.status = 200
        await _send(response, answer.opening(with_usage=with_usage))
        begun = time.monotonic()
        for number, chunk in enumerate(answer.chunks(with_usage=with_usage)):
            if trouble and number == after:
                return await _suffer(request, response, entry, trouble)
            if answer.script.rate:
                await wait(request, begun + number / answer.script.rate - time.monotonic())
            await _send(response, chunk)
            entry.chunks += 1
        if trouble:
            return await _suffer(request, response, entry, trouble)
        for chunk in answer.closing(with_usage=with_usage):
            await _send(response, chunk)
        await response.write(b"data: [DONE]\n\n")
    except ConnectionError:
        raise Left from None
    return response


async def _suffer(request: web.Request, response: web.StreamResponse, entry: Entry, trouble: Trouble) -> web.StreamResponse:
    """The end of a stream that goes wrong."""
    if trouble is Trouble.SILENCE:
        await silence(request)
    if trouble is Trouble.NOT_JSON:
        await response.write(b'data: {"id": "chatcmpl-sandbox", "choices": [{"del\n\n')
    elif trouble is Trouble.ERROR:
        await response.write(b"data: " + msgspec.json.encode(server_error().body) + b"\n\n")
    elif trouble is Trouble.CUT and request.transport:
        request.transport.close()
    entry.ended = "cut"
    return response


async def _send(response: web.StreamResponse, chunk: object) -> None:
    await response.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
