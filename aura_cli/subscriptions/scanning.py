"""Reading Stripe into staging: subscriptions and top-up checkouts by scan, single objects by probe."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from aura_cli.db.engine import load, writing
from aura_cli.db.leases import Lease
from aura_cli.drift.scan import Fetch, Page, Store, Window
from aura_cli.drift.tables import scans
from aura_cli.errors import NotFoundError
from aura_cli.subscriptions.stripe import (
    NEAREST,
    Customer,
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

THREADS = 12
PROBES_A_COMMIT = 100
LARGEST_TOP_UP = 1_000_000_000
SESSION_COLUMNS = ("scan_id", "id", "customer", "user_reference", "tokens", "amount", "package", "created")


def subscription_pages(stripe: Service, scan_id: str, customers: Sequence[str], unknown: Counter[str]) -> Fetch:
    """Pages of all subscriptions, or of those of `customers` (a window each). Statuses we do not know are counted in `unknown`."""
    read = decoder(SubscriptionList)

    def fetch(window: Window) -> Page:
        only = {"customer": customers[window.number]} if customers else {}
        found = read(stripe.get("/v1/subscriptions", page_parameters(window.since, window.until, window.cursor, status="all", **only)))
        unknown.update(item.status for item in found.data if item.status not in NEAREST)
        rows = [(scan_id, item.id, *facts(item)) for item in found.data]
        return _page(rows, found.data, found.has_more)

    return fetch


def session_pages(stripe: Service, scan_id: str, customers: Sequence[str], since: int | None) -> Fetch:
    """Pages of the paid top-up checkouts among all completed sessions created from `since` on."""
    read = decoder(SessionList)

    def fetch(window: Window) -> Page:
        only = {"customer": customers[window.number]} if customers else {}
        lower = window.since if window.since is not None else since
        found = read(stripe.get("/v1/checkout/sessions", page_parameters(lower, window.until, window.cursor, status="complete", **only)))
        rows = [_top_up(scan_id, session) for session in found.data]
        return _page(rows, found.data, found.has_more)

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
            found = read(stripe.get(f"/v1/customers/{customer}"))
        except NotFoundError:
            found = Customer(customer, deleted=True)
        metadata = found.metadata or {}
        email = None if found.email is None else found.email.replace("\x00", "")
        return (scan_id, customer, found.deleted, email, metadata.get("userId"), metadata.get("privyUserId"))

    return ask


def absence_probe(stripe: Service, scan_id: str) -> Callable[[str], Sequence[Any]]:
    """Does Stripe really not have a subscription? A row of `staged_absences`."""

    def ask(subscription: str) -> Sequence[Any]:
        try:
            stripe.get(f"/v1/subscriptions/{subscription}")
        except NotFoundError:
            return (scan_id, subscription, True)
        return (scan_id, subscription, False)

    return ask


def invoice_probe(stripe: Service, scan_id: str) -> Callable[[str], Sequence[Any]]:
    """The newest paid renewal of a subscription: a row of `staged_invoices`."""
    read = decoder(InvoiceList)

    def ask(subscription: str) -> Sequence[Any]:
        found = read(stripe.get("/v1/invoices", {"subscription": subscription, "status": "paid", "limit": 10}))
        renewals = [invoice for invoice in found.data if invoice.billing_reason == "subscription_cycle"]
        newest = max(renewals, key=lambda invoice: invoice.created, default=None)
        return (scan_id, subscription, newest.id if newest else None, newest.created if newest else None)

    return ask


def batched(items: Iterable[str], size: int) -> Iterable[list[str]]:
    """`items` in lists of at most `size`."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _page(rows: Sequence[Any], objects: Sequence[Subscription] | Sequence[Session], more: bool) -> Page:
    return Page(rows, [item.created for item in objects], objects[-1].id if objects else None, more and bool(objects))


def _top_up(scan_id: str, session: Session) -> Sequence[Any] | None:
    metadata = session.metadata or {}
    if session.mode != "payment" or session.payment_status != "paid" or metadata.get("type") != "token_topup":
        return None
    tokens = metadata.get("tokens", "")
    if not (tokens.isascii() and tokens.isdigit() and 0 < int(tokens) <= LARGEST_TOP_UP):
        return None
    customer = reference(session.customer)
    return (
        scan_id,
        session.id,
        customer,
        metadata.get("user_id"),
        int(tokens),
        session.amount_total or 0,
        metadata.get("package_id"),
        session.created,
    )
