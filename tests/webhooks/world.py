"""People who have bought nothing yet, what they did at Stripe since, and an inbox to hear of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text

from aura_cli.db.engine import reading, writing
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.stripe import StripeState, records
from aura_cli.subscriptions.stripe import API_VERSION
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.handling import Surroundings
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.tables import webhook_attempts, webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.books import Books
from tests.parts.life import body

OURS = ("webhook_events", "webhook_attempts", "outbox", "grants", "subscription_states", "customer_links")
ENDS_IN = ("users", "subscriptions", "token_balances", "token_top_ups")


@dataclass
class World:
    """`events` are those of Stripe's side that webhooks handle, oldest first."""

    books: Books
    events: list[records.Event]

    @property
    def state(self) -> StripeState:
        return self.books.stripe.state

    def deliver(self, events: Sequence[records.Event], version: str = API_VERSION) -> None:
        """Put events into the inbox, in that shape."""
        with writing(self.books.engine) as connection:
            store(connection, [read(body(self.state, event, version), "test") for event in events])

    def new(self, seen: int) -> list[records.Event]:
        """The events of handled types that happened after the first `seen` of all."""
        from aura_cli.webhooks.events import HANDLED

        return [event for event in list(self.state.events)[seen:] if event.type in HANDLED]

    def worker(self, *, key: bool = True, surroundings: Surroundings | None = None) -> Worker:
        return Worker(self.books.engine, self.books.service if key else None, surroundings or Surroundings(forwards=True))

    def states(self) -> Counter[str]:
        """How many events are in which state."""
        with reading(self.books.engine) as connection:
            return Counter(connection.execute(select(webhook_events.c.state)).scalars())

    def attempts(self) -> list[Any]:
        """Event, outcome, note and changes of every attempt, oldest first."""
        a = webhook_attempts.c
        with reading(self.books.engine) as connection:
            return list(connection.execute(select(a.event, a.outcome, a.note, a.changes).order_by(a.id)))

    def effects(self) -> list[tuple[str, str]]:
        """Kind and key of all that is in the outbox."""
        with reading(self.books.engine) as connection:
            return [
                (kind, key) for kind, key in connection.execute(select(outbox.c.kind, outbox.c.key).order_by(outbox.c.kind, outbox.c.key))
            ]

    def outcome(self) -> dict[str, Any]:
        """All that events end in."""
        shared = self.books.shared()
        return {**{name: shared[name] for name in ENDS_IN}, "ledger": self.books.ledger(), "outbox": self.effects()}

    def forget(self) -> None:
        """Empty what events left behind."""
        prefix = "" if self.books.engine.dialect.name == "sqlite" else "aura_ops."
        with writing(self.books.engine) as connection:
            for table in (*ENDS_IN[1:], "audit_logs", *(f"{prefix}{name}" for name in OURS)):
                connection.execute(text(f"DELETE FROM {table}"))
