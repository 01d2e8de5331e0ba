"""Stored events as a person wants to see them: listed without their payloads, and one by one with all that became of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, or_, select

from aura_cli.db.engine import reading
from aura_cli.db.types import among
from aura_cli.errors import NotFoundError
from aura_cli.outbox.tables import outbox
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.handling import MAIL
from aura_cli.webhooks.tables import webhook_attempts, webhook_events

SHOWN = 40  # characters of an outcome in a table


@dataclass(frozen=True)
class EventRow:
    """A stored event. `created` is Stripe's time; `due_at` is when it is looked at next, None: never; `source` is how it came."""

    id: str
    type: str
    state: str
    outcome: str | None
    customer: str | None
    object: str | None
    created: datetime
    received_at: datetime
    attempts: int
    due_at: datetime | None
    finished_at: datetime | None
    source: str
    api_version: str | None
    livemode: bool
    account: str | None
    thin: bool


@dataclass(frozen=True)
class Attempt:
    """One handling: how it went, why, and the rows that it changed (`table`, `key`, `before`, `after`)."""

    at: datetime
    outcome: str
    note: str | None
    changes: list[dict[str, Any]]


@dataclass(frozen=True)
class EffectRow:
    """What an event asked for beyond the database: state is pending, sending, done or dead."""

    kind: str
    key: str
    state: str
    attempts: int
    error: str | None
    created_at: datetime
    next_try_at: datetime
    done_at: datetime | None


@dataclass(frozen=True)
class Shown:
    """An event with everything that became of it; `payload` is its body, parsed."""

    event: EventRow
    attempts: list[Attempt]
    effects: list[EffectRow]
    payload: Any


@dataclass(frozen=True)
class Filter:
    """Which events: those that are all of this. `since` is when they arrived (epoch seconds); `ids` are looked up one by one."""

    status: str | None = None
    type: str | None = None
    customer: str | None = None
    object: str | None = None
    since: int | None = None
    ids: tuple[str, ...] = ()

    def of(self, statement: Select[Any]) -> Select[Any]:
        """`statement` on the inbox, narrowed."""
        e = webhook_events.c
        wanted = {e.state: self.status, e.type: self.type, e.customer: self.customer, e.object: self.object}
        statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
        if self.ids:
            statement = statement.where(among(e.id, self.ids))
        return statement if self.since is None else statement.where(e.received_at >= datetime.fromtimestamp(self.since, UTC))


def rows(engine: Engine, chosen: Filter, limit: int | None = None) -> Iterator[EventRow]:
    """Events, the last to arrive first, at most `limit`, streamed; their payloads stay where they are."""
    statement = chosen.of(select(*_columns())).order_by(webhook_events.c.received_at.desc(), webhook_events.c.id).limit(limit)
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=1_000).execute(statement):
            yield _row(row)


def shortened(row: EventRow) -> EventRow:
    """With as much of its outcome, which of a dead one is a sentence, as a table has room for."""
    outcome = row.outcome or ""
    return replace(row, outcome=f"{outcome[: SHOWN - 1]}…") if len(outcome) > SHOWN else row


def count(engine: Engine, chosen: Filter) -> int:
    """How many `rows` there are."""
    with reading(engine) as connection:
        return int(connection.execute(chosen.of(select(func.count()).select_from(webhook_events))).scalar_one())


def payload(connection: Connection, identifier: str) -> bytes:
    """An event's body as it arrived. Raises NotFoundError."""
    found = connection.execute(select(webhook_events.c.payload).where(webhook_events.c.id == identifier)).scalar()
    if found is None:
        raise NotFoundError(f"No such event here: {identifier}", "See what there is: aura webhooks list")
    return bytes(found)


def show(connection: Connection, identifier: str) -> Shown:
    """One event, with its attempts and its effects, the oldest first. Raises NotFoundError."""
    body = payload(connection, identifier)
    event = _row(connection.execute(select(*_columns()).where(webhook_events.c.id == identifier)).one())
    a = webhook_attempts.c
    found = connection.execute(select(a.at, a.outcome, a.note, a.changes).where(a.event == identifier).order_by(a.id))
    attempts = [Attempt(at, outcome, note, changes or []) for at, outcome, note, changes in found]
    return Shown(event, attempts, _effects(connection, event, attempts), json.loads(body))


def _effects(connection: Connection, event: EventRow, attempts: list[Attempt]) -> list[EffectRow]:
    """What was forwarded of the event, and the mails about subscriptions that it changed, asked for while it was handled."""
    o = outbox.c
    changed = {change["key"] for attempt in attempts for change in attempt.changes if change["table"] == "subscriptions"}
    mails = and_(
        o.kind == MAIL,
        o.key.in_([f"subscription_confirmation:{subscription}" for subscription in sorted(changed)]),
        o.created_at.between(event.received_at, max((attempt.at for attempt in attempts), default=event.received_at)),
    )
    its = or_(and_(o.kind == FORWARD, o.key == event.id), mails)
    columns = [o[name] for name in EffectRow.__dataclass_fields__]
    return [EffectRow(*row) for row in connection.execute(select(*columns).where(its).order_by(o.id))]


def _columns() -> list[Any]:
    return [webhook_events.c[name] for name in EventRow.__dataclass_fields__]


def _row(row: Any) -> EventRow:
    return EventRow(**{**row._mapping, "created": datetime.fromtimestamp(row.created, UTC)})
