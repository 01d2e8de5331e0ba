"""Keeping our side of single subscriptions as Stripe has them: the exact state, appended on change, and the web app's row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, text, true, update

from aura_cli.db.engine import is_sqlite, load, upsert
from aura_cli.db.given import given
from aura_cli.db.shared import subscriptions, users
from aura_cli.db.types import among, utc_now
from aura_cli.subscriptions.stripe import ENDED, NEAREST, time_of
from aura_cli.subscriptions.tables import FACTS, subscription_states

GATES = ("status", "trial_end")  # the columns by which a row entitles
COLUMNS = ("status", "stripe_price_id", "current_period_start", "current_period_end", "trial_end", "cancel_at_period_end")


class Facts(NamedTuple):
    """A subscription as Stripe has it: `stripe.facts` with its id. Times in epoch seconds."""

    id: str
    customer: str
    status: str
    price: str | None
    period_start: int | None
    period_end: int | None
    trial_end: int | None
    cancel_at_period_end: bool
    created: int
    currency: str | None
    amount: int | None
    interval: str | None
    interval_count: int | None

    def entitles(self, now: datetime) -> bool:
        """The web app's rule: active, or trialing with the trial's end in the future."""
        return self.status == "active" or (self.status == "trialing" and (self.trial_end or 0) > now.timestamp())


@dataclass(frozen=True)
class State:
    """The state that was seen last: `number` grows with each change, so that it says whether somebody wrote since."""

    number: int
    facts: Facts
    as_of: int | None


@dataclass(frozen=True)
class Row:
    """A row of the web app's: what it gates on, and the columns that Stripe decides."""

    user_id: str
    created_at: datetime
    values: Mapping[str, Any]

    def entitles(self, now: datetime) -> bool:
        end = self.values["trial_end"]
        return self.values["status"] == "active" or bool(self.values["status"] == "trialing" and end and end > now)


def lock(connection: Connection, ids: Iterable[str]) -> None:
    """One writer at a time for each of these subscriptions, until the transaction ends; in one order, so that nobody waits in a circle."""
    if not is_sqlite(connection):  # there a transaction that writes is alone
        locks = "SELECT count(pg_advisory_xact_lock(hashtextextended(key, 0))::text) FROM unnest(CAST(:keys AS text[])) AS key"
        connection.execute(text(locks), {"keys": sorted(set(ids))})


def states(connection: Connection, ids: Iterable[str]) -> dict[str, State]:
    """The newest state of each subscription that was ever seen."""
    s = subscription_states.c
    columns = (s.subscription, *(s[name] for name in FACTS))
    found = connection.execute(select(s.id, s.as_of, *columns).where(s.current, among(s.subscription, ids))).all()
    return {row[2]: State(row[0], Facts(*row[2:]), row[1]) for row in found}


def append(connection: Connection, before: Mapping[str, State], seen: Sequence[Facts], as_of: Mapping[str, int]) -> None:
    """Append the states that differ from `before`, as they were at `as_of` (epoch seconds); of the others note that they still hold."""
    state = subscription_states
    changed = [facts for facts in seen if facts.id not in before or before[facts.id].facts != facts]
    if old := [before[facts.id].number for facts in changed if facts.id in before]:
        connection.execute(state.update().where(among(state.c.id, old)).values(current=False))
    if changed:
        load(connection, state, ("subscription", *FACTS, "as_of"), [(*facts, as_of[facts.id]) for facts in changed])
    same = {facts.id for facts in seen} - {facts.id for facts in changed}
    later: dict[int, list[int]] = {}
    for identifier in same:
        if (before[identifier].as_of or 0) < as_of[identifier]:
            later.setdefault(as_of[identifier], []).append(before[identifier].number)
    for moment, numbers in later.items():
        connection.execute(state.update().where(among(state.c.id, numbers)).values(as_of=moment))


def rows(connection: Connection, ids: Iterable[str], *, hold: bool = True) -> dict[str, Row]:
    """The web app's rows of these subscriptions; with `hold`, nobody else writes them until the transaction ends."""
    return _rows(connection, among(subscriptions.c.stripe_subscription_id, ids), hold=hold)


def hold_users(connection: Connection, ids: Iterable[str]) -> None:
    """Hold users, as everybody does who grants something or writes their rows, and in one order."""
    held = select(users.c.id).where(among(users.c.id, ids)).order_by(users.c.id).with_for_update(key_share=True)
    connection.execute(select(func.count()).select_from(held.subquery("held")))


def desired(facts: Facts) -> dict[str, Any] | None:
    """The web app's columns for what Stripe says; None for a status that we do not know, which changes nothing."""
    status = NEAREST.get(facts.status)
    if status is None:
        return None
    values = {"status": status, "trial_end": _time(facts.trial_end), "cancel_at_period_end": facts.cancel_at_period_end}
    if facts.price is not None:  # what Stripe does not say erases nothing
        values["stripe_price_id"] = facts.price
    if facts.period_end is not None:
        values |= {"current_period_start": _time(facts.period_start), "current_period_end": _time(facts.period_end)}
    return values


def write(connection: Connection, before: Mapping[str, Row], seen: Sequence[tuple[Facts, str]]) -> dict[str, dict[str, Any]]:
    """Bring rows in step with Stripe, each with its user: subscription → the change it took, as `{"before", "after"}`.

    A row that is missing is made with Stripe's `created` as its own, because the web app believes the newest; not for one that has
    ended, which would only stand in the way.
    """
    changes: dict[str, dict[str, Any]] = {}
    new: list[dict[str, Any]] = []
    moving: list[dict[str, Any]] = []
    for facts, user in seen:
        if (values := desired(facts)) is None:
            continue
        row = before.get(facts.id)
        if row is None and facts.status not in ENDED:
            made = {**dict.fromkeys(COLUMNS), **values, "created_at": _time(facts.created)}
            new.append({"user_id": user, "stripe_subscription_id": facts.id, **made})
            changes[facts.id] = {"before": None, "after": {"user_id": user, **made}}
        elif row is not None and (moved := {name: value for name, value in values.items() if row.values[name] != value}):
            moving.append({"stripe_subscription_id": facts.id, **row.values, **moved})
            changes[facts.id] = {"before": {name: row.values[name] for name in moved}, "after": moved}
    name = "stripe_subscription_id"
    if new:
        said = select(given(connection, subscriptions, new, *new[0])).where(true())  # SQLite's grammar wants a WHERE before ON CONFLICT
        connection.execute(upsert(connection, subscriptions).from_select(list(new[0]), said).on_conflict_do_nothing())
    if moving:
        to = given(connection, subscriptions, moving, name, *COLUMNS).c
        values = {**{column: to[column] for column in COLUMNS}, "updated_at": utc_now()}
        connection.execute(update(subscriptions).where(subscriptions.c[name] == to[name]).values(values))
    return changes


def uncover(connection: Connection, of: Iterable[str], now: datetime) -> dict[str, dict[str, Any]]:
    """Where a user's newest row does not entitle and another does, lift that one a second above: the web app looks at the newest alone."""
    by_user: dict[str, list[tuple[str, Row]]] = {}
    for identifier, row in _rows(connection, among(subscriptions.c.user_id, of), hold=True).items():
        by_user.setdefault(row.user_id, []).append((identifier, row))
    changes: dict[str, dict[str, Any]] = {}
    for theirs in by_user.values():
        newest = max(row.created_at for _, row in theirs)
        entitling = [(row.created_at, identifier) for identifier, row in theirs if row.entitles(now)]
        if entitling and any(row.created_at == newest and not row.entitles(now) for _, row in theirs):
            was, identifier = max(entitling)
            lifted = newest + timedelta(seconds=1)
            here = subscriptions.c.stripe_subscription_id == identifier
            connection.execute(update(subscriptions).where(here).values(created_at=lifted, updated_at=utc_now()))
            changes[identifier] = {"before": {"created_at": was}, "after": {"created_at": lifted}}
    return changes


def _rows(connection: Connection, condition: Any, *, hold: bool) -> dict[str, Row]:
    s = subscriptions.c
    columns = (s.stripe_subscription_id, s.user_id, s.created_at, *(s[name] for name in COLUMNS))
    found = select(*columns).where(condition).order_by(s.id)
    return {
        row[0]: Row(row[1], row[2], dict(zip(COLUMNS, row[3:], strict=True)))
        for row in connection.execute(found.with_for_update() if hold else found).all()
    }


def _time(epoch: int | None) -> datetime | None:
    return None if epoch is None else time_of(epoch)
