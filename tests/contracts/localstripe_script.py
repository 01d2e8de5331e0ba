"""Runs in the environment of others' packages: serves localstripe on a free port of loopback, which it says, until standard input ends.

By itself it listens on every interface, keeps what it knows in one file for the whole machine, and has no account.
"""

import asyncio
import json
import sys

from aiohttp import web
from localstripe.resources import Store  # type: ignore[import-not-found]
from localstripe.server import app  # type: ignore[import-not-found]


async def account(request: web.Request) -> web.Response:
    return web.json_response({"id": "acct_1LocalStripe", "object": "account"})


async def main() -> None:
    app.router.add_get("/v1/account", account)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    Store.dump_to_disk = lambda self: None
    asyncio.run(main())
