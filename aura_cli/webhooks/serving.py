"""The listener as a program of its own: its two ports, its bounds on connections, and its end.

The public port has the webhook's path and `/healthz`; `/readyz` and `/metrics` are on another one that only this machine reaches.
"""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from sqlalchemy import Engine

from aura_cli.db.engine import reading
from aura_cli.db.failures import translate
from aura_cli.db.migrate import require_current
from aura_cli.errors import AuraError, ConflictError, UsageError
from aura_cli.listening import closed
from aura_cli.webhooks.express import Express
from aura_cli.webhooks.listener import LISTENER, Listener
from aura_cli.webhooks.metrics import CONTENT_TYPE, Backlog, backlog, text

LOG = logging.getLogger("aura_cli.webhooks")
LOOPBACK = "127.0.0.1"
_CLOSE_SECONDS = 0.5  # for connections that have nothing under way, or have had their time
_LOOK_SECONDS = 3.0  # how long a look at the database may take
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Serving:
    """Where to listen (port 0: any free one) and for whom: `connections` at once, `head_seconds` for a request's head to come."""

    host: str = LOOPBACK
    port: int = 8787
    admin_port: int = 8788
    grace: float = 20.0
    connections: int = 512
    head_seconds: float = 20.0


@dataclass(frozen=True)
class Listening:
    """The ports that are open."""

    port: int
    admin_port: int


def serve(app: web.Application, serving: Serving, on_start: Callable[[Listening], None]) -> int:
    """Serve an application of `make_app` until SIGTERM or SIGINT, and return the number of the signal.

    Then nothing more is accepted, what is under way is finished, for at most `grace` seconds; a second signal ends it at once.
    `on_start` is called when both ports are open. Raises ConflictError where a port is taken, UsageError where it cannot be ours.
    """
    return asyncio.run(_serve(app, serving, on_start))


async def _serve(app: web.Application, serving: Serving, on_start: Callable[[Listening], None]) -> int:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, loop, stopped, number)
    async with listening(app, serving) as ports:
        on_start(ports)
        return await stopped


@asynccontextmanager
async def listening(app: web.Application, serving: Serving) -> AsyncIterator[Listening]:
    """Both ports are open for the length of the block, as `serve` has them, in the running loop."""
    async with AsyncExitStack() as stack:
        admin_port = await _open(stack, admin(app), (LOOPBACK, serving.admin_port, "--admin-port"), serving)
        port = await _open(stack, app, (serving.host, serving.port, "--port"), serving)
        yield Listening(port, admin_port)


def _stop(loop: asyncio.AbstractEventLoop, stopped: "asyncio.Future[int]", number: int) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(each)  # the second one does what it does everywhere
    stopped.set_result(number)


async def _open(stack: AsyncExitStack, app: web.Application, where: tuple[str, int, str], serving: Serving) -> int:
    """Start `app` at `where` (host, port, its option); returns the port. The stack closes it first, then finishes what is under way."""
    runner = web.AppRunner(app, shutdown_timeout=_CLOSE_SECONDS)
    app.on_response_prepare.append(_anonymous)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    listener, express = app.get(LISTENER), set[Express]()
    if listener:
        stack.callback(_close, express)
        stack.push_async_callback(listener.leave, serving.grace)  # aiohttp reads no more of a body once its own end has begun
    try:
        admit = _admission(runner, serving, listener, express)
        server = await asyncio.get_running_loop().create_server(admit, *where[:2], backlog=256)
    except OSError as error:
        raise _not_ours(error, *where) from error
    stack.push_async_callback(closed, server)
    return int(server.sockets[0].getsockname()[1])


def _close(connections: "set[Express]") -> None:
    for connection in list(connections):
        connection.close()


def _not_ours(error: OSError, host: str, port: int, option: str) -> AuraError:
    """Why a port cannot be listened on, and what to do."""
    about = f"Port {port} ({option}) on {host}"
    if error.errno == errno.EADDRINUSE:
        return ConflictError(f"{about} is taken", "Choose another, or 0 for any")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"{about} is a privileged one, and this user may not listen there", "Choose one from 1024 on, behind the proxy")
    if error.errno in (errno.EADDRNOTAVAIL, None) or isinstance(error, socket.gaierror):  # None: asyncio, from Python 3.13 on
        return UsageError(f"{host} is no address of this machine", "Give --host one that it has: 127.0.0.1, or 0.0.0.0 for all")
    return ConflictError(f"{about} cannot be listened on: {error.strerror}")


class _Connection(web.RequestHandler):
    """An HTTP connection that tells nobody what it is made of."""

    __slots__ = ()

    def handle_error(self, request: web.BaseRequest, *args: Any, **named: Any) -> web.StreamResponse:
        response = super().handle_error(request, *args, **named)
        response.headers[hdrs.SERVER] = ""
        return response


class _Full(asyncio.Protocol):
    """A connection too many: answered before it asks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


def _admission(
    runner: web.AppRunner, serving: Serving, listener: Listener | None, express: "set[Express]"
) -> Callable[[], asyncio.BaseProtocol]:
    """Makes the protocol of each new connection: an HTTP one, as long as there is room; a listener's begins in `express`."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    bounds: dict[str, Any] = {
        "keepalive_timeout": serving.head_seconds,  # runs from the connection's start, or the last answer, to the next complete head
        "lingering_time": 2.0,
        "max_line_size": 4096,
        "max_field_size": 8190,
        "max_headers": 64,
        "auto_decompress": False,  # what is signed is what was sent
        "access_log": None,
        "logger": _PROTOCOL_LOG,
    }

    def connection() -> asyncio.Protocol:
        return _Connection(server, loop=loop, **bounds)

    def admit() -> asyncio.BaseProtocol:
        if len(server.connections) + len(express) >= serving.connections:
            return _Full()
        return Express(listener, express, connection, serving.head_seconds) if listener else connection()

    return admit


def _told_by_its_answer(record: logging.LogRecord) -> bool:
    """Malformed HTTP gets its 400 and no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_PROTOCOL_LOG = logging.getLogger("aura_cli.webhooks.http")
_PROTOCOL_LOG.addFilter(_told_by_its_answer)


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop(hdrs.SERVER, None)


class _Look:
    """A look at the database in a thread of its own, one at a time; a database that hangs keeps neither the loop nor the program."""

    def __init__(self, look: Callable[[Engine], Any], engine: Engine) -> None:
        self._look = look
        self._engine = engine
        self._under_way: asyncio.Future[Any] | None = None

    async def __call__(self) -> Any:
        """What the look says, or what it raises; TimeoutError where it says nothing."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.get_running_loop().create_future()
            Thread(target=self._run, args=(self._under_way, asyncio.get_running_loop()), daemon=True).start()
        async with asyncio.timeout(_LOOK_SECONDS):
            return await asyncio.shield(self._under_way)

    def _run(self, said: "asyncio.Future[Any]", loop: asyncio.AbstractEventLoop) -> None:
        try:
            tell, answer = said.set_result, self._look(self._engine)
        except Exception as problem:  # noqa: BLE001 (whoever asked is told)
            tell, answer = said.set_exception, problem
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, answer)


def admin(app: web.Application) -> web.Application:
    """What this machine may ask about a listener made by `make_app`: `/readyz` and `/metrics`."""
    listener = app[LISTENER]
    schema, inbox = _Look(require_current, listener.intake.engine), _Look(_backlog, listener.intake.engine)

    async def ready(_: web.Request) -> web.Response:
        try:
            await schema()
        except TimeoutError:
            return web.Response(status=503, text="The database does not answer\n")
        except Exception as problem:  # noqa: BLE001 (whatever it is, it is the answer)
            return web.Response(status=503, text=f"{translate(problem) or problem}\n")
        return web.Response(text="ready\n")

    async def metrics(_: web.Request) -> web.Response:
        found = None
        try:
            found = await inbox()
        except Exception as problem:  # noqa: BLE001 (what this process counted is told all the same)
            LOG.debug("The inbox could not be looked at: %s", problem)
        body = text(listener.metrics, found, listener.intake.queued)
        return web.Response(body=body.encode(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    made = web.Application()
    made.router.add_get("/readyz", ready)
    made.router.add_get("/metrics", metrics)
    return made


def _backlog(engine: Engine) -> Backlog:
    with reading(engine) as connection:
        return backlog(connection)
