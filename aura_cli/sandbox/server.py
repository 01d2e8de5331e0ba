"""Runs the stand-ins on the loopback interface: one asyncio loop in a thread, beside whatever the process does otherwise."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware

from aura_cli.errors import ConflictError, UsageError
from aura_cli.integrations.catalogue import load
from aura_cli.listening import closed
from aura_cli.sandbox import analytics, openai, resend, stripe, upstash, vercel, web_app
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET, Addresses, provider_variables
from aura_cli.sandbox.faults import Faults, fault_middleware, fault_routes
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.privy import app as privy
from aura_cli.sandbox.providers import app as providers
from aura_cli.sandbox.providers.state import ProvidersState
from aura_cli.sandbox.stripe.delivery import register
from aura_cli.sandbox.stripe.errors import ApiError, rate_limited
from aura_cli.settings import leads_here

_State = TypeVar("_State", contravariant=True)
HOST = "127.0.0.1"
_CLEANUP_SECONDS = 1.0  # how long an answer under way may still take when the sandbox stops


@dataclass(frozen=True)
class Ports:
    """The ports to listen on; 0 is any free one."""

    stripe: int = 0
    privy: int = 0
    providers: int = 0
    openai: int = 0
    resend: int = 0
    upstash: int = 0
    analytics: int = 0
    web_app: int = 0
    vercel: int = 0


_Started = Future[tuple[Addresses, Callable[[], object]]]  # where the stand-ins listen, and what stops them


@contextmanager
def running(
    population: Population, *, faults: Faults | None = None, ports: Ports | None = None, webhook_url: str = "", redis: str = ""
) -> Iterator[Addresses]:
    """Stand-ins that know `population`, for as long as the context lasts. Each gets its own copy of `faults`.

    Stripe's delivers its events to `webhook_url`, on this machine, signed with the secret of the sandbox's environment. Behind Upstash's
    is the Redis at `redis`, on this machine too, or a store in memory. Raises ConflictError when a port is taken, UsageError for an
    address elsewhere.
    """
    if webhook_url and not leads_here(webhook_url):
        raise UsageError(f"{webhook_url} is not on this machine: the sandbox delivers nowhere else", "Example: http://127.0.0.1:8787/hook")
    started: _Started = Future()
    applications = _applications(population, faults or Faults(), webhook_url, upstash.database(redis))
    thread = threading.Thread(target=_run, args=(applications, ports or Ports(), started), name="sandbox", daemon=True)
    thread.start()
    try:
        addresses, stop = started.result()
        try:
            yield addresses
        finally:
            stop()
    finally:
        thread.join()


def _applications(population: Population, faults: Faults, webhook_url: str, redis: upstash.Database) -> dict[str, web.Application]:
    """The stand-ins by their names in `Addresses` and `Ports`."""
    catalogue = load()
    mishaps = {field.name: replace(faults) for field in fields(Ports)}
    standing: dict[str, tuple[_Vendor[Any], object]] = {
        "privy": (privy, privy.PrivyState.of(population)),
        "providers": (providers, ProvidersState(catalogue, provider_variables(catalogue.providers.values()))),
        "openai": (openai, openai.OpenAIState()),
        "resend": (resend, resend.ResendState(faults=mishaps["resend"])),
        "upstash": (upstash, upstash.UpstashState(redis)),
        "analytics": (analytics, analytics.AnalyticsState()),
        "web_app": (web_app, web_app.WebAppState()),
        "vercel": (vercel, vercel.VercelState()),
    }
    return {
        "stripe": _stripe(population, mishaps["stripe"], webhook_url),
        **{name: _standing(vendor, state, mishaps[name]) for name, (vendor, state) in standing.items()},
    }


def _stripe(population: Population, faults: Faults, webhook_url: str) -> web.Application:
    state = stripe.StripeState(population.now, seed=population.seed, faults=faults)
    stripe.seed(state, population)
    if webhook_url:
        register(state, webhook_url, STRIPE_WEBHOOK_SECRET)
    app = stripe.make_app(state, [fault_middleware(faults, _stripe_error)])
    app.add_routes(fault_routes(faults))
    return app


def _stripe_error(status: int) -> object:
    if status == 429:
        return rate_limited("global-rate", 1).body
    return ApiError(status, "An unexpected error occurred.", kind="api_error").body


class _Vendor(Protocol[_State]):
    """The module, or package, of a stand-in."""

    def make_app(self, state: _State, middlewares: Sequence[Middleware] = ()) -> web.Application: ...

    def error_body(self, status: int) -> object: ...


def _standing(vendor: _Vendor[_State], state: _State, faults: Faults) -> web.Application:
    """A stand-in that suffers `faults`, which can be changed while it runs."""
    app = vendor.make_app(state, [fault_middleware(faults, vendor.error_body)])
    app.add_routes(fault_routes(faults))
    return app


def _run(applications: dict[str, web.Application], ports: Ports, started: _Started) -> None:
    try:
        asyncio.run(_serve(applications, ports, started))
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


async def _serve(applications: dict[str, web.Application], ports: Ports, started: _Started) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    async with AsyncExitStack() as cleanup:
        bases = {}
        for name, application in applications.items():
            bases[name] = await cleanup.enter_async_context(listening(application, getattr(ports, name)))
        started.set_result((Addresses(**bases), lambda: loop.call_soon_threadsafe(stopping.set)))
        await stopping.wait()


@asynccontextmanager
async def listening(application: web.Application, port: int = 0) -> AsyncIterator[str]:
    """The base address of an application in the running loop, for the length of the block.

    Its end is the end of all its connections, also of those whose other end does not read: aiohttp would leave them open until it does.
    Raises ConflictError when the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLEANUP_SECONDS)
    await runner.setup()
    handlers = runner.server
    assert handlers is not None
    try:
        server = await asyncio.get_running_loop().create_server(handlers, HOST, port, backlog=512)
    except OSError as error:
        await runner.cleanup()
        why = f"Port {port} on {HOST} cannot be listened on: {error.strerror}"
        raise ConflictError(why, "Choose another, or 0 for any.") from error
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        await closed(server)
        connections = [one.transport for one in handlers.connections]
        await runner.cleanup()
        for transport in connections:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await asyncio.sleep(0)  # a transport lets its socket go in the turn after
