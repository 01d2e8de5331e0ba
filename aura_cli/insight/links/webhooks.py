"""Has everything that Stripe told of arrived at its end?"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select

from aura_cli.db.types import among
from aura_cli.insight import subject
from aura_cli.insight.case import Break, Case, command
from aura_cli.outbox.tables import outbox
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.stats import ago
from aura_cli.webhooks.tables import webhook_attempts, webhook_events

LINK = "webhooks"
OVERDUE = timedelta(minutes=5)
MOST_NAMED = 5


def breaks(case: Case) -> Iterator[Break]:
    """Events that were given up, that fail, that nobody works on, that were not handed on; what was asked for goes first."""
    e = webhook_events.c
    theirs = or_(among(e.customer, case.subject.customers), e.id == case.subject.event)
    open_ = select(e.id, e.type, e.state, e.outcome, e.attempts, e.due_at, e.received_at, e.customer).where(theirs, e.state != "done")
    found: dict[str, list[str]] = {}
    said: dict[str, str] = {}
    for row in case.connection.execute(open_.order_by(e.id != case.subject.event, e.received_at)):
        if row.state == "unmatched" and not (row.customer and len(subject.owners(case.connection, row.customer)) == 1):
            continue  # the customer's link says why
        overdue = row.due_at is not None and row.due_at < case.now - OVERDUE
        if row.state in ("received", "processing") and not overdue:
            continue
        kind = row.state if row.state in ("dead", "failed", "unmatched") else "waiting"
        found.setdefault(kind, []).append(row.id)
        said.setdefault(kind, f"{row.type} {row.id} " + _trouble(case, row, kind))
    for kind in ("dead", "failed", "unmatched", "waiting"):
        if ids := found.get(kind):
            more = f", and {len(ids) - 1} more" if len(ids) > 1 else ""
            yield Break(LINK, said[kind] + more, command("webhooks replay" + " {}" * len(ids[:MOST_NAMED]), *ids[:MOST_NAMED]))
    yield from _not_handed_on(case)


def _trouble(case: Case, row: Any, kind: str) -> str:
    match kind:
        case "dead":
            return f"was given up: {row.outcome or 'no reason is known'}"
        case "failed":
            a = webhook_attempts.c
            note = case.connection.execute(select(a.note).where(a.event == row.id).order_by(a.id.desc()).limit(1)).scalar()
            return f"has failed {row.attempts} time{'' if row.attempts == 1 else 's'}: {note or 'no reason is known'}"
        case "unmatched":
            return "waits for a customer that is linked by now"
    return f"arrived {ago(row.received_at, case.now)} ago, and nobody works on it"


def _not_handed_on(case: Case) -> Iterator[Break]:
    o, e = outbox.c, webhook_events.c
    given_up = select(o.key, o.error).join(webhook_events, and_(o.kind == FORWARD, o.key == e.id))
    for event, error in case.connection.execute(given_up.where(o.state == "dead", among(e.customer, case.subject.customers)).limit(1)):
        yield Break(LINK, f"{event} was not handed on to the web app: {error or 'given up'}", command("webhooks replay {}", event))
