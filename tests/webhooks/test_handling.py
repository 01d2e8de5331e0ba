"""What events end in: the rows that Stripe's side asks for, in whatever shape, order and number the events come."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from aura_cli.db.engine import reading, writing
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.stripe import records
from aura_cli.subscriptions.stripe import API_VERSION
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.handling import Surroundings
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.books import Books, opened
from tests.parts.life import BEFORE_BASIL, body, live, newcomers

PEOPLE = 12


@dataclass
class World:
    """Books of people who have bought nothing yet, and what they did at Stripe since."""

    books: Books
    events: list[records.Event]

    def deliver(self, events: Sequence[records.Event], version: str = API_VERSION) -> None:
        with writing(self.books.engine) as connection:
            store(connection, [read(body(self.books.stripe.state, event, version), "test") for event in events])

    def worker(self, *, key: bool = True) -> Worker:
        return Worker(self.books.engine, self.books.service if key else None, Surroundings(forwards=True))

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with reading(self.books.engine) as connection:
            for (state,) in connection.execute(select(webhook_events.c.state)):
                found[state] = found.get(state, 0) + 1
        return found

    def outcome(self) -> dict[str, Any]:
        """All that events are to end in."""
        shared = self.books.shared()
        with reading(self.books.engine) as connection:
            effects = connection.execute(select(outbox.c.kind, outbox.c.key).order_by(outbox.c.kind, outbox.c.key)).all()
        kept = {name: shared[name] for name in ("users", "subscriptions", "token_balances", "token_top_ups")}
        return {**kept, "ledger": self.books.ledger(), "outbox": [tuple(row) for row in effects]}


Settle = Callable[..., World]


@pytest.fixture
def settle(database_url: str, tmp_path: Path) -> Iterator[Settle]:
    """`settle()` gives a world, the same each time."""
    with ExitStack() as stack:
        people = newcomers(PEOPLE)
        books = stack.enter_context(opened(database_url, people, tmp_path))
        yield lambda seed=7: World(books, live(books.stripe.state, people.people, seed))


def forget(world: World) -> None:
    """Empty what events left behind."""
    from sqlalchemy import text

    prefix = "" if world.books.engine.dialect.name == "sqlite" else "aura_ops."
    ours = ("webhook_events", "webhook_attempts", "outbox", "grants", "subscription_states", "customer_links")
    with writing(world.books.engine) as connection:
        for table in ("subscriptions", "token_balances", "token_top_ups", "audit_logs", *(f"{prefix}{name}" for name in ours)):
            connection.execute(text(f"DELETE FROM {table}"))


def test_all_orders_and_shapes_end_alike(settle: Settle) -> None:
    """Ordered and undisturbed, shuffled with duplicates, in the old shape: the same rows, ledger and outbox, and no drift is left."""
    world = settle()
    for event in world.events:
        world.deliver([event])
        world.worker().drain()
    expected = world.outcome()
    assert set(world.states()) == {"done"}
    assert expected["subscriptions"]
    assert {row[2] for row in expected["ledger"]} == {"initial", "renewal", "topup"}
    assert not [change for change in world.books.found(history=False) if change.kind != "duplicate_active"]
    chance = random.Random(3)
    for version, batch in ((API_VERSION, 1000), (BEFORE_BASIL, 1000), (API_VERSION, 7)):
        forget(world)
        coming = [*world.events, *chance.sample(world.events, len(world.events) // 10)]
        chance.shuffle(coming)
        while coming:
            world.deliver(coming[:batch], version)
            coming = coming[batch:]
            world.worker().drain()
        assert world.outcome() == expected
        assert set(world.states()) == {"done"}
