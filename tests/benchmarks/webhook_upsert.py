"""Webhooks as stripe-sync-engine (npm @supabase/stripe-sync-engine 0.48) processes them: verified, and written within the request.

Of a subscription's event it upserts the subscription, then its items, then looks for items that are gone; each statement commits by
itself, on one of ten connections. Run as a program: SECRET URL of a PostgreSQL database; it makes its table, and prints its port.
"""

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
from aiohttp import web

from aura_cli.webhooks.signature import verify

CONNECTIONS = 10  # as many as node-postgres' pool has
TABLES = """CREATE SCHEMA peer; CREATE TABLE peer.subscriptions (id text PRIMARY KEY, customer text, status text, current_period_end bigint,
    cancel_at_period_end boolean, raw jsonb, synced_at timestamptz);
    CREATE TABLE peer.items (id text PRIMARY KEY, subscription text, price text, raw jsonb, deleted boolean, synced_at timestamptz);
    CREATE INDEX ON peer.items (subscription)"""
UPSERT = """INSERT INTO peer.subscriptions VALUES (%s, %s, %s, %s, %s, %s, to_timestamp(%s)) ON CONFLICT (id) DO UPDATE SET
    customer = excluded.customer, status = excluded.status, current_period_end = excluded.current_period_end,
    cancel_at_period_end = excluded.cancel_at_period_end, raw = excluded.raw, synced_at = excluded.synced_at
    WHERE peer.subscriptions.synced_at < excluded.synced_at"""
ITEM = """INSERT INTO peer.items VALUES (%s, %s, %s, %s, false, to_timestamp(%s)) ON CONFLICT (id) DO UPDATE SET
    price = excluded.price, raw = excluded.raw, deleted = false, synced_at = excluded.synced_at
    WHERE peer.items.synced_at < excluded.synced_at"""
ITEMS = "SELECT id FROM peer.items WHERE subscription = %s AND deleted = false"
_own = threading.local()


def write(url: str, body: bytes) -> None:
    """One event's subscription and items, on the thread's connection."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(url, autocommit=True)
    event = json.loads(body)
    about = event["data"]["object"]
    end = about["items"]["data"][0]["current_period_end"]
    values = (about["id"], about["customer"], about["status"], end, about["cancel_at_period_end"], json.dumps(about), event["created"])
    _own.connection.execute(UPSERT, values)
    for item in about["items"]["data"]:
        _own.connection.execute(ITEM, (item["id"], about["id"], item["price"]["id"], json.dumps(item), event["created"]))
    _own.connection.execute(ITEMS, (about["id"],)).fetchall()


async def serve(secret: str, url: str) -> None:
    """Serve until killed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    secrets, pool, loop = {"only": secret}, ThreadPoolExecutor(CONNECTIONS), asyncio.get_running_loop()

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        verify(request.headers.get("Stripe-Signature"), body, secrets, time.time())
        await loop.run_in_executor(pool, partial(write, url, body))
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
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
