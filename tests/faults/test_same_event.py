"""The same thing told again and again, by whatever way: it happens once."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Person
from aura_cli.sandbox.stripe import billing, records
from aura_cli.webhooks import inbox
from aura_cli.webhooks.backfill import backfill, span
from aura_cli.webhooks.listener import make_app
from aura_cli.webhooks.tables import webhook_attempts, webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.books import DAY, opened, person, population, renewed
from tests.parts.life import body, live, newcomers
from tests.parts.program import Aura
from tests.webhooks.world import World

CUSTOMER = "cus_person1"
MONTH, BOUGHT = 10_000_000, 1_000_000
Start = Callable[..., World]


@pytest.fixture
def start(migrated: None, database_url: str, tmp_path: Path) -> Iterator[Start]:
    """`start(person, …)` gives a world of them."""
    with ExitStack() as stack:

        def begin(*people: Person) -> World:
            return World(stack.enter_context(opened(database_url, population(*people), tmp_path)), [])

        yield begin


def happened(world: World, seen: int) -> None:
    world.events += world.new(seen)


def renewing(start: Start) -> tuple[World, records.Event]:
    """Somebody with 123 tokens left whose month ends now, and the event of the renewal's payment."""
    old = renewed("one", paid=29 * DAY)
    ends = old.created + 59 * DAY
    world = start(person(1, replace(old, period_end=ends)))
    world.books.sql("UPDATE token_balances SET balance = 123")
    seen = len(world.state.events)
    world.state.clock.advance(max(0, ends - world.state.now()))
    billing.settle(world.state, world.state.now())
    happened(world, seen)
    return world, next(event for event in world.events if event.type == "invoice.paid")


def test_a_renewal_is_granted_once(aura: Aura, start: Start) -> None:
    """As event, as duplicate, as backfill, as replay, as backfill of what was pruned: what was bought since stays after each of them."""
    world, paid = renewing(start)
    world.deliver([paid])
    world.worker().drain()
    assert world.books.balance() == MONTH
    world.books.sql("UPDATE token_balances SET balance = balance + :bought", bought=BOUGHT)  # a reset would take it away

    def duplicate() -> None:
        world.deliver([paid, paid])

    def backfilled() -> None:
        now = int(time.time())
        with lease(world.books.engine, "webhooks backfill") as held:
            backfill(world.books.engine, world.books.service, span(world.books.engine, now - 20 * DAY, now), lease=held)

    def again() -> None:
        with writing(world.books.engine) as connection:
            assert inbox.again(connection, [paid.id]) == [paid.id]

    def replayed() -> None:
        done = aura("webhooks", "replay", paid.id, "--yes", "--json", env=world.books.variables)
        assert done.exit == 0, done.err

    def pruned() -> None:
        with writing(world.books.engine) as connection:
            connection.execute(webhook_events.delete())
            connection.execute(webhook_attempts.delete())
        backfilled()

    for way in (duplicate, backfilled, again, replayed, pruned):
        way()
        world.worker().drain()
        assert set(world.states()) == {"done"}, way
        assert world.books.balance() == MONTH + BOUGHT, way
        assert [cause for cause, _, kind, _ in world.books.ledger() if kind == "renewal"] == [f"invoice:{paid.subject.id}"], way
    with reading(world.books.engine) as connection:
        assert connection.execute(select(webhook_events.c.source).where(webhook_events.c.id == paid.id)).scalar() == "backfill"


def test_a_thousand_events_of_one_subscription(start: Start) -> None:
    """Shuffled, to four workers at once: one row that says what Stripe says, the first month granted once, one mail."""
    world = start(person(1))
    seen = len(world.state.events)
    made = billing.subscribe(world.state, CUSTOMER, [(PRO_MONTHLY.id, 1)])
    for number in range(1_000):
        known = world.state.subscriptions.get(made.id)
        assert known
        billing.change(world.state, known, replace(known, metadata={"seat": str(number)}, cancel_at_period_end=number % 2 == 0))
    happened(world, seen)
    random.Random(4).shuffle(world.events)
    assert len(world.events) > 1_000
    world.deliver(world.events)
    workers = [threading.Thread(target=world.worker().drain) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    world.worker().drain()
    assert set(world.states()) == {"done"}
    assert [(one["status"], one["cancel_at_period_end"]) for one in world.books.shared()["subscriptions"]] == [("active", False)]
    assert [(kind, tokens) for *_, kind, tokens in world.books.ledger()] == [("initial", MONTH)]
    assert [kind for kind, _ in world.effects()] == ["mail"]
    with reading(world.books.engine) as connection:
        assert connection.execute(select(func.count()).select_from(webhook_attempts)).scalar() == len(world.events)
    assert world.books.found() == []


def test_one_event_a_hundred_times_at_once(start: Start) -> None:
    """A hundred deliveries in parallel all get their 200; it is stored once, handled once, granted once."""
    world, paid = renewing(start)
    what = body(world.state, paid)
    statuses = asyncio.run(_deliver(world, what, 100))
    assert statuses == Counter({200: 100})
    assert world.states() == Counter(done=1)
    assert len(world.attempts()) == 1
    assert world.books.balance() == MONTH


async def _deliver(world: World, what: bytes, times: int) -> Counter[int]:
    """The answers of a listener with a worker; it returns when the worker is done."""
    from aiohttp.test_utils import TestClient, TestServer

    from aura_cli.webhooks.signature import sign

    app = make_app(world.books.engine, {"web": STRIPE_WEBHOOK_SECRET}, path="/hook", stripe=world.books.service)
    async with TestClient(TestServer(app)) as client:
        head = {"Stripe-Signature": sign(STRIPE_WEBHOOK_SECRET, what, int(time.time()))}
        answers = await asyncio.gather(*(client.post("/hook", data=what, headers=head) for _ in range(times)))
        async with asyncio.timeout(30):
            while await asyncio.to_thread(world.states) != Counter(done=1):
                await asyncio.sleep(0.05)
        return Counter(answer.status for answer in answers)


@pytest.mark.parametrize("hours", [-26, 26])
def test_a_workers_clock_is_wrong(postgres_database: str, tmp_path: Path, hours: int) -> None:
    """One that lives in another day works beside one that does not: leases are the database's to time, and the rest is Stripe's."""
    people = newcomers(40, days=110)
    with opened(postgres_database, people, tmp_path) as books:
        world = World(books, live(books.stripe.state, people.people, 3))
        world.deliver(world.events)
        world.worker().drain()
        expected = world.outcome()
        world.forget()
        world.deliver(random.Random(1).sample(world.events, len(world.events)))
        strange = Worker(books.engine, books.service, world.worker().surroundings, lambda: datetime.now(UTC) + timedelta(hours=hours))
        both = [threading.Thread(target=one.drain) for one in (strange, world.worker())]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert set(world.states()) == {"done"}
        assert world.outcome() == expected
