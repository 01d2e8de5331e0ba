"""What is old and settled leaves: mails with their outbox rows and what Resend told of them, chunk by chunk.

With a mail's row goes the knowledge that it was sent: the same, asked for again, would go out again. So nothing younger than a month is
forgotten, and never an address that gets no mail. No outbox row outlives its mail.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, func, or_, select

from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among
from aura_cli.errors import UsageError
from aura_cli.mail.asking import MAIL
from aura_cli.mail.tables import mails, resend_events
from aura_cli.outbox.tables import outbox

CHUNK = 5_000
YOUNGEST = timedelta(days=30)


@dataclass(frozen=True)
class Pruned:
    """What is gone, or would be with `applied` false: mails asked for and settled before `before`, outbox rows, and Resend's events."""

    before: datetime
    mails: int
    effects: int
    events: int
    applied: bool


def prune(engine: Engine, before: datetime, now: datetime, operator: str, *, apply: bool) -> Pruned:
    """Forget what is older. Raises UsageError for a moment that is too young."""
    if before > now - YOUNGEST:
        raise UsageError("That is too young: a mail that is forgotten could go out a second time", "Take 30d or more")
    m, o = mails.c, outbox.c
    in_use = select(o.id).where(o.kind == MAIL, o.key == m.effect, or_(o.done_at.is_(None), o.done_at >= before)).exists()
    old = (m.created_at < before) & (m.state != "queued") & ~in_use
    settled = (o.kind == MAIL) & (o.done_at < before)
    told = resend_events.c.received_at < before
    if not apply:
        with reading(engine) as connection:
            old_mails, effects, events = (
                connection.execute(select(func.count()).select_from(table).where(rule)).scalar_one()
                for table, rule in ((mails, old), (outbox, settled), (resend_events, told))
            )
        return Pruned(before, old_mails, effects, events, applied=False)
    with writing(engine) as connection:  # first: who dies after it leaves mails without outbox rows, which are none the worse
        effects = connection.execute(outbox.delete().where(settled)).rowcount
    gone = 0
    while number := _chunk(engine, old):
        gone += number
    with writing(engine) as connection:
        events = connection.execute(resend_events.delete().where(told)).rowcount
        if gone or effects or events:
            record(connection, operator, "email.prune", before.isoformat(), details={"mails": gone, "effects": effects, "events": events})
    return Pruned(before, gone, effects, events, applied=True)


def _chunk(engine: Engine, old: ColumnElement[bool]) -> int:
    with writing(engine) as connection:
        chosen = select(mails.c.id).where(old).order_by(mails.c.created_at).limit(CHUNK).with_for_update(skip_locked=True)
        ids = list(connection.execute(chosen).scalars())
        gone: int = connection.execute(mails.delete().where(among(mails.c.id, ids))).rowcount if ids else 0
    return gone
