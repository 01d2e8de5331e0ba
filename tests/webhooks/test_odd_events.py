"""Events that come late, of nobody known, malformed, or while Stripe or a handler is in trouble; and who owns the billing."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import identity
from aura_cli.db.shared import audit_logs, users
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.stripe import billing, records
from aura_cli.subscriptions import keeping
from aura_cli.subscriptions.billing_owner import Owner, reigns, take_over
from aura_cli.subscriptions.tables import billing_owners
from aura_cli.webhooks import inbox
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.handling import Delivered, Handlers, Surroundings
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker, rehearse
from tests.parts.books import DAY, Books, opened
from tests.parts.life import live, newcomers
from tests.webhooks.world import World

CUSTOMER = "cus_person1"
USER = newcomers(1).people[0].uuid
Start = Callable[..., World]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """`start(people, lived=…)` gives a world; its people have stories if they `lived`."""
    with ExitStack() as stack:

        def begin(people: int = 1, *, lived: bool = False) -> World:
            population = newcomers(people)
            books: Books = stack.enter_context(opened(database_url, population, tmp_path))
            return World(books, live(books.stripe.state, population.people, 7) if lived else [])

        yield begin


def subscribe(world: World, customer: str = CUSTOMER) -> records.Subscription:
    """A subscription, paid at once; its events are the world's."""
    seen = len(world.state.events)
    made = billing.subscribe(world.state, customer, [(PRO_MONTHLY.id, 1)])
    world.events += world.new(seen)
    return made


def of(world: World, kind: str) -> records.Event:
    return next(event for event in world.events if event.type == kind)


def test_owner_web_writes_nothing_of_the_web_apps(start: Start) -> None:
    """States are kept and servers are still stopped; balances, rows, logs and mail are the web app's business."""
    world = start(6, lived=True)
    with writing(world.books.engine) as connection:
        connection.execute(billing_owners.insert().values(owner="web", since=0, operator="tester"))
    before = world.books.shared()
    world.deliver(world.events)
    world.worker().drain()
    assert world.books.shared() == before
    assert set(world.states()) == {"done"}
    assert {outcome for _, outcome, *_ in world.attempts()} <= {"observed", "stale"}
    assert {kind for kind, _ in world.effects()} <= {"forward"}
    assert "The web app has no row of it" in {note for _, _, note, _ in world.attempts()}
    assert world.books.value(f"SELECT count(*) FROM {table(world, 'subscription_states')}") > 0


def table(world: World, name: str) -> str:
    return name if world.books.engine.dialect.name == "sqlite" else f"aura_ops.{name}"


def test_a_switch_is_announced_and_remembered(start: Start) -> None:
    """It holds from a moment to come; what happened before it stays with the old owner, and the same wish again changes nothing."""
    engine = start().books.engine
    since = take_over(engine, Owner.WEB, "tester", notice=30)
    assert since is not None
    assert take_over(engine, Owner.WEB, "tester") is None
    assert take_over(engine, None, "tester") is None
    with reading(engine) as connection:
        known = reigns(connection)
    assert [known.at(moment) for moment in (0, since - 1, since, since + DAY)] == ["aura", "aura", "web", "web"]
    assert not known.surely(Owner.AURA, since - 30)


def test_an_unknown_customers_events_wait(start: Start) -> None:
    """They are `unmatched` until somebody links the customer, and then end as if they had come afterwards."""
    world = start()
    world.state.customers.put(records.Customer("cus_stranger", world.state.now()))
    made = subscribe(world, "cus_stranger")
    world.deliver(world.events)
    worker = world.worker()
    worker.drain()
    assert set(world.states()) == {"unmatched"}
    assert not world.books.ledger()
    world.books.sql("UPDATE users SET stripe_customer_id = 'cus_stranger'")
    world.worker().drain()
    assert set(world.states()) == {"done"}
    assert [row[0] for row in world.books.ledger()] == [f"subscription:{made.id}"]
    assert world.books.balance() == 10_000_000


def test_a_user_who_came_later_is_found(start: Start) -> None:
    """Nobody linked the customer, but Stripe's side says whose it is: the event is looked at again after a while."""
    world = start(2)
    world.books.sql("DELETE FROM users WHERE stripe_customer_id = 'cus_person2'")
    subscribe(world, "cus_person2")
    world.deliver(world.events)
    world.worker().drain()
    assert set(world.states()) == {"unmatched"}
    late = newcomers(2).people[1]
    world.books.sql("INSERT INTO users (id, privy_user_id) VALUES (:id, :did)", id=late.uuid, did=late.did)
    world.worker().drain()
    assert set(world.states()) == {"unmatched"}
    with writing(world.books.engine) as connection:
        connection.execute(webhook_events.update().values(due_at=datetime.now(UTC)))
    world.worker().drain()
    assert set(world.states()) == {"done"}
    assert world.books.balance(2) == 10_000_000


def test_stripes_metadata_links_a_customer(start: Start) -> None:
    """Where the web app's row has no customer, the one whom Stripe's side names gets it."""
    world = start()
    world.books.sql("UPDATE users SET stripe_customer_id = NULL")
    subscribe(world)
    world.deliver(world.events)
    world.worker().drain()
    assert world.books.value("SELECT stripe_customer_id FROM users") == CUSTOMER
    assert world.books.balance() == 10_000_000
    assert any(change["table"] == "users" for *_, changes in world.attempts() for change in changes or ())


def test_a_failure_that_has_been_paid_since_is_stale(start: Start) -> None:
    """Nobody's servers are stopped for it; one that still stands is handed on, once."""
    world = start()
    world.state.declining.add(CUSTOMER)
    seen = len(world.state.events)
    billing.subscribe(world.state, CUSTOMER, [(PRO_MONTHLY.id, 1)])
    world.events += world.new(seen)
    world.deliver([of(world, "invoice.payment_failed")])
    world.worker().drain()
    assert [kind for kind, _ in world.effects()] == ["forward"]
    world.forget()
    world.state.declining.clear()
    billing.pay_now(world.state, next(invoice for invoice in world.state.invoices if invoice.status == "open"))
    world.deliver([of(world, "invoice.payment_failed")])
    world.worker().drain()
    assert [outcome for _, outcome, *_ in world.attempts()] == ["stale"]
    assert "forward" not in [kind for kind, _ in world.effects()]


def test_without_a_key_the_payment_is_looked_for_in_the_inbox(start: Start) -> None:
    """The newer event of the payment says that the older one of the failure is stale, in whatever order they came."""
    world = start()
    world.state.declining.add(CUSTOMER)
    seen = len(world.state.events)
    billing.subscribe(world.state, CUSTOMER, [(PRO_MONTHLY.id, 1)])
    world.state.declining.clear()
    billing.pay_now(world.state, next(invoice for invoice in world.state.invoices if invoice.status == "open"))
    world.events += world.new(seen)
    world.deliver([of(world, "invoice.paid"), of(world, "invoice.payment_failed")])
    world.worker(key=False).drain()
    assert "forward" not in [kind for kind, _ in world.effects()]
    assert world.books.balance() == 10_000_000


def test_without_a_key_the_youngest_event_counts(start: Start) -> None:
    """Shuffled events leave no drift but what one second holds twice, which is left to reconcile."""
    world = start(8, lived=True)
    world.deliver(list(reversed(world.events)))
    world.worker(key=False).drain()
    assert set(world.states()) == {"done"}
    world.books.repair(history=False)
    assert not [change for change in world.books.found() if change.kind != "duplicate_active"]


@pytest.mark.parametrize("turned", [False, True])
def test_without_a_key_an_end_is_final(start: Start, turned: bool) -> None:
    """What changed and ended within a second has ended, whichever of both is told first."""
    world = start()
    subscription = subscribe(world)
    world.deliver(world.events)
    world.worker(key=False).drain()
    seen, later = len(world.state.events), subscription.created + DAY
    changed = billing.change(world.state, subscription, replace(subscription, cancel_at_period_end=True), later)
    billing.cancel(world.state, changed, later)
    for event in sorted(world.new(seen), key=lambda event: event.type, reverse=turned):
        world.deliver([event])
        world.worker(key=False).drain()
    assert [row["status"] for row in world.books.shared()["subscriptions"]] == ["canceled"]


def test_a_bad_body_spoils_no_other(start: Start) -> None:
    """A handled type whose object is not what it promises is dead at once, with the reason; its neighbours are done."""
    world = start()
    subscribe(world)
    world.deliver(world.events)
    broken = {"id": "evt_broken", "object": "event", "type": "invoice.paid", "created": 1, "livemode": False, "data": {"object": {"id": 7}}}
    with writing(world.books.engine) as connection:
        arrival = read(json.dumps({**broken, "data": {"object": {"id": "in_x"}}}).encode(), "test")
        inbox.store(connection, [arrival._replace(payload=json.dumps(broken).encode())])
    world.worker().drain()
    assert world.states() == {"done": len(world.events), "dead": 1}
    assert "invoice.paid promises" in next(note for event, _, note, _ in world.attempts() if event == "evt_broken")


def test_a_handler_that_fails_is_tried_again_alone(start: Start) -> None:
    """What it wrote is gone with it, the others' work stays, and once it is mended its event ends."""
    world = start(3)
    for number in (1, 2, 3):
        subscribe(world, f"cus_person{number}")
    world.deliver(world.events)
    handlers, broken = Handlers(), [True]

    @handlers.on("customer.subscription.created")
    def note(connection: Connection, event: Delivered) -> None:
        connection.execute(audit_logs.insert().values(user_id=USER, category="system", action="seen", description=event.id))
        if broken[0] and event.data["data"]["object"]["customer"] == "cus_person2":
            raise ValueError("no")

    worker = world.worker(surroundings=Surroundings(handlers=handlers))
    worker.once()
    assert world.states() == {"done": len(world.events) - 1, "failed": 1}
    assert len(seen_by_handler(world)) == 2
    broken[0] = False
    with writing(world.books.engine) as connection:
        connection.execute(webhook_events.update().values(due_at=datetime.now(UTC)).where(webhook_events.c.state == "failed"))
    worker.drain()
    assert set(world.states()) == {"done"}
    assert len(seen_by_handler(world)) == 3


@pytest.mark.parametrize("wrong", [3, None, "asynchronous"])
def test_what_is_no_synchronous_function_is_no_handler(wrong: Any) -> None:
    """A coroutine would never run, and its event be done all the same."""

    async def asynchronous(connection: Connection, event: Delivered) -> None: ...

    given: Any = asynchronous if wrong == "asynchronous" else wrong
    with pytest.raises(TypeError, match="synchronous"):
        Handlers().on("charge.refunded")(given)


def seen_by_handler(world: World) -> list[Any]:
    with reading(world.books.engine) as connection:
        return list(connection.execute(select(audit_logs.c.id).where(audit_logs.c.action == "seen")))


def test_a_deleted_customer_is_unlinked(start: Start) -> None:
    """Stripe would refuse it from now on, and the web app makes a new one where there is none."""
    from aura_cli.sandbox.stripe.routes.customers import delete
    from aura_cli.sandbox.stripe.routes.routing import Call

    world = start()
    subscribe(world)
    seen = len(world.state.events)
    delete(Call(world.state, CUSTOMER, {}))
    world.events += world.new(seen)
    world.deliver(world.events)
    world.worker().drain()
    with reading(world.books.engine) as connection:
        assert connection.execute(select(users.c.stripe_customer_id)).scalar_one() is None
    assert set(world.states()) == {"done"}


def test_a_rehearsal_shows_and_changes_nothing(start: Start) -> None:
    """The rows that would change, before and after; the database is as it was."""
    world = start()
    subscribe(world)
    world.deliver(world.events)
    before, states = world.outcome(), world.states()
    shown = rehearse(world.books.engine, world.books.service, [event.id for event in world.events], Surroundings())
    assert {change["table"] for one in shown for change in one.changes} == {"subscriptions", "token_balances", "grants"}
    assert (world.outcome(), world.states()) == (before, states)


def test_what_was_written_while_stripe_was_asked_is_not_overwritten(start: Start) -> None:
    """The answer may be older than that: Stripe is asked again."""
    world = start()
    made = subscribe(world)
    world.deliver([of(world, "customer.subscription.created")])
    engine, answers = world.books.engine, []

    def meanwhile(asked: Any, answer: Any) -> Any:
        if asked.path == f"/v1/subscriptions/{made.id}":
            answers.append(answer["status"])
            if len(answers) == 1:
                with writing(engine) as connection:
                    facts = keeping.Facts(made.id, CUSTOMER, "past_due", *(None,) * 4, False, 1, *(None,) * 4)
                    keeping.append(connection, keeping.states(connection, [made.id]), [facts], {made.id: 2})
        return answer

    world.books.stripe.edit = meanwhile
    world.worker().drain()
    assert len(answers) == 2
    assert set(world.states()) == {"done"}


def test_stripe_in_trouble_fails_no_event_for_good(start: Start) -> None:
    """They are tried again later, and end once it answers."""
    world = start()
    subscribe(world)
    world.deliver(world.events)
    world.books.stripe.edit = lambda asked, answer: b"<html>"
    worker = world.worker()
    worker.once()
    assert set(world.states()) == {"failed"}
    world.books.stripe.edit = lambda asked, answer: answer
    with writing(world.books.engine) as connection:
        connection.execute(webhook_events.update().values(due_at=datetime.now(UTC)))
    worker.drain()
    assert set(world.states()) == {"done"}
    assert world.books.balance() == 10_000_000


def test_workers_at_once_end_as_one(start: Start) -> None:
    """Four of them on one inbox: the same rows as one alone, and each event once."""
    world = start(10, lived=True)
    world.deliver(world.events)
    world.worker().drain()
    expected = world.outcome()
    world.forget()
    world.deliver(world.events)
    threads = [threading.Thread(target=Worker.drain, args=(world.worker(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.worker().drain()
    assert set(world.states()) == {"done"}
    assert world.outcome() == expected
    assert len(world.attempts()) == len(world.events)


def test_what_the_dead_held_is_free_at_once(start: Start) -> None:
    """A process of this machine that is gone keeps no event for the length of its lease; one that lives does."""
    world = start()
    subscribe(world)
    world.deliver(world.events)
    host, _, *rest = identity().split(":")
    with writing(world.books.engine) as connection:
        inbox.claim(connection, ":".join([host, "999999999", *rest]), limit=1)
        inbox.claim(connection, identity(), limit=1)
    world.worker().drain()
    assert world.states() == {"done": len(world.events) - 1, "processing": 1}
