"""Stripe's webhooks beside something else, in an event loop and a lifecycle of your own.

    DATABASE_URL=postgresql+psycopg://… STRIPE_WEBHOOK_SECRET=whsec_… python own_loop.py

Once it listens it prints its port; it ends with SIGTERM, when what was under way is stored. The database has had `aura db upgrade`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from sqlalchemy import Engine

from aura_cli.db.engine import connect
from aura_cli.webhooks import make_app


@asynccontextmanager
async def webhooks(engine: Engine, secret: str, port: int) -> AsyncIterator[int]:
    """Listening for the length of the block; the port."""
    runner = web.AppRunner(make_app(engine, {"web": secret}, path="/stripe", livemode=False), access_log=None, shutdown_timeout=20)
    await runner.setup()  # from here on the workers work
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()  # closes the port, finishes what is under way, stores it, ends the workers


async def main() -> None:
    """Your program: whatever else it does, it does in the same loop."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    engine = connect(os.environ["DATABASE_URL"])
    async with webhooks(engine, os.environ["STRIPE_WEBHOOK_SECRET"], int(os.environ.get("PORT", "0"))) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await stopped.wait()
    engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
