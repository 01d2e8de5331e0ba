"""Events beside other events, workers, operators and handlers: what is done for them is done once, whoever was first."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import LARGEST, audit_logs, token_balances, users
from aura_cli.errors import ConflictError
from aura_cli.outbox import queue
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.stripe import billing, records
from aura_cli.subscriptions import customers, keeping
from aura_cli.subscriptions.booking import Due, book_first_month, book_renewal, book_top_up, rows_of
from aura_cli.subscriptions.grants import grant
from aura_cli.webhooks import inbox
from aura_cli.webhooks.handling import Delivered, Handlers, Surroundings
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.books import DAY, opened
from tests.parts.life import TOKENS, newcomers
from tests.webhooks.world import World

MONTH = 10_000_000
ONE, TWO = newcomers(2).people
Start = Callable[..., World]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """`start(people)` gives a world in which nothing has happened yet."""
    with ExitStack() as stack:
        yield lambda people=1: World(stack.enter_context(opened(database_url, newcomers(people), tmp_path)), [])


def subscribe(world: World, customer: str = "cus_person1") -> records.Subscription:
    """A subscription, paid at once; its events are the world's."""
    seen = len(world.state.events)
    made = billing.subscribe(world.state, customer, [(PRO_MONTHLY.id, 1)])
    world.events += world.new(seen)
    return made


def session(world: World, kind: str, customer: str | None, **metadata: str) -> records.Session:
    """An open checkout."""
    world.state.prices.put(TOKENS)
    price, now = (TOKENS if kind == "payment" else billing.recurring_price(world.state, PRO_MONTHLY.id)), world.state.now()
    lines = (records.Line(price.id, 1, price.amount),)
    made = (world.state.mint.new("cs_test"), now, kind, "open", "unpaid", customer, None, price.currency, price.amount, lines, now + DAY)
    return records.Session(*made, metadata=metadata)


def due_now(world: World) -> None:
    """Time goes by: what waits is due."""
    with writing(world.books.engine) as connection:
        waiting = webhook_events.update().where(webhook_events.c.due_at.is_not(None))
        connection.execute(waiting.values(due_at=datetime.now(UTC) - timedelta(seconds=1)))


def test_a_customer_of_two_users_waits(start: Start) -> None:
    """Nobody can tell whose it is: the events are not looked at again at every turn, as those of a linked customer are."""
    world = start(2)
    world.state.customers.put(records.Customer("cus_stranger", world.state.now()))
    world.books.sql("UPDATE users SET stripe_customer_id = 'cus_stranger'")
    subscribe(world, "cus_stranger")
    world.deliver(world.events)
    for _ in range(3):
        world.worker().drain()
    assert set(world.states()) == {"unmatched"}
    assert len(world.attempts()) == len(world.events)
    world.books.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = :id", id=TWO.uuid)
    world.worker().drain()
    assert set(world.states()) == {"done"}


def test_added_handlers_hear_of_an_event_once(start: Start) -> None:
    """One that waited for its customer has been handled when it is done, not each time that it was looked at."""
    world, heard = start(), list[str]()
    handlers = Handlers()

    @handlers.on("customer.subscription.created")
    def note(connection: Connection, event: Delivered) -> None:
        heard.append(event.id)
        connection.execute(audit_logs.insert().values(user_id=ONE.uuid, category="system", action="seen", description=event.id))

    world.state.customers.put(records.Customer("cus_stranger", world.state.now()))
    subscribe(world, "cus_stranger")
    world.deliver(world.events)
    surroundings = Surroundings(handlers=handlers)
    world.worker(surroundings=surroundings).drain()
    assert set(world.states()) == {"unmatched"}
    world.books.sql("UPDATE users SET stripe_customer_id = 'cus_stranger'")
    world.worker(surroundings=surroundings).drain()
    assert set(world.states()) == {"done"}
    assert world.books.value("SELECT count(*) FROM audit_logs WHERE action = 'seen'") == 1
    assert len(heard) == 1


def test_a_lease_lasts_as_long_as_stripe_takes(start: Start) -> None:
    """Whoever is idle meanwhile does not take over what is being asked about, so that nobody would ever end with it."""
    world = start()
    subscribe(world)
    world.deliver(world.events)
    taken = list[int]()

    def slowly(asked: Any, answer: Any) -> Any:
        if not taken:
            due_now(world)
            time.sleep(0.5)
            taken.append(len(Worker(world.books.engine, None).once()))
        return answer

    world.books.stripe.edit = slowly
    worker = world.worker()
    worker.hold_seconds = 0.05
    worker.once()
    assert taken == [0]
    assert world.states() == {"done": len(world.events)}


def test_claims_that_ran_out_are_no_tries(start: Start) -> None:
    """However often workers died with an event: its first failure is not its last."""
    world = start()
    subscribe(world)
    world.deliver(world.events[:1])
    for number in range(2 * inbox.ATTEMPTS):
        with writing(world.books.engine) as connection:
            (event,) = inbox.claim(connection, f"worker{number}", limit=1)
        due_now(world)
    assert event.attempt == 1


def test_an_operators_grant_beside_a_renewal(engine: Engine) -> None:
    """The renewal that waits for it keeps it."""
    with writing(engine) as connection:
        connection.execute(insert(users).values(id=ONE.uuid, privy_user_id=ONE.did))
        moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        first = Due("subscription:sub_1", ONE.uuid, MONTH, moment - timedelta(days=30))
        book_first_month(connection, rows_of(connection, [first]), "test")

    def renew() -> None:
        with writing(engine) as connection:
            keeping.hold_users(connection, [ONE.uuid])
            book_renewal(connection, rows_of(connection, [Due("invoice:in_1", ONE.uuid, MONTH, moment)]), "test")

    renewing = threading.Thread(target=renew)
    with writing(engine) as connection:
        grant(connection, ONE.uuid, 500, cause="operator:1", reason="sorry", operator="tester")
        renewing.start()
        renewing.join(0.5)
    renewing.join()
    with reading(engine) as connection:
        assert connection.execute(select(token_balances.c.balance)).scalar_one() == MONTH + 500


@pytest.mark.parametrize("late", [False, True])
def test_tokens_count_from_their_payment(start: Start, late: bool) -> None:
    """A bank took its time, and the balance was reset meanwhile: what was bought is there, however late the first event comes."""
    world = start()
    open_ = session(world, "payment", "cus_person1", type="token_topup", tokens="700", user_id=ONE.uuid)
    done = billing.complete(world.state, open_, paid=False)
    world.events += world.new(0)
    if not late:
        world.deliver(world.events)
        world.worker().drain()
    world.state.clock.advance(2 * DAY)
    with writing(world.books.engine) as connection:
        reset = datetime.fromtimestamp(world.state.now() - DAY, UTC)
        book_renewal(connection, rows_of(connection, [Due("invoice:in_1", ONE.uuid, MONTH, reset)]), "test")
    billing.clear(world.state, done)
    world.deliver(world.new(0))
    world.worker().drain()
    assert set(world.states()) == {"done"}
    assert world.books.balance() == MONTH + 700


def test_a_customer_is_deleted_before_the_end_of_the_subscription_is_told(start: Start) -> None:
    """Nobody is that customer any more, and the row ends all the same."""
    from aura_cli.sandbox.stripe.routes.customers import delete
    from aura_cli.sandbox.stripe.routes.routing import Call

    world = start()
    subscribe(world)
    world.deliver(world.events)
    world.worker().drain()
    seen = len(world.state.events)
    delete(Call(world.state, "cus_person1", {}))
    later = world.new(seen)
    for kind in ("customer.deleted", "customer.subscription.deleted"):
        world.deliver([event for event in later if event.type == kind])
        world.worker().drain()
    assert set(world.states()) == {"done"}
    assert world.books.value("SELECT status FROM subscriptions") == "canceled"
    assert world.books.value("SELECT count(*) FROM audit_logs WHERE action = 'subscription_ended'") == 1


def test_users_are_held_in_one_order(start: Start) -> None:
    """A batch that waits for one user holds none who comes after: two of them never wait for each other."""
    world = start(2)
    subscribe(world, "cus_person2")
    seen = len(world.state.events)
    billing.complete(world.state, session(world, "payment", "cus_person1", type="token_topup", tokens="700", user_id=ONE.uuid))
    world.events += world.new(seen)
    world.deliver(world.events)
    working = threading.Thread(target=world.worker().once)
    with writing(world.books.engine) as connection:  # on SQLite, which has one writer, the worker waits for it
        keeping.hold_users(connection, [ONE.uuid])
        working.start()
        working.join(1.5)
        connection.execute(select(users.c.id).where(users.c.id == TWO.uuid).with_for_update(nowait=True))
    working.join()
    assert set(world.states()) == {"done"}


def test_an_event_that_fails_on_the_second_look_spoils_no_other(start: Start) -> None:
    """Somebody wrote while Stripe was asked about one of two; a handler cannot do it: the other is done, it is noted and tried again."""
    world = start(2)
    made = subscribe(world)
    subscribe(world, "cus_person2")
    world.deliver([event for event in world.events if event.type == "customer.subscription.created"])
    handlers, asked_before = Handlers(), list[str]()

    @handlers.on("customer.subscription.created")
    def refuse(connection: Connection, event: Delivered) -> None:
        if event.data["data"]["object"]["id"] == made.id:
            raise ValueError("no")

    def meanwhile(asked: Any, answer: Any) -> Any:
        if asked.path == f"/v1/subscriptions/{made.id}" and not asked_before:
            asked_before.append(asked.path)
            with writing(world.books.engine) as connection:
                facts = keeping.Facts(made.id, "cus_person1", "past_due", *(None,) * 4, False, 1, *(None,) * 4)
                keeping.append(connection, {}, [facts], {made.id: 2})
        return answer

    world.books.stripe.edit = meanwhile
    handled = world.worker(surroundings=Surroundings(handlers=handlers)).once()
    assert sorted(one.state for one in handled) == ["done", "failed"]
    assert world.states() == {"done": 1, "failed": 1}


def test_one_cause_for_two_users_at_once(engine: Engine) -> None:
    """Two who disagree about whose it is: the second one writes nothing."""
    with writing(engine) as connection:
        for one in (ONE, TWO):
            connection.execute(insert(users).values(id=one.uuid, privy_user_id=one.did))
    moment, troubles = datetime.now(UTC), list[Exception]()

    def book(user: str) -> None:
        try:
            with writing(engine) as connection:
                keeping.hold_users(connection, [user])
                due = Due("session:cs_1", user, 700, moment, "cs_1", 900, "starter")
                book_top_up(connection, rows_of(connection, [due]), "test")
        except ConflictError as error:
            troubles.append(error)

    second = threading.Thread(target=book, args=(TWO.uuid,))
    with writing(engine) as connection:
        keeping.hold_users(connection, [ONE.uuid])
        due = Due("session:cs_1", ONE.uuid, 700, moment, "cs_1", 900, "starter")
        book_top_up(connection, rows_of(connection, [due]), "test")
        second.start()
        second.join(0.5)
    second.join()
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(token_balances.c.balance))).scalar_one() == 700


def test_more_is_bought_at_once_than_fits(engine: Engine) -> None:
    """The balance is full, on both databases; the rows say what was bought."""
    with writing(engine) as connection:
        connection.execute(insert(users).values(id=ONE.uuid, privy_user_id=ONE.did))
        moment = datetime.now(UTC)
        dues = [Due(f"session:cs_{n}", ONE.uuid, 1_000_000_000, moment, f"cs_{n}", 900, "starter") for n in range(3)]
        book_top_up(connection, rows_of(connection, dues), "test")
        found = connection.execute(select(token_balances.c.balance, token_balances.c.total_purchased)).one()
    assert tuple(found) == (LARGEST, LARGEST)


def test_what_grants_nothing_waits_for_nobody(start: Start) -> None:
    """Another product's checkout and bill, of somebody unknown here: done, not looked at for ever."""
    world = start()
    world.state.customers.put(records.Customer("cus_stranger", world.state.now()))
    billing.complete(world.state, session(world, "payment", "cus_stranger", type="mug"))
    world.deliver(world.new(0))
    world.worker().drain()
    assert set(world.states()) == {"done"}


def test_two_customers_want_one_user_at_once(start: Start) -> None:
    """The one who comes second finds that the user has a customer."""
    world = start()
    world.books.sql("UPDATE users SET stripe_customer_id = NULL")
    subscribe(world)
    world.deliver(world.events)
    working = threading.Thread(target=world.worker().once)
    with writing(world.books.engine) as connection:
        customers.link(connection, "cus_other", ONE.uuid, shared=True)
        working.start()
        working.join(1.5)
    working.join()
    assert set(world.states()) == {"unmatched"}
    assert world.books.value("SELECT stripe_customer_id FROM users") == "cus_other"
    assert not world.books.ledger()


def test_a_checkout_of_somebody_with_another_customer(start: Start) -> None:
    """It names its user, who has another customer: the same rows whether its events come together or one by one."""
    ends, world = [], start()
    world.books.sql("UPDATE users SET stripe_customer_id = 'cus_old'")
    world.state.customers.put(records.Customer("cus_new", world.state.now()))
    billing.complete(world.state, session(world, "subscription", "cus_new", userId=ONE.uuid))
    for together in (True, False):
        world.forget()
        for batch in [world.new(0)] if together else [[event] for event in world.new(0)]:
            world.deliver(batch)
            world.worker().drain()
        ends.append((len(world.outcome()["subscriptions"]), len(world.books.ledger()), dict(world.states())))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("rows", [2, 5, 40, 400])
def test_a_claim_takes_no_more_than_asked_for(engine: Engine, rows: int) -> None:
    """However the database finds them."""
    with writing(engine) as connection:
        queue.enqueue_all(connection, "forward", {str(number): {} for number in range(rows)})
        if engine.dialect.name != "sqlite":
            connection.execute(text("ANALYZE aura_ops.outbox"))
    with writing(engine) as connection:
        assert len(queue.claim(connection, "tester", limit=1, kinds=("forward",))) == 1


def test_an_answer_with_a_nul(engine: Engine) -> None:
    """What a receiver answered can be noted, whatever it was."""
    with writing(engine) as connection:
        queue.enqueue(connection, "forward", "evt_1", {})
        (effect,) = queue.claim(connection, "tester")
        assert queue.settle(connection, "tester", effect, "500: a\0b")
        assert connection.execute(select(outbox.c.error)).scalar_one() == "500: ab"


def test_what_reconcile_saw_is_younger_than_events_of_before(start: Start) -> None:
    """Without a key an event's time decides; one from before the scan changes nothing that the scan has put right."""
    world = start()
    made = subscribe(world)
    world.deliver([event for event in world.events if event.type == "customer.subscription.created"])
    world.worker(key=False).drain()
    world.state.clock.advance(60)
    billing.cancel(world.state, made, world.state.now())
    world.books.repair()
    assert world.books.value("SELECT status FROM subscriptions") == "canceled"
    older = replace(world.events[0], id="evt_older", type="customer.subscription.updated", created=world.events[0].created + 1)
    world.deliver([older])
    world.worker(key=False).drain()
    assert world.books.value("SELECT status FROM subscriptions") == "canceled"
