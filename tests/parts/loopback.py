"""What listens on this machine: an application in a thread, and requests without encryption."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpx
from aiohttp import web

from aura_cli.sandbox.server import listening
from aura_cli.transport import trust

_Started = Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]


def plain_client(**about: Any) -> httpx.Client:
    """As `httpx.Client` is, but that neither a proxy nor a certificate concerns it; to read all of those takes 20 ms."""
    return httpx.Client(trust_env=False, verify=trust("http"), **about)


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """The base address of an application that runs in a thread for the length of the block, on a free port."""
    started: _Started = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(app, started)), daemon=True)
    thread.start()
    base, loop, stop = started.result(timeout=30)
    try:
        yield base
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(app: web.Application, started: _Started) -> None:
    stop = asyncio.Event()
    async with listening(app) as base:
        started.set_result((base, asyncio.get_running_loop(), stop))
        await stop.wait()
