"""The listener's HTTP side: a request in, one of few answers out. An aiohttp application, alone or inside somebody else's.

200 stored, or known · 400 signature, body or mode is wrong · 405 another method · 408 the body did not come · 413 it is too large ·
503 not stored: come again. Nothing but a commit answers 200 (https://docs.stripe.com/webhooks#best-practices: an endpoint should
acknowledge before it works, and Stripe sends again what was not acknowledged).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Protocol

from aiohttp import hdrs, web
from sqlalchemy import Engine

from aura_cli.analytics.effects import KIND as ANALYTICS
from aura_cli.db.migrate import require_current
from aura_cli.errors import AuraError, ConfigurationError
from aura_cli.outbox.carrying import Deliverer
from aura_cli.reporting import SILENT, Reporter
from aura_cli.transport import Service
from aura_cli.webhooks.batch import Handlers, Surroundings
from aura_cli.webhooks.crew import Crew
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.envelope import Arrival, BadEvent, read
from aura_cli.webhooks.inbox import Handled
from aura_cli.webhooks.intake import Bounds, Intake, NotStored
from aura_cli.webhooks.metrics import Metrics
from aura_cli.webhooks.signature import SignatureRefused, verify

LOG = logging.getLogger("aura_cli.webhooks")
LISTENER = web.AppKey["Listener"]("listener")
SIGNATURE = "Stripe-Signature"
RETRY_AFTER = 5  # seconds
_LOG_SECONDS = 60.0
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Limits:
    """What a sender may take: bytes of one body and of all that are on their way, seconds for a body; and what the end may (seconds)."""

    body: int = 1024 * 1024
    bodies: int = 64 * 1024 * 1024
    body_seconds: float = 10.0
    grace: float = 20.0
    intake: Bounds = field(default_factory=Bounds)


class Refused(AuraError):
    """A request that gets no 200: why, and the status that it gets. `closes`: its body was not read to the end."""

    def __init__(self, status: HTTPStatus, reason: str, message: str, *, closes: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.closes = closes


class Pages(Protocol):
    """What the public port has beside the webhook's path (`aura_cli.integrations.routes`, `aura_cli.webhooks.postbox`)."""

    def add_to(self, app: web.Application) -> None:
        """Answer on `app`, which has not started yet."""


def refusal(error: BaseException) -> Refused:
    """What a delivery's error is answered with. Raises it where it is none of a delivery's."""
    match error:
        case Refused():
            return error
        case NotStored():
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, error.message)
        case SignatureRefused():
            return Refused(HTTPStatus.BAD_REQUEST, error.reason, error.message)
        case BadEvent():
            return Refused(HTTPStatus.BAD_REQUEST, "body", error.message)
    raise error


_TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is too large")
_BROKEN = (HTTPStatus.BAD_REQUEST, "broken", "The body broke off, or its encoding is wrong")


@dataclass(eq=False)
class Listener:
    """Takes events for one webhook path. `secrets` is label → signing secret; `livemode` None takes live and test events."""

    path: str
    intake: Intake
    metrics: Metrics
    secrets: Mapping[str, str] = field(repr=False)
    livemode: bool | None
    limits: Limits
    trusted_proxies: int
    clock: Callable[[], float]
    leaves_by: float | None = None  # loop time
    under_way: int = 0  # requests
    _arriving: int = 0  # bytes of bodies that are not complete
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)  # reason → when it was last logged, how often since

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one delivery, once its event is stored or refused."""
        begun = self.begin()
        try:
            body, signatures = await self._body(request), request.headers.getall(SIGNATURE, ())
            await self.intake.put(self.read(body, ",".join(signatures)))  # sent twice, it is one list: RFC 9110, 5.2
            response = web.Response()
            if self.leaves_by:
                response.force_close()
            return response
        except AuraError as error:
            return self._refused(request, refusal(error))
        finally:
            self.end(begun)

    def begin(self) -> float:
        """Count a delivery as under way; returns what `end` wants."""
        self.metrics.received += 1
        self.under_way += 1
        return time.perf_counter()

    def end(self, begun: float) -> None:
        """It has been dealt with."""
        self.under_way -= 1
        self.metrics.request_seconds.observe(time.perf_counter() - begun)

    def read(self, body: bytes, signature: str) -> Arrival:
        """The event of a delivery. Raises what `refusal` knows."""
        arrival = read(body, verify(signature, body, self.secrets, self.clock()))
        if self.livemode not in (None, arrival.livemode):
            mode, ours = ("live", "test") if arrival.livemode else ("test", "live")
            raise Refused(HTTPStatus.BAD_REQUEST, "mode", f"This is a {mode} event, and here only {ours} events are taken")
        return arrival

    def refuse(self, refused: Refused, address: str) -> str:
        """Count a refusal, and say it in the log once in a while; returns what its sender is told."""
        self.metrics.rejected[refused.reason] += 1
        self._log(refused, address)
        return f"{refused.message}.\n"

    def broken(self, address: str) -> None:
        """A sender went away before its delivery was complete."""
        self.end(self.begin())
        self.refuse(Refused(*_BROKEN), address)

    async def leave(self, grace: float) -> None:
        """The ports are closed: end connections with their next answer, and wait, so many seconds at most, until none is under way."""
        loop = asyncio.get_running_loop()
        self.leaves_by = loop.time() + grace
        while self.under_way and loop.time() < self.leaves_by:
            await asyncio.sleep(_LOOK_SECONDS)
        if self.under_way:
            self.intake.abandon()

    async def _body(self, request: web.Request) -> bytes:
        content = request.content
        body = content.read_nowait() if content.is_eof() else await self._arrive(request)
        if len(body) > self.limits.body:
            raise Refused(*_TOO_LARGE)
        return body

    async def _arrive(self, request: web.Request) -> bytes:
        """A body that was not there with its head, chunk by chunk, so that nobody can make us hold more than our bounds."""
        if (request.content_length or 0) > self.limits.body:
            raise Refused(*_TOO_LARGE, closes=True)
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while chunk := await request.content.readany():
                    chunks.append(chunk)
                    size += len(chunk)
                    self._arriving += len(chunk)
                    if size > self.limits.body:
                        raise Refused(*_TOO_LARGE, closes=True)
                    if self._arriving > self.limits.bodies:
                        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too much is on its way already", closes=True)
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "slow", "The body did not come in time", closes=True) from None
        except (web.RequestPayloadError, ConnectionError):
            raise Refused(*_BROKEN, closes=True) from None
        finally:
            self._arriving -= size
        return b"".join(chunks)

    def _refused(self, request: web.Request, refused: Refused) -> web.Response:
        address = sender(request.headers.getall(hdrs.X_FORWARDED_FOR, ()), request.remote, self.trusted_proxies)
        response = web.Response(status=refused.status, text=self.refuse(refused, address))
        if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER)
        if refused.closes or self.leaves_by:
            response.force_close()
        return response

    def _log(self, refused: Refused, address: str) -> None:
        """Say a reason once in a while, however many come: nobody outside may fill our log."""
        now = time.monotonic()
        last, count = self._told.get(refused.reason, (-_LOG_SECONDS, 0))
        if now - last < _LOG_SECONDS:
            self._told[refused.reason] = (last, count + 1)
            return
        more = f" (and {count} like it before)" if count else ""
        LOG.warning("Refused with %d, from %s: %s%s", refused.status, address, refused.message, more)
        self._told[refused.reason] = (now, 0)

    async def expect(self, request: web.Request) -> web.Response | None:
        """`Expect: 100-continue` (RFC 9110, 10.1.1): a body that is too large need not be sent at all."""
        if (request.content_length or 0) > self.limits.body:
            return self._refused(request, Refused(*_TOO_LARGE, closes=True))
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
        return None


def sender(forwarded: Sequence[str], remote: str | None, trusted_proxies: int) -> str:
    """The sender's address: what the outermost of so many proxies of ours says in X-Forwarded-For, else the connection's.

    Each proxy appends the address that it was reached from, so what stands left of ours anybody may have written.
    """
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    if 0 < trusted_proxies <= len(hops):
        return hops[-trusted_proxies][:64]
    return remote or "an unknown address"


def make_app(
    engine: Engine,
    secrets: Mapping[str, str],
    *,
    livemode: bool | None = None,
    path: str = "/",
    workers: int = 1,
    stripe: Service | None = None,
    handlers: Handlers | None = None,
    forwards: bool = False,
    deliverers: Sequence[Deliverer] = (),
    limits: Limits | None = None,
    trusted_proxies: int = 0,
    clock: Callable[[], float] = time.time,
    links: Pages | None = None,
    pages: Sequence[Pages] = (),
    reporter: Reporter = SILENT,
) -> web.Application:
    """An application that takes Stripe's webhooks at `path` and says at `/healthz` that it is alive; nothing runs before it starts.

    `engine` is one of `aura_cli.db.engine.connect`, on a database of this program's schema (`aura db upgrade`); `secrets` is label →
    signing secret; `livemode` None takes live and test events, else those of the other mode are refused. So many `workers`, threads of
    this process, handle what is stored: they ask `stripe` how things are now, and without it believe the events; `handlers` are yours;
    with `forwards` the events that stop servers go into the outbox; the `deliverers` carry out what is in there; `links` answers under
    `/connect/`, `pages` elsewhere; `reporter` tells Sentry. As a sub-application its paths stand below its prefix. It raises
    ConfigurationError when it starts on a database with another schema.
    """
    if not secrets or not all(isinstance(secret, str) and secret for secret in dict(secrets).values()):
        raise ConfigurationError("A listener needs a signing secret, and none may be empty: anybody could sign with that", "Is it set?")
    limits, metrics = limits or Limits(), Metrics()
    forwards = forwards or any(one.kind == FORWARD for one in deliverers)
    counts = any(one.kind == ANALYTICS for one in deliverers)
    crew = Crew(engine, stripe, Surroundings(forwards, handlers or Handlers(), counts), workers, deliverers, reporter=reporter)
    intake = Intake(engine, metrics, secrets, limits.intake, crew.wake.set)
    listener = Listener(path, intake, metrics, secrets, livemode, limits, trusted_proxies, clock)
    app = web.Application(client_max_size=limits.body)
    app[LISTENER] = listener
    for place in {path, path.rstrip("/")}:  # below a prefix, with or without the slash
        app.router.add_post(place, listener.receive, expect_handler=listener.expect)
    app.router.add_get("/healthz", _alive)
    for each in (links, *pages):
        if each:
            each.add_to(app)

    async def run(_: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(require_current, engine)
        loop = asyncio.get_running_loop()
        crew.on_handled = partial(_count, loop, metrics)
        intake.start()
        crew.start()
        yield
        until = listener.leaves_by or loop.time() + limits.grace
        await asyncio.gather(intake.stop(until), asyncio.to_thread(crew.stop, until - loop.time()))

    app.cleanup_ctx.append(run)
    return app


def _count(loop: asyncio.AbstractEventLoop, metrics: Metrics, handled: Sequence[Handled]) -> None:
    """From a worker's thread."""
    outcomes = Counter(one.outcome if one.state == "done" else one.state for one in handled)
    if not loop.is_closed():
        loop.call_soon_threadsafe(metrics.handled.update, outcomes)


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")
