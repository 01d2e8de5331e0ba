"""What is old and settled leaves the inbox, chunk by chunk.

Stripe lists its events for 30 days (https://docs.stripe.com/api/events): one of these that was forgotten here would be new when a
backfill, or somebody at Stripe's dashboard, brings it again, and would be done, and forwarded, twice. So nothing younger is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, or_, select

from aura_cli.analytics.effects import KIND as ANALYTICS
from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among
from aura_cli.errors import UsageError
from aura_cli.outbox.tables import outbox
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.feed import KEPT
from aura_cli.webhooks.tables import webhook_attempts, webhook_events

CHUNK = 10_000


@dataclass(frozen=True)
class Pruned:
    """What is gone, or would be with `applied` false: events that arrived before `before`, their attempts, effects that are settled."""

    before: datetime
    events: int
    attempts: int
    effects: int
    applied: bool


@dataclass(frozen=True)
class Old:
    """What is old: arrived before `before` and done; with `dead`, given up, with `unmatched`, of nobody known, too.

    What is still to be done never is.
    """

    before: datetime
    dead: bool = False
    unmatched: bool = False

    @classmethod
    def than(cls, before: datetime, now: datetime, *, dead: bool = False, unmatched: bool = False, called: str = "That") -> "Old":
        """Raises UsageError, in which `before` is `called` so, where Stripe still lists what arrived then."""
        if before > now - timedelta(seconds=KEPT):
            reason = "Stripe lists events for 30 days: what is forgotten here before could come again, and be done twice"
            raise UsageError(f"{called} is too young. {reason}", "Take 30d or more")
        return cls(before, dead, unmatched)

    @property
    def events(self) -> ColumnElement[bool]:
        """The condition on the inbox."""
        e = webhook_events.c
        settled = and_(e.finished_at < self.before, e.state.in_(self._states))
        return and_(e.received_at < self.before, or_(settled, e.state == "unmatched") if self.unmatched else settled)

    @property
    def effects(self) -> ColumnElement[bool]:
        """The condition on the outbox. The other kinds of effects are not this room's to forget."""
        o = outbox.c
        return and_(o.kind.in_((FORWARD, ANALYTICS)), o.created_at < self.before, o.done_at < self.before, o.state.in_(self._states))

    @property
    def _states(self) -> tuple[str, ...]:
        return ("done", "dead") if self.dead else ("done",)


def plan(engine: Engine, old: Old) -> Pruned:
    """What would go."""
    e, a = webhook_events.c, webhook_attempts.c
    with reading(engine) as connection:
        events = connection.execute(select(func.count()).select_from(webhook_events).where(old.events)).scalar_one()
        joined = webhook_attempts.join(webhook_events, a.event == e.id)
        attempts = connection.execute(select(func.count()).select_from(joined).where(old.events)).scalar_one()
        effects = connection.execute(select(func.count()).select_from(outbox).where(old.effects)).scalar_one()
    return Pruned(old.before, events, attempts, effects, applied=False)


def prune(engine: Engine, old: Old, operator: str, tick: Callable[[int], None] = lambda count: None, *, chunk: int = CHUNK) -> Pruned:
    """Delete it, a chunk a transaction, each noted in the operator log; what is being changed meanwhile stays."""
    events = attempts = effects = 0
    while True:
        with writing(engine) as connection:
            gone, tries, settled = _chunk(connection, old, chunk)
            if not gone and not settled:
                return Pruned(old.before, events, attempts, effects, applied=True)
            numbers = {"events": gone, "attempts": tries, "effects": settled}
            record(connection, operator, "webhooks.prune", old.before.isoformat(), details=numbers)
        events, attempts, effects = events + gone, attempts + tries, effects + settled
        tick(events)


def _chunk(connection: Connection, old: Old, size: int) -> tuple[int, int, int]:
    e, a, o = webhook_events.c, webhook_attempts.c, outbox.c
    chosen = select(e.id).where(old.events).order_by(e.received_at).limit(size).with_for_update(skip_locked=True)
    ids = list(connection.execute(chosen).scalars())
    attempts: int = connection.execute(webhook_attempts.delete().where(among(a.event, ids))).rowcount
    connection.execute(webhook_events.delete().where(among(e.id, ids)))
    settled = select(o.id).where(old.effects).order_by(o.id).limit(size).with_for_update(skip_locked=True)
    effects: int = connection.execute(outbox.delete().where(o.id.in_(settled))).rowcount
    return len(ids), attempts, effects
