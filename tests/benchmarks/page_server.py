"""Stripe's lists as fast as they can be served: any number of subscriptions made while they are sent, each page after a fixed time.

Run as a program: ROWS SECONDS; it prints its port. The subscriptions are those that `filling` puts into a database.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qsl, urlsplit

from aura_cli.sandbox.stripe import shapes

FIRST, GAP = 1_700_000_000, 60  # subscription n was created at FIRST + n × GAP
PERIOD_BEGINS, PERIOD, TRIAL_ENDS = 1_790_000_000, 2_592_000, 1_900_000_000
STATUSES = ("active", "active", "active", "active", "active", "trialing", "past_due", "canceled")  # of n mod 8
_EMPTY = b'{"object":"list","data":[],"has_more":false}'


def _template() -> bytes:
    """A subscription of the stand-in's shape, with places for what differs."""
    recurring = {"interval": "month", "interval_count": 1, "meter": None, "usage_type": "licensed"}
    price = {**shapes.PRICE, "id": "price_monthly", "currency": "eur", "recurring": recurring, "unit_amount": 4900, "type": "recurring"}
    item = {**shapes.ITEM, "id": "si_@n", "price": price, "quantity": 1, "subscription": "sub_@n"}
    item |= {"created": "@created", "current_period_start": "@start", "current_period_end": "@end"}
    items = {"object": "list", "data": [item], "has_more": False, "total_count": 1, "url": "/v1/subscription_items?subscription=sub_@n"}
    whole = {**shapes.SUBSCRIPTION, "id": "sub_@n", "customer": "cus_@n", "created": "@created", "start_date": "@created"}
    whole |= {"billing_cycle_anchor": "@created", "cancel_at_period_end": False, "currency": "eur", "items": items}
    whole |= {"latest_invoice": "in_@n", "status": "@status", "trial_end": "@trial", "livemode": False}
    text = json.dumps(whole).replace("%", "%%").replace("@n", "%(n)014d").replace("@status", "%(status)b")
    for number in ("created", "start", "end"):
        text = text.replace(f'"@{number}"', f"%({number})d")
    return text.replace('"@trial"', "%(trial)b").encode()


_SUBSCRIPTION = _template()


def _subscription(n: int) -> bytes:
    start, status = PERIOD_BEGINS + n % PERIOD, STATUSES[n % 8]
    trial = str(TRIAL_ENDS) if status == "trialing" else "null"
    values = {"n": n, "created": FIRST + n * GAP, "start": start, "end": start + PERIOD, "status": status.encode(), "trial": trial.encode()}
    return _SUBSCRIPTION % {name.encode(): value for name, value in values.items()}


def subscriptions(query: dict[str, str], rows: int) -> bytes:
    """A page, newest first: https://docs.stripe.com/api/pagination."""
    newest = min(rows, (int(query.get("created[lt]", FIRST + (rows + 1) * GAP)) - 1 - FIRST) // GAP)
    oldest = max(1, -((FIRST - int(query.get("created[gte]", "0"))) // GAP))
    if after := query.get("starting_after"):
        newest = min(newest, int(after.removeprefix("sub_")) - 1)
    last = max(oldest, newest - int(query.get("limit", "10")) + 1)
    page = b",".join(_subscription(n) for n in range(newest, last - 1, -1))
    more = b"true" if last > oldest and newest >= oldest else b"false"
    return b'{"object":"list","url":"/v1/subscriptions","has_more":' + more + b',"data":[' + page + b"]}"


class Pages(asyncio.Protocol):
    """One connection; a client sends its next request once it has the answer."""

    def __init__(self, rows: int, delay: float) -> None:
        self.rows = rows
        self.delay = delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        address = urlsplit(data.split(b" ", 2)[1].decode())
        query = dict(parse_qsl(address.query))
        match address.path:
            case "/v1/subscriptions":
                body = subscriptions(query, self.rows)
            case "/v1/account":
                body = b'{"id":"acct_benchmark","object":"account"}'
            case _:
                body = _EMPTY
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        asyncio.get_running_loop().call_later(self.delay, self.transport.write, head + body)


async def _serve(rows: int, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Pages(rows, delay), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
