"""What each kind of drift selects: rows of key, subscription, user, before and after, for a plan."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Text, and_, case, cast, func, literal, null, or_, select, union_all

from aura_cli.db.shared import MONTHLY_ALLOCATION, token_balances, token_top_ups, users
from aura_cli.db.shared import subscriptions as local
from aura_cli.db.types import Id, Json, from_epoch, json_record, moved_by, text_of, utc_now
from aura_cli.drift.tables import plan_rows
from aura_cli.subscriptions.booking import NO_ALLOCATION
from aura_cli.subscriptions.compare import CROWD, REMOTE, Scope, differing, differing_in, entitles_at_stripe, nearest, on_side
from aura_cli.subscriptions.owners import owners
from aura_cli.subscriptions.tables import grants, staged_absences, staged_invoices, staged_sessions
from aura_cli.subscriptions.tables import staged_subscriptions as remote
from aura_cli.users.departed import is_somebody

SETTLED_SECONDS = 15 * 60  # the web app may still be at work on what was paid just now
INVOICE_SETTLED_SECONDS = 2 * 3600  # Stripe collects a renewal about an hour after it made the invoice

_AFTER: Mapping[str, Mapping[str, ColumnElement[Any]]] = {  # kind → column of ours → Stripe's value for it
    "status": {"status": nearest(remote.c.status)},
    "period": {"current_period_start": from_epoch(remote.c.period_start), "current_period_end": from_epoch(remote.c.period_end)},
    "price": {"stripe_price_id": remote.c.price},
    "trial": {"trial_end": from_epoch(remote.c.trial_end)},
    "cancel_flag": {"cancel_at_period_end": remote.c.cancel_at_period_end},
}


def row(key: Any, subscription: Any, user: Any, before: Any, after: Any) -> Select[Any]:
    """A SELECT in the shape that `drift.plan.add` takes."""
    columns = {"key": key, "subscription": subscription, "user_id": user, "before": before, "after": after}
    return select(*(column.label(name) for name, column in columns.items()))


def record(**values: ColumnElement[Any]) -> ColumnElement[Any]:
    """A JSON object of `values`, each in the form that a plan keeps it in."""
    return json_record(*(part for name, value in values.items() for part in (name, text_of(value))))


def nothing() -> ColumnElement[Any]:
    return cast(null(), Json)


def differences(scope: Scope, kind: str) -> Select[Any]:
    """Rows on both sides in which the columns of `kind` differ."""
    after = _AFTER[kind]
    before = {name: local.c[name] for name in after}
    pairs = remote.join(local, local.c.stripe_subscription_id == remote.c.id)
    rows = row(remote.c.id, remote.c.id, local.c.user_id, record(**before), record(**after)).select_from(pairs)
    return rows.where(scope.seen, remote.c.id.in_(differing_in(scope, kind)), differing()[kind]).order_by(remote.c.id)


def missing_locally(scope: Scope, plan_id: str) -> Select[Any]:
    """Subscriptions that Stripe has and we have not, whose customer has one user (linked already, or by this plan)."""
    owner = owners(scope, plan_id)
    values: dict[str, ColumnElement[Any]] = {"user_id": owner.c.user_id, "stripe_subscription_id": remote.c.id}
    values |= {name: value for after in _AFTER.values() for name, value in after.items()}
    values |= {"created_at": from_epoch(remote.c.created), "customer": remote.c.customer}
    pairs = remote.join(owner, owner.c.customer == remote.c.customer)
    rows = row(remote.c.id, remote.c.id, owner.c.user_id, nothing(), record(**values)).select_from(pairs)
    return rows.where(scope.seen, remote.c.id.in_(on_side(scope, REMOTE))).order_by(remote.c.id)


def missing_remotely(scope: Scope) -> Select[Any]:
    """Rows of ours whose subscription Stripe does not know, confirmed one by one."""
    s = staged_absences.c
    pairs = local.join(staged_absences, and_(s.subscription == local.c.stripe_subscription_id, s.scan_id == scope.scan_id))
    before = record(status=cast(local.c.status, Text))
    key = local.c.stripe_subscription_id
    return row(key, key, local.c.user_id, before, nothing()).select_from(pairs).where(s.absent).order_by(key)


def projected(scope: Scope, plan_id: str) -> FromClause:
    """Each row of users with several, as it will be once the plan is applied; `rank` is the web app's choice.

    `truth` is when Stripe made it, `entitles` whether it gives access; `best` and `true_best` say the same of the rows that are
    chosen by created_at as it stands and as Stripe has it; of rows made in the same moment all have to.
    """
    missing = and_(plan_rows.c.plan_id == plan_id, plan_rows.c.kind == "missing_locally")
    crowded = on_side(scope, CROWD).subquery()
    several = union_all(select(cast(crowded.c.subscription, Id)), select(plan_rows.c.user_id).where(missing))
    now = utc_now()
    here = or_(local.c.status == "active", and_(local.c.status == "trialing", local.c.trial_end > now))
    known = nearest(remote.c.status).is_not(None)
    access = case((and_(known, scope.settled()), entitles_at_stripe(now)), else_=here)
    seen = and_(remote.c.id == local.c.stripe_subscription_id, scope.seen)
    ours = select(
        local.c.user_id,
        local.c.stripe_subscription_id.label("id"),
        local.c.created_at.label("created"),
        func.coalesce(from_epoch(remote.c.created), local.c.created_at).label("truth"),
        case((access, 1), else_=0).label("entitles"),
        case((and_(remote.c.id.is_not(None), access), 1), else_=0).label("paying"),
    ).select_from(local.outerjoin(remote, seen))
    made = from_epoch(remote.c.created)
    pays = case((entitles_at_stripe(now), 1), else_=0)
    added = select(
        plan_rows.c.user_id, remote.c.id, made.label("created"), made.label("truth"), pays.label("entitles"), pays.label("paying")
    )
    added = added.select_from(plan_rows.join(remote, and_(remote.c.id == plan_rows.c.key, scope.seen))).where(missing)
    rows = union_all(ours.where(local.c.user_id.in_(several)), added.where(plan_rows.c.user_id.in_(several))).subquery("rows")
    ranked = select(
        *rows.c,
        func.rank().over(partition_by=rows.c.user_id, order_by=rows.c.created.desc()).label("rank"),
        func.rank().over(partition_by=rows.c.user_id, order_by=rows.c.truth.desc()).label("true_rank"),
        func.row_number()
        .over(partition_by=rows.c.user_id, order_by=(rows.c.entitles.desc(), rows.c.truth.desc(), rows.c.id))
        .label("candidate"),
    ).subquery("ranked")
    best = func.min(case((ranked.c.rank == 1, ranked.c.entitles))).over(partition_by=ranked.c.user_id)
    true_best = func.min(case((ranked.c.true_rank == 1, ranked.c.entitles))).over(partition_by=ranked.c.user_id)
    newest = func.max(case((ranked.c.created > ranked.c.truth, ranked.c.created), else_=ranked.c.truth)).over(partition_by=ranked.c.user_id)
    anyone = func.max(ranked.c.entitles).over(partition_by=ranked.c.user_id)
    labelled = (best.label("best"), true_best.label("true_best"), newest.label("newest"), anyone.label("anyone"))
    return select(*ranked.c, *labelled).cte("projected")


def shadowed(scope: Scope, plan_id: str) -> Select[Any]:
    """Rows whose created_at makes the web app choose a row that does not entitle, though another does.

    Where Stripe's own times mend it they are set. Where they do not (a newer attempt that failed stands above an older
    subscription that is paid) the entitling row is lifted a second above all others: the web app asks nothing else of the column.
    """
    p = projected(scope, plan_id).c
    truthful = and_(p.true_best == 1, p.created != p.truth)
    lifted = and_(p.true_best == 0, p.candidate == 1)
    after = case((p.true_best == 1, p.truth), else_=moved_by(p.newest, 1))
    rows = row(p.id, p.id, p.user_id, record(created_at=p.created), record(created_at=after))
    return rows.where(p.anyone == 1, p.best == 0, or_(truthful, lifted)).order_by(p.user_id, p.id)


def duplicate_active(scope: Scope, plan_id: str) -> Select[Any]:
    """Users whom Stripe bills for more than one subscription at once."""
    p = projected(scope, plan_id).c
    paid = select(p.user_id, func.min(p.id).label("first"), func.max(p.id).label("last"), func.count().label("count"))
    users_paying_twice = paid.where(p.paying == 1).group_by(p.user_id).having(func.count() > 1).subquery()
    u = users_paying_twice.c
    return row(cast(u.user_id, Text), u.first, u.user_id, record(count=u.count, first=u.first, last=u.last), nothing()).order_by(u.user_id)


def unprovided(scope: Scope, plan_id: str) -> FromClause:
    """User and subscription of each subscription that gives access by now settled, rows that the plan adds included, without a balance.

    The balances are asked first: they leave few rows to join with Stripe's.
    """
    condition = and_(scope.seen, entitles_at_stripe(), from_epoch(remote.c.created) < _ago(SETTLED_SECONDS))
    here = select(local.c.user_id, remote.c.id).select_from(remote.join(local, local.c.stripe_subscription_id == remote.c.id))
    added = select(plan_rows.c.user_id, remote.c.id).select_from(remote.join(plan_rows, plan_rows.c.key == remote.c.id))
    missing = and_(plan_rows.c.plan_id == plan_id, plan_rows.c.kind == "missing_locally")
    return union_all(
        here.where(condition, ~_provided(local.c.user_id)), added.where(condition, missing, ~_provided(plan_rows.c.user_id))
    ).subquery("unprovided")


def _provided(user: ColumnElement[Any]) -> ColumnElement[bool]:
    b = token_balances.c
    return select(1).select_from(token_balances).where(b.user_id == user, b.monthly_allocation != NO_ALLOCATION).exists()


def balance(scope: Scope, plan_id: str) -> Select[Any]:
    """Users with access and no balance row, or one that only holds what was bought or granted beside a subscription."""
    e = unprovided(scope, plan_id)
    u = select(e.c.user_id, func.min(e.c.id).label("id")).group_by(e.c.user_id).subquery()
    after = record(cause="subscription:" + u.c.id, tokens=literal(MONTHLY_ALLOCATION))
    return (
        row(cast(u.c.user_id, Text), u.c.id, u.c.user_id, nothing(), after)
        .where(_ungranted("subscription:" + u.c.id), _of_somebody(u.c.user_id))
        .order_by(u.c.user_id)
    )


def renewal_candidates(scope: Scope) -> Select[Any]:
    """Subscriptions in a later period than their first whose user's balance was last reset before that period began."""
    b = token_balances.c
    begins = from_epoch(remote.c.period_start)
    pairs = remote.join(local, local.c.stripe_subscription_id == remote.c.id).join(token_balances, b.user_id == local.c.user_id)
    renewed = and_(remote.c.status == "active", remote.c.period_start > remote.c.created + 3600)
    asked = select(staged_invoices.c.subscription).where(staged_invoices.c.scan_id == scope.scan_id)
    return (
        select(remote.c.id)
        .select_from(pairs)
        .where(scope.seen, renewed, or_(b.last_reset_at.is_(None), b.last_reset_at < begins), remote.c.id.not_in(asked))
        .order_by(remote.c.id)
    )


def renewal_missing(scope: Scope) -> Select[Any]:
    """Balances whose last reset is older than the newest paid renewal."""
    b, i = token_balances.c, staged_invoices.c
    pairs = (
        staged_invoices.join(local, local.c.stripe_subscription_id == i.subscription)
        .join(token_balances, b.user_id == local.c.user_id)
        .join(remote, and_(remote.c.id == i.subscription, remote.c.scan_id == i.scan_id))
    )
    paid = from_epoch(i.created)
    stale = and_(
        or_(b.last_reset_at.is_(None), b.last_reset_at < paid), paid < _ago(INVOICE_SETTLED_SECONDS), _ungranted("invoice:" + i.id)
    ) & _of_somebody(b.user_id)
    allocation = case((b.monthly_allocation > 0, b.monthly_allocation), else_=MONTHLY_ALLOCATION)
    after = record(cause="invoice:" + i.id, tokens=allocation, billed_at=paid)
    rows = row(cast(b.user_id, Text), i.subscription, b.user_id, record(balance=b.balance, last_reset_at=b.last_reset_at), after)
    return rows.select_from(pairs).where(i.scan_id == scope.scan_id, i.id.is_not(None), stale).order_by(i.subscription)


def topup_missing(scope: Scope, sessions_scan: str, plan_id: str) -> Select[Any]:
    """Paid top-ups without their row, whose user is known by the session or by its customer."""
    s = staged_sessions.c
    source, named, user = _session_users(scope, plan_id)
    customer = case((named.is_(None), s.customer))
    after = record(cause="session:" + s.id, tokens=s.tokens, amount=s.amount, package=s.package, customer=customer)
    rows = row(s.id, cast(null(), Text), user, nothing(), after).select_from(source)
    return rows.where(_unbooked(sessions_scan), user.is_not(None), s.tokens > 0).order_by(s.id)


def homeless_topups(scope: Scope, sessions_scan: str, plan_id: str) -> Select[Any]:
    """Paid top-ups of nobody that we know, or of a number of tokens that makes no sense: a person has to look."""
    s = staged_sessions.c
    source, _, user = _session_users(scope, plan_id)
    rows = row(s.id, cast(null(), Text), user, record(session=s.id, customer=s.customer, tokens=s.tokens), nothing()).select_from(source)
    return rows.where(_unbooked(sessions_scan), or_(user.is_(None), s.tokens == 0)).order_by(s.id)


def unbooked_sessions(sessions_scan: str) -> Select[Any]:
    """The paid top-ups of a scan that nobody has booked."""
    return select(staged_sessions.c.id).where(_unbooked(sessions_scan))


def _session_users(scope: Scope, plan_id: str) -> tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]:
    """Sessions with the user whom each names itself, and that one or else the owner of its customer."""
    s, owner = staged_sessions.c, owners(scope, plan_id, among=staged_sessions.c.customer)
    named = users.alias("named")
    by_name = named.c.id == cast(s.user_reference, named.c.id.type)
    source = staged_sessions.outerjoin(named, by_name).outerjoin(owner, owner.c.customer == s.customer)
    return source, named.c.id, func.coalesce(named.c.id, owner.c.user_id, type_=users.c.id.type)


def _unbooked(sessions_scan: str) -> ColumnElement[bool]:
    s = staged_sessions.c
    booked = select(1).select_from(token_top_ups).where(token_top_ups.c.stripe_session_id == s.id).exists()
    return and_(s.scan_id == sessions_scan, from_epoch(s.created) < _ago(SETTLED_SECONDS), ~booked, _ungranted("session:" + s.id))


def _of_somebody(user: ColumnElement[Any]) -> ColumnElement[bool]:
    """Nobody uses the tokens of a row whose person was erased."""
    return select(1).select_from(users).where(users.c.id == user, is_somebody()).exists()


def _ungranted(cause: ColumnElement[str]) -> ColumnElement[bool]:
    return ~select(1).select_from(grants).where(grants.c.cause == cause).exists()


def _ago(seconds: int) -> ColumnElement[Any]:
    return moved_by(utc_now(), -seconds)


def everything(scope: Scope, sessions_scan: str, plan_id: str) -> Iterator[tuple[str, Select[Any]]]:
    """Kind and selection in the order in which a plan is filled: later ones look at the rows of earlier ones."""
    from aura_cli.subscriptions.owners import ambiguous_link, unknown_customer

    yield "unknown_customer", unknown_customer(scope)
    yield "missing_locally", missing_locally(scope, plan_id)
    yield from ((kind, differences(scope, kind)) for kind in _AFTER)
    yield "shadowed", shadowed(scope, plan_id)
    yield "balance", balance(scope, plan_id)
    yield "renewal_missing", renewal_missing(scope)
    yield "topup_missing", topup_missing(scope, sessions_scan, plan_id)
    yield "missing_remotely", missing_remotely(scope)
    yield "duplicate_active", duplicate_active(scope, plan_id)
    yield "ambiguous_link", ambiguous_link(scope, plan_id)
    yield "ambiguous_link", homeless_topups(scope, sessions_scan, plan_id)
