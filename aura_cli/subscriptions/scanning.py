"""Reading Stripe into staging: subscriptions and top-up checkouts by scan, single objects by probe."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, select

from aura_cli.db.engine import load, writing
from aura_cli.db.leases import Lease
from aura_cli.db.shared import LARGEST
from aura_cli.drift.scan import Fetch, Page, Store, Window
from aura_cli.drift.tables import scans
from aura_cli.errors import NotFoundError, ServiceError
from aura_cli.subscriptions.customers import as_uuid
from aura_cli.subscriptions.stripe import (
    Customer,
    Event,
    EventList,
    InvoiceList,
    Session,
    SessionList,
    Subscription,
    SubscriptionList,
    decoder,
    facts,
    page_parameters,
    reference,
)
from aura_cli.subscriptions.tables import FACTS, STAGING, staged_sessions, staged_subscriptions
from aura_cli.transport import Service

THREADS = 16
PROBES_A_COMMIT = 100
PAID_EVENTS = ["checkout.session.completed", "checkout.session.async_payment_succeeded"]
_ID = re.compile(r"\w+", re.ASCII)
SESSION_COLUMNS = ("scan_id", "id", "customer", "user_reference", "tokens", "amount", "package", "created")


def subscription_pages(stripe: Service, scan_id: str, customers: Sequence[str]) -> Fetch:
    """Pages of all subscriptions, or of those of `customers` (a window each)."""
    read = decoder(SubscriptionList)

    def fetch(window: Window) -> Page:
        only = {"customer": customers[window.number]} if customers else {}
        found = read(stripe.get("/v1/subscriptions", page_parameters(window.since, window.until, window.cursor, status="all", **only)))
        rows = [(scan_id, item.id, *facts(item)) for item in found.data]
        return _page(window, rows, found.data, found.has_more)

    return fetch


def session_pages(stripe: Service, scan_id: str, customers: Sequence[str]) -> Fetch:
    """Pages of the paid top-up checkouts among all completed sessions."""
    read = decoder(SessionList)

    def fetch(window: Window) -> Page:
        only = {"customer": customers[window.number]} if customers else {}
        asked = page_parameters(window.since, window.until, window.cursor, status="complete", **only)
        found = read(stripe.get("/v1/checkout/sessions", asked))
        rows = [_top_up(scan_id, session) for session in found.data]
        return _page(window, rows, found.data, found.has_more)

    return fetch


def staging(table: Table, columns: Sequence[str]) -> Store:
    """A writer of pages into a staging table; a page's rows that say nothing (None) are left out."""

    def store(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        load(connection, table, columns, [row for row in rows if row])

    return store


store_subscriptions = staging(staged_subscriptions, ("scan_id", "id", *FACTS))
store_sessions = staging(staged_sessions, SESSION_COLUMNS)


def forget_old(connection: Connection) -> None:
    """Empty the staging tables of scans that are no more."""
    living = select(scans.c.id)
    for table in STAGING:
        connection.execute(table.delete().where(table.c.scan_id.not_in(living)))


def probe(
    engine: Engine,
    table: Table,
    columns: Sequence[str],
    keys: Iterable[str],
    ask: Callable[[str], Sequence[Any]],
    *,
    lease: Lease,
    tick: Callable[[int], None],
) -> None:
    """Ask Stripe about each of `keys`, many at a time, and stage the answers; what was staged before a stop stays."""
    count = 0
    pool = ThreadPoolExecutor(THREADS)
    try:
        for batch in batched(keys, PROBES_A_COMMIT):
            rows = list(pool.map(ask, batch))
            with writing(engine) as connection:
                lease.assert_held(connection)
                load(connection, table, columns, rows)
            count += len(rows)
            tick(count)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def customer_probe(stripe: Service, scan_id: str) -> Callable[[str], Sequence[Any]]:
    """Who a customer says it is: a row of `staged_customers`. One that Stripe does not know counts as deleted."""
    read = decoder(Customer)

    def ask(customer: str) -> Sequence[Any]:
        try:
            found = read(stripe.get(f"/v1/customers/{quote(customer, safe='')}"))
        except NotFoundError:
            found = Customer(customer, deleted=True)
        metadata = found.metadata or {}
        return (scan_id, customer, found.deleted, found.email, as_uuid(metadata.get("userId")), metadata.get("privyUserId"))

    return ask


def absence_probe(stripe: Service, scan_id: str) -> Callable[[str], Sequence[Any]]:
    """Does Stripe really not have a subscription? A row of `staged_absences`."""
    read = decoder(Subscription)

    def ask(subscription: str) -> Sequence[Any]:
        if not _ID.fullmatch(subscription):
            return (scan_id, subscription, True)
        try:
            read(stripe.get(f"/v1/subscriptions/{subscription}"))
        except NotFoundError:
            return (scan_id, subscription, True)
        return (scan_id, subscription, False)

    return ask


def invoice_probe(stripe: Service, scan_id: str, settled: int) -> Callable[[str], Sequence[Any]]:
    """The newest renewal of a subscription that was paid before `settled` (epoch seconds): a row of `staged_invoices`."""
    read = decoder(InvoiceList)

    def ask(subscription: str) -> Sequence[Any]:
        found = read(stripe.get("/v1/invoices", {"subscription": subscription, "status": "paid", "limit": 10}))
        renewals = [invoice for invoice in found.data if invoice.billing_reason == "subscription_cycle" and invoice.paid_at < settled]
        newest = max(renewals, key=lambda invoice: invoice.created, default=None)
        return (scan_id, subscription, newest.id if newest else None, newest.created if newest else None)

    return ask


def paid_lately(stripe: Service, since: int) -> Iterator[str]:
    """The checkouts that were paid at `since` (epoch seconds) or later.

    A checkout is open for up to a day and a bank may take days more, so its own time says nothing; the event of its payment does.
    """
    read = decoder(EventList)
    window: Window | None = Window(since=since)
    while window:
        asked = page_parameters(window.since, None, window.cursor)
        found = read(stripe.get("/v1/events", {**asked, "types[]": PAID_EVENTS}))
        yield from (event.data.object.id for event in found.data)
        page = _page(window, (), found.data, found.has_more)
        window = Window(since=since, cursor=page.cursor, position=page.created[-1]) if page.more else None


def batched(items: Iterable[str], size: int) -> Iterable[list[str]]:
    """`items` in lists of at most `size`."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _page(window: Window, rows: Sequence[Any], objects: Sequence[Subscription | Session | Event], more: bool) -> Page:
    """A page of `window`. Raises ServiceError for one that leads back: reading on would never end."""
    created = [item.created for item in objects]
    if objects and (
        objects[-1].id == window.cursor
        or len({item.id for item in objects}) < len(objects)
        or (window.until is not None and created[0] >= window.until)
        or (window.position is not None and created[0] > window.position)
        or any(later > earlier for earlier, later in itertools.pairwise(created))
    ):
        raise ServiceError("Stripe's list does not go on from where it was asked to", "Nothing was written; try again later")
    return Page(rows, created, objects[-1].id if objects else None, more and bool(objects))


def _top_up(scan_id: str, session: Session) -> Sequence[Any] | None:
    metadata = session.metadata or {}
    if not session.is_top_up or session.payment_status != "paid":
        return None
    return (
        scan_id,
        session.id,
        reference(session.customer),
        as_uuid(metadata.get("user_id")),
        session.tokens,
        min(session.amount_total or 0, LARGEST),
        metadata.get("package_id"),
        session.created,
    )
