"""Stripe's side against ours, in SQL: which subscriptions differ, which are on one side only, what is new to remember."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)

from aura_cli.db.engine import analyze, upsert
from aura_cli.db.shared import subscriptions as local
from aura_cli.db.shared import users
from aura_cli.db.types import from_epoch, utc_now
from aura_cli.drift.tables import scans
from aura_cli.subscriptions.stripe import ENDED, NEAREST
from aura_cli.subscriptions.tables import FACTS, customer_links, staged_differences, subscription_states
from aura_cli.subscriptions.tables import staged_subscriptions as remote

REMOTE, LOCAL, CROWD = "remote", "local", "crowd"


@dataclass(frozen=True)
class Scope:
    """What one reconcile looks at: a finished scan, ended subscriptions too with `history`.

    A `narrow` one saw the customers of one person alone: `user` (uuid), or None where nobody is linked to them yet.
    """

    scan_id: str
    user: str | None = None
    history: bool = False
    narrow: bool = False

    @property
    def seen(self) -> ColumnElement[bool]:
        """The staged rows of this scan."""
        return remote.c.scan_id == self.scan_id

    @property
    def begun(self) -> ColumnElement[Any]:
        """When the scan began."""
        return select(scans.c.started_at).where(scans.c.id == self.scan_id).scalar_subquery()

    def settled(self, ours: Any = local) -> ColumnElement[bool]:
        """Nobody wrote this row of `ours` since the scan began: what Stripe said then is no older than the row."""
        settled: ColumnElement[bool] = ours.c.updated_at <= self.begun
        return settled

    @property
    def ours(self) -> ColumnElement[bool]:
        """The rows of `public.subscriptions` in question."""
        if not self.narrow:
            return true()
        return or_(local.c.user_id == self.user, local.c.stripe_subscription_id.in_(select(remote.c.id).where(self.seen)))


def nearest(status: ColumnElement[Any]) -> ColumnElement[Any]:
    """The web app's status for one of Stripe's; NULL for a status that we do not know, which changes nothing."""
    return case(NEAREST, value=status, else_=None)


def entitles_at_stripe(now: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """The web app's rule, asked of Stripe's side: active, or trialing with the trial's end in the future."""
    moment = utc_now() if now is None else now
    return or_(remote.c.status == "active", and_(remote.c.status == "trialing", from_epoch(remote.c.trial_end) > moment))


def differing() -> dict[str, ColumnElement[bool]]:
    """Kind of drift → the condition, over a row of each side, that shows it. What Stripe does not say erases nothing."""
    begins, ends = from_epoch(remote.c.period_start), from_epoch(remote.c.period_end)
    return {
        "status": cast(local.c.status, Text) != nearest(remote.c.status),
        "period": and_(
            remote.c.period_end.is_not(None),
            or_(local.c.current_period_start.is_distinct_from(begins), local.c.current_period_end.is_distinct_from(ends)),
        ),
        "price": and_(remote.c.price.is_not(None), local.c.stripe_price_id.is_distinct_from(remote.c.price)),
        "trial": local.c.trial_end.is_distinct_from(from_epoch(remote.c.trial_end)),
        "cancel_flag": local.c.cancel_at_period_end.is_distinct_from(remote.c.cancel_at_period_end),
    }


def prepare(connection: Connection) -> None:
    """Tell the planner what a scan brought, before anybody joins with it."""
    analyze(connection, remote, "scan_id", "id", "customer", "status")  # the columns that joins ask for: a third of the time of all


def compare(connection: Connection, scope: Scope) -> None:
    """Put down, in one pass over both sides, which subscriptions need a closer look, and which users have several."""
    connection.execute(staged_differences.delete().where(staged_differences.c.scan_id == scope.scan_id))
    theirs = select(remote).where(scope.seen).subquery("theirs")
    known = nearest(theirs.c.status).is_not(None)
    wanted = known if scope.history else and_(known, theirs.c.status.not_in(ENDED))
    ours = select(local).where(scope.ours).subquery("ours") if scope.narrow else local
    differs: ColumnElement[str] = reduce(add, (case((said, f" {kind}"), else_="") for kind, said in _on(theirs, ours).items()))
    side = case(
        (ours.c.id.is_(None), case((wanted, REMOTE), else_="")),
        (theirs.c.id.is_(None), LOCAL),
        (and_(known, scope.settled(ours)), differs),
        else_="",
    )
    joined = theirs.join(ours, ours.c.stripe_subscription_id == theirs.c.id, full=True)
    found = (
        select(func.coalesce(theirs.c.id, ours.c.stripe_subscription_id).label("subscription"), side.label("side"))
        .select_from(joined)
        .subquery()
    )
    _put_down(connection, scope, select(found.c.subscription, found.c.side).where(found.c.side != "").subquery())
    several = select(local.c.user_id).where(scope.ours).group_by(local.c.user_id).having(func.count() > 1).subquery()
    _put_down(connection, scope, select(cast(several.c.user_id, Text), literal(CROWD)).subquery())
    analyze(connection, staged_differences)


def _put_down(connection: Connection, scope: Scope, found: FromClause) -> None:
    """Keep what was found: an id and its side."""
    scan = literal(scope.scan_id, staged_differences.c.scan_id.type)
    connection.execute(insert(staged_differences).from_select(["scan_id", "subscription", "side"], select(scan, *found.c)))


def _on(theirs: Any, ours: Any) -> dict[str, ColumnElement[bool]]:
    """`differing` over the given sides of a join."""
    from sqlalchemy.sql.util import ClauseAdapter

    conditions = differing()
    for adapter in [ClauseAdapter(theirs), *([ClauseAdapter(ours)] if ours is not local else [])]:
        conditions = {kind: adapter.traverse(condition) for kind, condition in conditions.items()}
    return conditions


def on_side(scope: Scope, side: str) -> Select[Any]:
    """The ids that `compare` put down for `side`: subscriptions, and users for CROWD."""
    return select(staged_differences.c.subscription).where(staged_differences.c.scan_id == scope.scan_id, staged_differences.c.side == side)


def differing_in(scope: Scope, kind: str) -> Select[Any]:
    """The ids of the subscriptions that `compare` found to differ in `kind`."""
    differences = staged_differences.c
    return select(differences.subscription).where(differences.scan_id == scope.scan_id, differences.side.contains(f" {kind}"))


def by_status(connection: Connection, scope: Scope) -> dict[str, int]:
    """How many subscriptions Stripe has, by its status."""
    found = select(remote.c.status, func.count()).where(scope.seen).group_by(remote.c.status).order_by(remote.c.status)
    return dict(connection.execute(found).all())


def remember(connection: Connection, scope: Scope) -> None:
    """Append to the exact states what is new since we last looked; one that somebody saw after the scan began stays."""
    state = subscription_states
    same = and_(*(state.c[name].is_not_distinct_from(remote.c[name]) for name in FACTS))
    current = and_(state.c.subscription == remote.c.id, state.c.current)
    moved_on = select(state.c.id).join_from(state, remote, current).where(scope.seen, ~same, state.c.seen_at <= scope.begun)
    connection.execute(state.update().where(state.c.id.in_(moved_on)).values(current=False))
    begun = literal(int(connection.execute(select(scope.begun)).scalar_one().timestamp()), state.c.as_of.type)
    new = select(remote.c.id, *(remote.c[name] for name in FACTS), begun).select_from(remote.outerjoin(state, current))
    _append(connection, state, ["subscription", *FACTS, "as_of"], new.where(scope.seen, state.c.id.is_(None)))


def remember_links(connection: Connection, user: str | None = None) -> None:
    """Keep the customers' mapping in step with `users`, or with the one row of `user` (uuid)."""
    links = customer_links
    everybody = users.c.stripe_customer_id.is_not(None)
    linked = everybody if user is None else and_(everybody, users.c.id == user)
    moved = (
        select(links.c.customer).join(users, users.c.stripe_customer_id == links.c.customer).where(linked, users.c.id != links.c.user_id)
    )
    connection.execute(links.delete().where(links.c.customer.in_(moved)))
    absent = ~select(1).where(links.c.customer == users.c.stripe_customer_id).exists()
    first = select(users.c.stripe_customer_id, func.min(cast(users.c.id, Text)).label("user_id")).where(linked, absent)
    one = first.group_by(users.c.stripe_customer_id).having(func.count() == 1).subquery()
    rows = select(one.c.stripe_customer_id, cast(one.c.user_id, links.c.user_id.type))
    _append(connection, links, ["customer", "user_id"], rows)


def _append(connection: Connection, table: Table, columns: Sequence[str], rows: Select[Any]) -> None:
    """Add what another reconcile (of one person, beside one of everybody) did not add at the same moment."""
    make = upsert(connection, table)
    # without a WHERE, SQLite's grammar takes ON CONFLICT for a join's ON
    connection.execute(make.from_select(list(columns), rows.where(true())).on_conflict_do_nothing())
