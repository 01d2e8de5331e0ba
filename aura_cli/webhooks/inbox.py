"""The inbox: an event is stored once, handled by one worker at a time, and is done only when its handler's work is committed.

received → processing (until the lease ends) → done | failed (tried again later) | unmatched (nobody's customer yet; asked about
again at once when a user gets that customer, and now and then) | dead.
`due_at` says when a row is to be looked at next: its next try, or the end of its lease; NULL where nothing is to be done.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, select

from aura_cli.db.engine import BINARY, is_sqlite, load
from aura_cli.db.leases import is_dead
from aura_cli.db.shared import users
from aura_cli.db.types import among, moved_by, utc_now
from aura_cli.webhooks.envelope import Arrival
from aura_cli.webhooks.tables import webhook_attempts, webhook_events

LEASE_SECONDS = 120
ATTEMPTS = 14  # with the waits below: about two days
FIRST_WAIT, LONGEST_WAIT = 2, 6 * 3600  # seconds, doubling, with jitter
HOUR, DAY = 3_600, 86_400
LONGEST_NOTE = 2_000  # characters
_COLUMNS = Arrival._fields
_ARRAYS = ("text", "text", "bigint", "text", "boolean", "text", "text", "text", "boolean", "bytea", "text")
_STORE = (
    f"INSERT INTO aura_ops.webhook_events ({', '.join(_COLUMNS)}) SELECT * FROM unnest({', '.join(f'%b::{kind}[]' for kind in _ARRAYS)})"
    " ON CONFLICT DO NOTHING RETURNING id"
)


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A stored event. `attempt` counts from 1; `customer` and `object` are ids, `created` is Stripe's time (epoch seconds)."""

    id: str
    type: str
    created: int
    api_version: str | None
    livemode: bool
    account: str | None
    object: str | None
    customer: str | None
    thin: bool
    payload: bytes = field(repr=False)
    received_at: datetime
    attempt: int


@dataclass(frozen=True)
class Handled:
    """How handling went: `state` is done, failed, unmatched or dead; `changes` are the rows that differ now."""

    event: Event
    state: str
    outcome: str
    note: str | None = None
    changes: tuple[dict[str, Any], ...] = ()


def store(connection: Connection, arrivals: Sequence[Arrival]) -> set[str]:
    """Store what is not there yet, in one statement; returns the ids that are new. The caller's commit makes it durable."""
    rows = {arrival.id: arrival for arrival in sorted(arrivals, key=itemgetter(0))}  # two listeners take locks in one order
    if not is_sqlite(connection):
        cursor: Any = connection.connection.cursor()
        with cursor:
            return {row[0] for row in cursor.execute(_STORE, [list(values) for values in zip(*rows.values(), strict=True)]).fetchall()}
    known = set(connection.execute(select(webhook_events.c.id).where(among(webhook_events.c.id, rows))).scalars())
    fresh = [row for row in rows.values() if row.id not in known]
    load(connection, webhook_events, _COLUMNS, fresh)
    return {row.id for row in fresh}


def claim(connection: Connection, owner: str, *, limit: int, ids: Sequence[str] = ()) -> list[Event]:
    """Take what is due for `owner` alone, oldest first, until it is settled or the lease ends; two callers at once get different rows.

    With `ids`, only those, due or not, unless another worker holds them.
    """
    e = webhook_events.c
    held = and_(e.state == "processing", e.due_at > utc_now())
    wanted = and_(among(e.id, ids), ~held) if ids else e.due_at <= utc_now()
    chosen = select(e.id).where(wanted).order_by(e.due_at).limit(limit).with_for_update(skip_locked=True)
    attempts = case((e.state == "processing", e.attempts), else_=e.attempts + 1)  # whose worker died was not tried
    taken = {"state": "processing", "lease_owner": owner, "due_at": _lease(), "attempts": attempts}
    statement = webhook_events.update().where(e.id.in_(chosen)).values(taken).returning(*_event_columns())
    found = connection.execute(statement, execution_options=BINARY).all()
    return sorted((Event(*row) for row in found), key=lambda event: (event.created, event.id))


def hold(connection: Connection, owner: str, events: Sequence[Event]) -> None:
    """Begin the lease anew of what `owner` has claimed and nobody took over."""
    e = webhook_events.c
    mine = and_(among(e.id, [event.id for event in events]), e.state == "processing", e.lease_owner == owner)
    connection.execute(webhook_events.update().where(mine).values(due_at=_lease()))


def settle(connection: Connection, owner: str, handled: Sequence[Handled]) -> bool:
    """Note how a batch of claimed events went, with the attempts' record.

    False where a lease ended meanwhile and somebody else has one of them: the caller must roll everything back.
    """
    e = webhook_events.c
    groups: dict[tuple[Any, ...], list[Handled]] = {}
    for one in handled:
        retry = _WAITS[one.state](one.event.attempt) if one.state in _WAITS else None
        groups.setdefault((one.state, one.note if one.state == "dead" else one.outcome, retry), []).append(one)
    for (state, outcome, retry), members in groups.items():
        values: dict[str, Any] = {"state": state, "outcome": outcome, "lease_owner": None, "due_at": None}
        if retry is not None:
            values["due_at"] = moved_by(utc_now(), literal_column(str(retry)))
        elif state in ("done", "dead"):
            values["finished_at"] = utc_now()
        mine = and_(among(e.id, [one.event.id for one in members]), e.state == "processing", e.lease_owner == owner)
        if connection.execute(webhook_events.update().where(mine).values(values)).rowcount != len(members):
            return False
    rows = [(one.event.id, _said(one), one.note, msgspec.json.encode(one.changes).decode() if one.changes else None) for one in handled]
    load(connection, webhook_attempts, ("event", "outcome", "note", "changes"), rows)
    return True


def give_back(connection: Connection, owner: str, events: Sequence[Event] | None = None) -> None:
    """Let others have what `owner` claimed and did not finish, or those `events` of it; the attempt does not count."""
    e = webhook_events.c
    held = e.due_at.is_not(None) if events is None else among(e.id, [event.id for event in events])
    mine = and_(held, e.state == "processing", e.lease_owner == owner)
    values = {"state": "received", "lease_owner": None, "due_at": utc_now(), "attempts": e.attempts - 1}
    connection.execute(webhook_events.update().where(mine).values(values))


def free_the_dead(connection: Connection) -> int:
    """Let others have at once what processes of this machine held that are gone; returns how many events."""
    e = webhook_events.c
    owners = connection.execute(select(e.lease_owner).where(e.due_at.is_not(None), e.lease_owner.is_not(None)).distinct()).scalars()
    if not (dead := [owner for owner in owners if is_dead(owner)]):
        return 0
    theirs = and_(e.due_at.is_not(None), e.lease_owner.in_(dead), e.state == "processing")
    freed: int = connection.execute(webhook_events.update().where(theirs).values(due_at=utc_now())).rowcount
    return freed


def read(connection: Connection, ids: Sequence[str]) -> list[Event]:
    """Stored events as they are, oldest first, claimed by nobody."""
    e = webhook_events.c
    found = select(*_event_columns()).where(among(e.id, ids)).order_by(e.created, e.id)
    return [Event(*row) for row in connection.execute(found, execution_options=BINARY)]


def failed(event: Event, error: str, *, final: bool = False) -> Handled:
    """How a failure is noted: tried again later, unless it is `final` or was the last try."""
    note = error.replace("\0", "")[:LONGEST_NOTE]
    state = "dead" if final or event.attempt >= ATTEMPTS else "failed"
    return Handled(event, state, state, note)


def wake_matched(connection: Connection) -> int:
    """Put events back to work whose unknown customer has been linked to one user since; returns how many."""
    e = webhook_events.c
    if connection.execute(select(1).where(e.state == "unmatched").limit(1)).first() is None:
        return 0
    customer, asked = users.c.stripe_customer_id, webhook_events.alias("asked")
    wanted = select(asked.c.customer).where(asked.c.state == "unmatched")
    linked = select(customer).where(customer.in_(wanted)).group_by(customer).having(func.count() == 1)
    return _wake(connection, and_(e.state == "unmatched", e.customer.in_(linked)))


def again(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Put events back to work whatever became of them, unless a worker has them right now; returns those that were put back."""
    e = webhook_events.c
    held = and_(e.state == "processing", e.due_at > utc_now())
    values = {"state": "received", "due_at": utc_now(), "attempts": 0, "lease_owner": None, "finished_at": None, "outcome": None}
    statement = webhook_events.update().where(among(e.id, ids), ~held).values(values).returning(e.id)
    return list(connection.execute(statement).scalars())


def _wake(connection: Connection, condition: Any) -> int:
    values = {"state": "received", "due_at": utc_now(), "attempts": 0}
    woken: int = connection.execute(webhook_events.update().where(condition).values(values)).rowcount
    return woken


def waiting(connection: Connection) -> int:
    """How many events are due now."""
    due = select(func.count()).select_from(webhook_events).where(webhook_events.c.due_at <= utc_now())
    return int(connection.execute(due).scalar_one())


def _lease() -> ColumnElement[datetime]:
    return moved_by(utc_now(), literal_column(str(LEASE_SECONDS)))


def _event_columns() -> list[Any]:
    return [webhook_events.c["attempts" if name == "attempt" else name] for name in Event.__dataclass_fields__]


def _wait(attempt: int) -> int:
    """Seconds until the next try: doubling, with jitter, so that what failed together does not come back together."""
    wait: int = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return max(1, round(wait * random.uniform(0.75, 1.25)))


def _patience(attempt: int) -> int:
    """Seconds until an event of nobody known is looked at all the same: the user may have come, and Stripe may say who it is."""
    return int(min(DAY, HOUR * 2 ** min(attempt - 1, 8)))


_WAITS = {"failed": _wait, "unmatched": _patience}


def _said(handled: Handled) -> str:
    return handled.outcome if handled.state == "done" else handled.state
