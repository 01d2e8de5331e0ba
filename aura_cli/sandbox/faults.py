"""Trouble on purpose: what networks and services do to a client sooner or later, at a chosen rate.

`POST /_sandbox/faults` with some of the fields of `Faults` as a JSON object changes them while the stand-in runs, and answers all of
them, as `GET` does. Paths under `/_sandbox` themselves never suffer.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from random import Random
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Fault(StrEnum):
    """What can happen to a request; the values are the names of the probabilities in `Faults`."""

    TOO_MANY = "too_many"
    SERVER_ERROR = "server_error"
    CUT_BEFORE = "cut_before"
    CUT_HALF = "cut_half"


SUFFERS = web.RequestKey("suffers", Fault)  # for a handler that streams: only it can cut its answer


@dataclass
class Faults:
    """How much goes wrong. Probabilities are of one request or event, from 0 to 1; one request suffers one fault at most."""

    latency: float = 0.0  # seconds before every answer
    too_many: float = 0.0  # answered 429, not done
    server_error: float = 0.0  # answered 500, not done
    cut_before: float = 0.0  # done, and the connection is cut before the answer
    cut_half: float = 0.0  # done, and the connection is cut after half of the answer's body
    rate: float = 0.0  # requests a second; what is beyond is answered 429 (0: no limit)
    retry_after: float = 1.0  # seconds in the Retry-After of a 429 (0: no such header)
    duplicate_events: float = 0.0  # for the stand-in that sends webhooks: delivered twice
    reorder_events: bool = False  # those that wait for delivery go out in any order
    seed: int = 0
    dice: Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)

    def settings(self) -> dict[str, float]:
        """The fields by name, as `change` takes them."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    def change(self, values: Mapping[str, object]) -> None:
        """Set some fields; the dice start anew. Raises ValueError for an unknown name or an impossible value, and then changes nothing."""
        known = self.settings()
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"{name}: unknown; there are {', '.join(known)}")
            _check(name, value, type(known[name]))
        for name, value in values.items():
            setattr(self, name, value)
        self.dice = Random(self.seed)

    def draw(self) -> Fault | None:
        """What happens to the next request."""
        left = self.dice.random()
        for fault in Fault:
            left -= getattr(self, fault)
            if left < 0:
                return fault
        return None


_PROBABILITIES = {*Fault, "duplicate_events"}


def _check(name: str, value: object, kind: type) -> None:
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, (int, kind)):
        raise ValueError(f"{name}: {value!r} is not a {kind.__name__}")
    if isinstance(value, (int, float)) and name != "seed" and not 0 <= value <= (1 if name in _PROBABILITIES else 3600):
        raise ValueError(f"{name}: {value!r} is out of range")


def fault_middleware(faults: Faults, error_body: Callable[[int], object]) -> Middleware:
    """Makes requests suffer. `error_body` gives what the service says with a status (429, 500), to be sent as JSON."""
    window, used = 0, 0

    def too_fast() -> bool:
        nonlocal window, used
        second = int(time.monotonic())
        window, used = second, used + 1 if second == window else 1
        return 0 < faults.rate < used

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return await handler(request)
        if faults.latency:
            await asyncio.sleep(faults.latency)
        fault = Fault.TOO_MANY if too_fast() else faults.draw()
        if fault is Fault.TOO_MANY:
            headers = {"Retry-After": f"{faults.retry_after:g}"} if faults.retry_after else {}
            return web.json_response(error_body(429), status=429, headers=headers)
        if fault is Fault.SERVER_ERROR:
            return web.json_response(error_body(500), status=500)
        if fault:
            request[SUFFERS] = fault
        answer = await handler(request)
        if fault is Fault.CUT_BEFORE and request.transport:
            request.transport.abort()
        if fault is Fault.CUT_HALF:
            return await half(request, answer)
        return answer

    return middleware


def fault_routes(faults: Faults) -> list[web.AbstractRouteDef]:
    """The paths that show and change `faults`."""

    async def show(request: web.Request) -> web.Response:
        del request
        return web.json_response(faults.settings())

    async def change(request: web.Request) -> web.Response:
        try:
            faults.change(_object(await request.json()))
        except (json.JSONDecodeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(faults.settings())

    return [web.get("/_sandbox/faults", show), web.post("/_sandbox/faults", change)]


def _object(value: Any) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("a JSON object is expected")
    return value


async def half(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """Announce the whole of `answer`, send half of its body, and close the connection."""
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
        return answer
    broken = web.StreamResponse(status=answer.status, headers=answer.headers)
    broken.content_length = len(answer.body)
    await broken.prepare(request)
    await broken.write(answer.body[: len(answer.body) // 2])
    if request.transport:
        request.transport.close()
    return broken
