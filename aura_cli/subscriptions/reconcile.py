"""Stripe against the database: read all of Stripe into staging, compare in SQL, make a plan, apply what still holds."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from sqlalchemy import Connection, Engine, and_, func, select

from aura_cli.db.engine import analyze, beside, reading, writing
from aura_cli.db.leases import Lease
from aura_cli.db.shared import subscriptions as local
from aura_cli.db.types import among
from aura_cli.drift import plan, scan
from aura_cli.drift.apply import apply
from aura_cli.drift.plan import Change
from aura_cli.drift.scan import Fetch, Store, Window
from aura_cli.drift.tables import plan_rows, plans, scans
from aura_cli.errors import NotFoundError
from aura_cli.subscriptions import customers, planning, scanning
from aura_cli.subscriptions.compare import LOCAL, Scope, by_status, compare, on_side, prepare, remember, remember_links
from aura_cli.subscriptions.kinds import KINDS
from aura_cli.subscriptions.owners import unlinked_customers
from aura_cli.subscriptions.stripe import NEAREST, PAGE, Customer, CustomerList, Subscription, decoder, reference
from aura_cli.subscriptions.tables import staged_absences, staged_customers, staged_invoices, staged_sessions
from aura_cli.transport import Service
from aura_cli.users.departed import ERASED, erased_logins

SUBSCRIPTIONS, SESSIONS = "stripe_subscriptions", "stripe_checkout_sessions"
SESSION_DAYS = 35  # how far back top-ups are looked for without --history
DAY = 86_400


@dataclass(frozen=True)
class Wanted:
    """What one run is to look at: everybody, or the person `user` (uuid) with these `customers`."""

    user: str | None = None
    customers: Sequence[str] = ()
    history: bool = False
    resume: bool = False

    @property
    def scope(self) -> str:
        return self.user or ",".join(self.customers)


@dataclass(frozen=True)
class Progress:
    """How a run tells where it is: `step` begins a step and gives a counter; `note` is a line for the person."""

    step: Callable[[str, int | None], Callable[[int], None]] = lambda label, expected: lambda count: None
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Reconciliation:
    """What a run found and did. `remote` and `local` count subscriptions, `counts` the drift by kind; `drift` is streamed."""

    complete: bool
    remote: int
    local: int
    counts: Mapping[str, int]
    drift: Iterator[Change]
    applied: int
    skipped: int
    plan: str
    unknown_statuses: Mapping[str, int]
    duration_s: float
    left: int = field(default=0)  # changes that remain for a person or a later run


@dataclass(frozen=True)
class Planned:
    """A plan that is made and not yet applied."""

    plan: str
    remote: int
    local: int
    counts: Mapping[str, int]
    unknown_statuses: Mapping[str, int]
    begun: float


def make_plan(engine: Engine, stripe: Service, wanted: Wanted, now: datetime, *, lease: Lease, progress: Progress) -> Planned:
    """Scan, compare and plan; nothing in the shared tables is written.

    Raises what the scans raise; what was scanned until then is kept for `wanted.resume`.
    """
    begun, moment = monotonic(), int(now.timestamp())
    _say_how_long(engine, stripe, wanted, progress)
    _forget_finished(engine, wanted, lease)
    since = None if wanted.history else moment - SESSION_DAYS * DAY
    with beside(engine, lambda connection: _remember_links(connection, wanted, lease)):
        pages = _subscription_pages(stripe, wanted)
        subscriptions = _scan(engine, SUBSCRIPTIONS, wanted, lease, progress, scanning.store_subscriptions, pages)
        sessions = _scan(engine, SESSIONS, wanted, lease, progress, scanning.store_sessions, _session_pages(stripe, wanted), since)
    scope = Scope(subscriptions, wanted.user, wanted.history, narrow=bool(wanted.customers))
    with writing(engine) as connection:
        lease.assert_held(connection)
        scanning.forget_old(connection)
        prepare(connection)
    with beside(engine, lambda connection: _remember(connection, scope, lease)):  # nothing of the plan looks at it
        with writing(engine) as connection:
            lease.assert_held(connection)
            compare(connection, scope)
        settled = moment - planning.SETTLED_SECONDS
        _probe(engine, stripe, scope, settled, lease, progress)
        _leave_out_fresh_top_ups(engine, stripe, sessions, settled, lease)
        with writing(engine) as connection:
            lease.assert_held(connection)
            planned = _plan(connection, f"reconcile {wanted.scope}".strip(), scope, sessions, begun)
    _say_unknown(planned.unknown_statuses, progress)
    return planned


def _plan(connection: Connection, command: str, scope: Scope, sessions: str, begun: float) -> Planned:
    here = connection.execute(select(func.count()).select_from(local).where(scope.ours)).scalar_one()
    made = plan.create(connection, command, scope.scan_id, complete=True, rows_here=here)
    fill(connection, made, scope, sessions)
    statuses = by_status(connection, scope)
    unknown = {status: count for status, count in statuses.items() if status not in NEAREST}
    return Planned(made, sum(statuses.values()), here, plan.counts(connection, made), unknown, begun)


def _remember(connection: Connection, scope: Scope, lease: Lease) -> None:
    lease.assert_held(connection)
    remember(connection, scope)


def _remember_links(connection: Connection, wanted: Wanted, lease: Lease) -> None:
    lease.assert_held(connection)
    if wanted.user or not wanted.customers:
        remember_links(connection, wanted.user)


def fill(connection: Connection, plan_id: str, scope: Scope, sessions: str) -> None:
    """Put all drift that `compare` and the probes found into a plan."""
    for kind, found in planning.everything(scope, sessions, plan_id):
        plan.add(connection, plan_id, KINDS[kind], found)
        if kind == "missing_locally":  # what follows joins with these
            analyze(connection, plan_rows)


def report(engine: Engine, planned: Planned) -> Reconciliation:
    """The result of a run that writes nothing."""
    total = sum(planned.counts.values())
    return _result(engine, planned, applied=0, skipped=0, left=total)


def carry_out(
    engine: Engine,
    planned: Planned,
    operator: str,
    *,
    lease: Lease,
    limit: int | None,
    progress: Progress,
    consent: Callable[[Mapping[str, int]], object] = lambda kinds: None,
) -> Reconciliation:
    """Apply a plan and tell what was done. Raises ConflictError where it changes implausibly much (`limit`).

    `consent` is asked before the first write, with how much of each kind is about to change, and raises where there is none.
    """
    plan.require_plausible(planned.counts, KINDS, planned.local, limit)
    consent(plan.repairable(planned.counts, KINDS))
    tick = progress.step("Applying", sum(planned.counts.values()))
    done = apply(engine, planned.plan, KINDS, operator, lease=lease, tick=tick)
    with reading(engine) as connection:
        settled = sum(plan.counts(connection, planned.plan, state="applied").values())
    return _result(engine, planned, done.applied, done.skipped, left=sum(planned.counts.values()) - settled)


def customers_of(stripe: Service, user: str, linked: str | None) -> list[str]:
    """The Stripe customers of a user: the one `linked` to it, else those whose metadata names the user.

    Raises NotFoundError where there is none.
    """
    if linked:
        return [linked]
    query = f"metadata['userId']:'{user}'"
    found = decoder(CustomerList)(stripe.get("/v1/customers/search", {"query": query, "limit": 20}))
    if not found.data:
        raise NotFoundError(f"User {user} has no customer at Stripe", "Nothing to reconcile")
    return [customer.id for customer in found.data]


def customer_at_stripe(stripe: Service, identifier: str) -> str:
    """The customer that a `cus_…` or `sub_…` unknown here belongs to. Raises NotFoundError where Stripe does not know it either."""
    if identifier.startswith("sub_"):
        subscription = decoder(Subscription)(stripe.get(f"/v1/subscriptions/{identifier}"))
        return reference(subscription.customer) or ""
    return decoder(Customer)(stripe.get(f"/v1/customers/{identifier}")).id


def _result(engine: Engine, planned: Planned, applied: int, skipped: int, left: int) -> Reconciliation:
    return Reconciliation(
        complete=True,
        remote=planned.remote,
        local=planned.local,
        counts=planned.counts,
        drift=plan.changes(engine, planned.plan),
        applied=applied,
        skipped=skipped,
        plan=planned.plan,
        unknown_statuses=planned.unknown_statuses,
        duration_s=round(monotonic() - planned.begun, 3),
        left=left,
    )


def _subscription_pages(stripe: Service, wanted: Wanted) -> Callable[[str], Fetch]:
    return lambda scan_id: scanning.subscription_pages(stripe, scan_id, wanted.customers)


def _session_pages(stripe: Service, wanted: Wanted) -> Callable[[str], Fetch]:
    return lambda scan_id: scanning.session_pages(stripe, scan_id, wanted.customers)


def _scan(
    engine: Engine,
    source: str,
    wanted: Wanted,
    lease: Lease,
    progress: Progress,
    store: Store,
    pages: Callable[[str], Fetch],
    since: int | None = None,
) -> str:
    """A finished scan of `source`: the one that was broken off, carried on, or a new one from `since` on. Returns its id."""
    parameters = {"customers": list(wanted.customers), "history": wanted.history}
    windows = [Window(number, since) for number in range(max(1, len(wanted.customers)))]
    with writing(engine) as connection:
        lease.assert_held(connection)
        scan_id = scan.resumable(connection, source, wanted.scope, parameters) if wanted.resume else None
        if scan_id is None:
            scan_id = scan.begin(connection, source, wanted.scope, parameters, windows)
    threads = 1 if wanted.customers else scanning.THREADS
    tick = progress.step(f"Reading {source.replace('_', ' ')}", None)
    scan.run(engine, scan_id, pages(scan_id), store, lease=lease, threads=threads, tick=tick)
    return scan_id


def _say_how_long(engine: Engine, stripe: Service, wanted: Wanted, progress: Progress) -> None:
    """A scan of everything takes as long as its pages at the request rate: about as many as we have rows."""
    if wanted.customers or not stripe.rate.per_second:
        return
    with reading(engine) as connection:
        rows = connection.execute(select(func.count()).select_from(local)).scalar_one()
    minutes = rows / PAGE / stripe.rate.per_second / 60
    if minutes > 1:
        progress.note(f"About {rows:,} subscriptions to read at {stripe.rate.per_second:g} requests a second: some {minutes:.0f} minutes")


def _forget_finished(engine: Engine, wanted: Wanted, lease: Lease) -> None:
    """What led to a plan has come to its end: only what was broken off before it can be resumed."""
    s = scans.c
    of_this = and_(s.scope == wanted.scope, s.source.in_((SUBSCRIPTIONS, SESSIONS)))
    planned = select(1).select_from(scans.join(plans, plans.c.scan_id == s.id)).where(of_this).exists()
    with writing(engine) as connection:
        lease.assert_held(connection)
        if not wanted.resume or connection.execute(select(planned)).scalar():
            connection.execute(scans.delete().where(of_this))


def _probe(engine: Engine, stripe: Service, scope: Scope, settled: int, lease: Lease, progress: Progress) -> None:
    """Ask Stripe one by one about what the comparison alone cannot tell."""
    asked = select(staged_absences.c.subscription).where(staged_absences.c.scan_id == scope.scan_id)
    probes = (
        ("customers", staged_customers, unlinked_customers(scope), scanning.customer_probe(stripe, scope.scan_id)),
        ("subscriptions", staged_absences, on_side(scope, LOCAL).except_(asked), scanning.absence_probe(stripe, scope.scan_id)),
        ("renewals", staged_invoices, planning.renewal_candidates(scope), scanning.invoice_probe(stripe, scope.scan_id, settled)),
    )
    for label, table, keys, ask in probes:
        with reading(engine) as connection:
            found = [row[0] for row in connection.execute(keys)]
        tick = progress.step(f"Asking about {label}", len(found))
        scanning.probe(engine, table, [column.name for column in table.columns], found, ask, lease=lease, tick=tick)
    _forget_erased(engine, scope, lease)


def _forget_erased(engine: Engine, scope: Scope, lease: Lease) -> None:
    """Customers of people who were erased belong to nobody, whatever Stripe still says of them; ERASED in place of a DID says so."""
    c = staged_customers.c
    with writing(engine) as connection:
        lease.assert_held(connection)
        asked = dict(connection.execute(select(c.id, c.privy_reference).where(c.scan_id == scope.scan_id)).all())
        if logins := erased_logins(connection, {did for did in asked.values() if did}):
            had = and_(c.scan_id == scope.scan_id, among(c.privy_reference, logins))
            connection.execute(staged_customers.update().where(had).values(privy_reference=ERASED))
        if erased := customers.erased(connection, asked):
            theirs = and_(c.scan_id == scope.scan_id, among(c.id, erased))
            connection.execute(staged_customers.update().where(theirs).values(email=None, user_reference=None, privy_reference=ERASED))


def _leave_out_fresh_top_ups(engine: Engine, stripe: Service, sessions: str, settled: int, lease: Lease) -> None:
    """The web app may still be at work on what was paid just now: such a top-up is not missing yet."""
    with reading(engine) as connection:
        if not connection.execute(planning.unbooked_sessions(sessions).limit(1)).first():
            return
    fresh = list(scanning.paid_lately(stripe, settled))
    with writing(engine) as connection:
        lease.assert_held(connection)
        s = staged_sessions.c
        for batch in scanning.batched(fresh, 1_000):
            connection.execute(staged_sessions.delete().where(s.scan_id == sessions, s.id.in_(batch)))


def _say_unknown(unknown: Mapping[str, int], progress: Progress) -> None:
    for status, count in unknown.items():
        progress.note(f"Warning: {count} subscriptions have the status {json.dumps(status)}, which this program does not know: left alone")
