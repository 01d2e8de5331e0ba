"""What Stripe's events say of one person. An erased person's events stay as ids, so that none is done twice; what they said goes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select

from aura_cli.db.shared import token_top_ups
from aura_cli.db.types import among
from aura_cli.errors import ConflictError
from aura_cli.outbox.tables import outbox
from aura_cli.subscriptions import customers
from aura_cli.subscriptions.tables import grants
from aura_cli.users.holdings import ROWS_AT_ONCE, Row, ids
from aura_cli.users.who import Person
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.inbox import Event, Handled
from aura_cli.webhooks.tables import webhook_attempts, webhook_events

NOTE = "Of a person who was erased"
_SHOWN = ("id", "type", "created", "api_version", "received_at", "state", "outcome", "finished_at")


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """Every event of their customers, as Stripe sent it."""
    e = webhook_events.c
    columns = [e[name] for name in _SHOWN]
    found = select(*columns, e.payload).where(_theirs(connection, person)).order_by(e.created, e.id)
    for row in connection.execute(found, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield "webhook_events", {**row._mapping, "payload": json.loads(bytes(row.payload))}


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Leave of their events that they were, and what came of them.

    Raises ConflictError for one that is still to be forwarded: on it the web app stops servers, which it finds by the customer.
    """
    e, o = webhook_events.c, outbox.c
    events = list(connection.execute(select(e.id).where(_theirs(connection, person)).with_for_update()).scalars())
    waits = select(o.key).where(o.kind == FORWARD, o.state.in_(("pending", "sending")), among(o.key, events)).limit(1)
    if events and (waiting := connection.execute(waits).scalar()):
        raise ConflictError(
            f"{waiting} is still to be forwarded to the web app, which stops this customer's servers on it",
            "Run it again when it is: aura webhooks stats",
        )
    count = empty(connection, events)
    return {"webhook_events": count} if count else {}


def empty(connection: Connection, ids: Sequence[str]) -> int:
    """Take out of events what they say: their envelopes stay, and the ids of what they are about."""
    if not ids:
        return 0
    e, a = webhook_events.c, webhook_attempts.c
    rows = connection.execute(select(e.id, e.type, e.created, e.api_version, e.livemode, e.object).where(among(e.id, ids))).all()
    statement = webhook_events.update().where(e.id == bindparam("event")).values(payload=bindparam("body"))
    connection.execute(statement, [{"event": row.id, "body": _envelope(row)} for row in rows])
    connection.execute(webhook_attempts.update().where(among(a.event, ids)).values(changes=None))
    return len(rows)


def erased_among(connection: Connection, events: Iterable[Event]) -> list[Event]:
    """The events that are of erased people."""
    events = list(events)
    gone = customers.erased(connection, {event.customer for event in events if event.customer})
    return [event for event in events if event.customer in gone]


def ignored(connection: Connection, events: Sequence[Event]) -> list[Handled]:
    """How events of erased people end: nothing is done, and nothing of what they say stays."""
    empty(connection, [event.id for event in events])
    return [Handled(event, "done", "ignored", NOTE) for event in events]


def _theirs(connection: Connection, person: Person) -> ColumnElement[bool]:
    """Those of their customers, of what they bought without one, and of checkouts whose metadata names them."""
    e, known_as = webhook_events.c, ids(connection, person)
    bought = connection.execute(select(token_top_ups.c.stripe_session_id).where(token_top_ups.c.user_id == person.id)).scalars()
    causes = connection.execute(select(grants.c.cause).where(grants.c.user_id == person.id, grants.c.kind != "operator")).scalars()
    objects = {one for one in bought if one} | {cause.partition(":")[2] for cause in causes}
    guests = connection.execute(select(e.id, e.payload).where(e.customer.is_(None), e.object.startswith("cs_")))
    named = [row.id for row in guests if any(one.encode() in bytes(row.payload) for one in known_as)]
    return or_(among(e.customer, customers.of(connection, person)), among(e.object, objects), among(e.id, named))


def _envelope(row: Any) -> bytes:
    about = {"object": {"id": row.object}}
    said = {"id": row.id, "object": "event", "type": row.type, "created": row.created, "livemode": row.livemode}
    return json.dumps({**said, "api_version": row.api_version, "data": about, "erased": True}).encode()
