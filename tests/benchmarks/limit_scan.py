"""The limit of a scan: eight known `created` windows, a thread each, only the needed fields decoded, COPY into staging.

A script: BASE DATABASE FIRST LAST (epoch seconds); it prints the seconds that it took once everything was imported.
"""

import queue
import sys
import threading
import time

import httpx
import msgspec
import psycopg

WINDOWS = 8
SCAN = "00000000-0000-4000-8000-000000001111"
COPY = b"""COPY aura_ops.staged_subscriptions (scan_id, id, customer, status, price, period_start, period_end, trial_end,
    cancel_at_period_end, created, currency, amount, interval, interval_count) FROM STDIN"""


class Recurring(msgspec.Struct):
    interval: str
    interval_count: int


class Price(msgspec.Struct):
    id: str
    currency: str
    unit_amount: int
    recurring: Recurring


class Item(msgspec.Struct):
    price: Price
    quantity: int
    current_period_start: int
    current_period_end: int


class Items(msgspec.Struct):
    data: list[Item]


class Subscription(msgspec.Struct):
    id: str
    customer: str
    status: str
    created: int
    trial_end: int | None
    cancel_at_period_end: bool
    items: Items


class Page(msgspec.Struct):
    data: list[Subscription]
    has_more: bool


Row = tuple[str | int | bool | None, ...]


def row(one: Subscription) -> Row:
    """What the staging table holds of it."""
    item = one.items.data[0]
    price, rhythm = item.price, item.price.recurring
    period = (item.current_period_start, item.current_period_end, one.trial_end, one.cancel_at_period_end, one.created)
    amount = price.unit_amount * item.quantity
    return (
        *(SCAN, one.id, one.customer, one.status, price.id),
        *period,
        *(price.currency, amount, rhythm.interval, rhythm.interval_count),
    )


def read(http: httpx.Client, since: int, until: int, found: "queue.Queue[list[Row] | None]") -> None:
    """All pages of one window."""
    decode = msgspec.json.Decoder(Page).decode
    query: dict[str, str | int] = {"limit": 100, "status": "all", "created[gte]": since, "created[lt]": until}
    while True:
        page = decode(http.get("/v1/subscriptions", params=query).content)
        found.put([row(one) for one in page.data])
        if not page.has_more:
            break
        query["starting_after"] = page.data[-1].id
    found.put(None)


def main(base: str, database: str, first: int, last: int) -> None:
    begun = time.perf_counter()
    found: queue.Queue[list[Row] | None] = queue.Queue(64)
    width = (last - first) // WINDOWS + 1
    with httpx.Client(base_url=base, trust_env=False) as http, psycopg.connect(database) as connection:
        for number in range(WINDOWS):
            since = first + number * width
            threading.Thread(target=read, args=(http, since, since + width, found), daemon=True).start()
        working = WINDOWS
        with connection.cursor().copy(COPY) as copy:
            while working:
                rows = found.get()
                if rows is None:
                    working -= 1
                    continue
                for one in rows:
                    copy.write_row(one)
    sys.stdout.write(f"{time.perf_counter() - begun}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
