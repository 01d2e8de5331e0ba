"""Stripe's webhooks inside a web application of your own, with a handler for one more type of event.

    DATABASE_URL=postgresql+psycopg://… STRIPE_WEBHOOK_SECRET=whsec_… python sub_application.py

Stripe posts to /hooks/stripe; /refunds is yours. The database has had `aura db upgrade`.
"""

import asyncio
import os

from aiohttp import web
from sqlalchemy import Connection, Engine, text

from aura_cli.db.engine import connect, reading, writing
from aura_cli.webhooks import Delivered, Handlers, make_app

handlers = Handlers()


@handlers.on("charge.refunded")
def note_refund(connection: Connection, event: Delivered) -> None:
    """What this writes is committed together with the event's "done", or not at all; the database is all it may use."""
    charge = event.data["data"]["object"]
    refund = {"charge": charge["id"], "amount": charge["amount_refunded"]}
    connection.execute(text("INSERT INTO my_refunds (charge, amount) VALUES (:charge, :amount)"), refund)


def application(engine: Engine, secret: str) -> web.Application:
    """Your application."""
    app = web.Application()

    async def refunds(_: web.Request) -> web.Response:
        return web.json_response({"refunded": await asyncio.to_thread(total, engine)})

    app.router.add_get("/refunds", refunds)
    app.add_subapp("/hooks/stripe", make_app(engine, {"web": secret}, livemode=False, handlers=handlers))
    return app


def total(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(text("SELECT coalesce(sum(amount), 0) FROM my_refunds")).scalar_one())


def prepare(engine: Engine) -> None:
    """Your own table."""
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS my_refunds (charge text PRIMARY KEY, amount bigint NOT NULL)"))


if __name__ == "__main__":
    database = connect(os.environ["DATABASE_URL"])
    prepare(database)
    web.run_app(application(database, os.environ["STRIPE_WEBHOOK_SECRET"]), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
