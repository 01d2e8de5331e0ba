"""The least that taking webhooks can be with aiohttp: read the body, verify its signature, answer 200.

Run as a program: SECRET; it prints its port.
"""

import asyncio
import sys
import time

from aiohttp import web

from aura_cli.webhooks.signature import verify


async def serve(secret: str) -> None:
    """Serve until killed."""
    secrets = {"only": secret}

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        verify(request.headers.get("Stripe-Signature"), body, secrets, time.time())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
