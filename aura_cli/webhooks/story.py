"""Stripe's events about somebody: when each arrived, what became of it, and whether it went on to the web app."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, and_, or_, select

from aura_cli.audit.story import MOST, Moment, Whom
from aura_cli.db.types import among
from aura_cli.outbox.tables import outbox
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.stats import ago
from aura_cli.webhooks.tables import webhook_events

BROKEN = ("failed", "unmatched", "dead")
_LATE = timedelta(minutes=5)


def story(connection: Connection, whom: Whom, event: str | None = None) -> Iterator[Moment]:
    """The events about somebody's customers, and this `event`, whomever it is about."""
    e, o = webhook_events.c, outbox.c
    rows = webhook_events.outerjoin(outbox, and_(o.kind == FORWARD, o.key == e.id))
    found = select(e.id, e.type, e.created, e.received_at, e.state, e.outcome, e.attempts, o.state.label("onward"), o.error).select_from(
        rows
    )
    theirs = or_(among(e.customer, whom.customers), e.id == event)
    for row in connection.execute(found.where(theirs).order_by(e.received_at.desc()).limit(MOST)):
        made = datetime.fromtimestamp(row.created, UTC)
        late = f", {ago(made, row.received_at)} late" if row.received_at - made > _LATE else ""
        became = row.outcome if row.state == "done" and row.outcome else row.state
        tries = f" after {row.attempts} tries" if row.state in BROKEN and row.attempts > 1 else ""
        onward = f"; not handed on: {row.error or 'given up'}" if row.onward == "dead" else ""
        why = f": {row.outcome}" if row.state == "dead" and row.outcome else ""
        broken = row.state in BROKEN or row.onward == "dead"
        yield Moment(row.received_at, "webhooks", row.type, f"{row.id} {became}{tries}{late}{why}{onward}", row.id, broken)
