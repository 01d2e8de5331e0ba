"""Purchases and refunds: out of events, through the outbox, to Google Analytics, each once."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from aura_cli.analytics.collecting import client_id
from aura_cli.analytics.effects import KIND, Counting
from aura_cli.db.engine import reading, writing
from aura_cli.errors import UnreachableError
from aura_cli.outbox.carrying import Carrier
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.subscriptions.stripe import service
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.handling import Surroundings
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.pruning import Old, prune
from aura_cli.webhooks.purchases import amount, invoice_of
from aura_cli.webhooks.worker import Worker
from tests.parts.analytics import Property, collecting
from tests.parts.books import DAY, NOW, opened
from tests.parts.life import live, newcomers
from tests.parts.listening import event
from tests.parts.upstash import answering, settings
from tests.webhooks.operating import Operated
from tests.webhooks.world import World

COUNTS = Surroundings(counts=True)
PEOPLE = newcomers(6)
BEGAN = NOW - 100 * DAY  # for clocks to whom nothing is old


@pytest.fixture
def google() -> Iterator[Property]:
    with collecting() as found:
        yield found


@pytest.fixture
def settle(database_url: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """`settle()` gives a world of six people, the same each time."""
    with ExitStack() as stack:
        books = stack.enter_context(opened(database_url, PEOPLE, tmp_path))
        yield lambda: World(books, live(books.stripe.state, PEOPLE.people, 11))


def asked(world: World) -> dict[str, Any]:
    """Key → payload of what is to be counted."""
    with reading(world.books.engine) as connection:
        rows = connection.execute(select(outbox.c.key, outbox.c.payload).where(outbox.c.kind == KIND))
        return {row.key: row.payload for row in rows}


def counting(world: World, now: int = BEGAN) -> None:
    """Handle all that is due, as if it were `now`."""
    Worker(world.books.engine, world.books.service, COUNTS, lambda: datetime.fromtimestamp(now, UTC)).drain()


def refund(of: str | None, total: int, before: int = 0, **charge: Any) -> bytes:
    about = {"id": "ch_1", "object": "charge", "customer": of, "currency": "usd", "amount_refunded": total, **charge}
    return event(type="charge.refunded", data={"object": about, "previous_attributes": {"amount_refunded": before}}, created=NOW)


def put(world: World, *bodies: bytes) -> None:
    with writing(world.books.engine) as connection:
        store(connection, [read(body, "test") for body in bodies])


def test_each_payment_is_one_purchase(settle: Callable[[], World]) -> None:
    """Every paid invoice that cost something, and every paid top-up, whatever order events come in and however often; else nothing."""
    world = settle()
    state = world.state
    coming = [*world.events, *world.events[::3]]
    random.Random(5).shuffle(coming)
    for start in range(0, len(coming), 9):
        world.deliver(coming[start : start + 9])
        counting(world)
    invoices = {one.id: one.amount for one in state.invoices if one.status == "paid" and one.amount}
    sessions = {str(one.payment_intent): one.amount for one in state.sessions if one.mode == "payment" and one.payment_status == "paid"}
    assert invoices
    assert sessions
    paid, found = {**invoices, **sessions}, asked(world)
    assert set(found) == {f"purchase:{name}" for name in paid}
    for payload in found.values():
        parameters = payload["params"]
        (item,) = parameters["items"]
        transaction = parameters["transaction_id"]
        assert (payload["event"], parameters["currency"], parameters["value"]) == ("purchase", "USD", paid[transaction] / 100)
        assert item["item_id"] == (PRO_MONTHLY.id if transaction in invoices else "starter")
    world.forget()
    world.deliver(world.events)
    world.worker().drain()
    assert asked(world) == {}


def test_delivered_once_and_without_a_name(settle: Callable[[], World], google: Property) -> None:
    """What Google gets names a client and no person, is of the moment of the event, and a second round sends nothing."""
    world = settle()
    world.deliver(world.events)
    counting(world)
    expected = asked(world)
    to_google = Counting(world.books.engine, settings(google.env), clock=lambda: BEGAN)
    carrier = Carrier(world.books.engine, to_google)
    assert {one.state for one in carrier.once()} == {"done"}
    assert carrier.once() == []
    told = sorted(json.dumps(parameters, sort_keys=True) for _, parameters in google.events)
    assert told == sorted(json.dumps(one["params"], sort_keys=True) for one in expected.values())
    bodies = [entry["body"] for entry in google.state.journal]
    people = {one["user_id"]: one for one in expected.values()}
    assert {body["client_id"] for body in bodies} == {client_id(user) for user in people}
    assert not [user for user in people if user in json.dumps(bodies)]
    assert {body["timestamp_micros"] for body in bodies} == {one["at"] * 1_000_000 for one in expected.values()}


def test_refunds(settle: Callable[[], World]) -> None:
    """Parts that go back are counted one by one, of the payment that they belong to; a repetition, a stranger's, and nothing: not."""
    world = settle()
    world.deliver(world.events)
    counting(world)
    purchases = asked(world)
    customer, user = next((one.customer, one.uuid) for one in PEOPLE.people if one.customer)
    put(
        world,
        refund(customer, 300, payment_intent="pi_1"),
        refund(customer, 300, payment_intent="pi_1"),
        refund(customer, 1000, 300, payment_intent="pi_1"),
        refund(customer, 500, id="ch_2", invoice="in_9"),
        refund(customer, 700, id="ch_3", currency="jpy"),
        refund("cus_stranger", 500, id="ch_4"),
        refund(customer, 0, id="ch_5"),
        event(type="charge.refunded", data={"object": {"id": "ch_7", "amount_refunded": "much"}}),
        event(type="charge.refunded", data={"object": json.loads(refund(customer, 5, id="ch_6"))["data"]["object"]}, account="acct_other"),
    )
    counting(world)
    new = {key: one["params"] for key, one in asked(world).items() if key not in purchases}
    assert new == {
        "refund:ch_1:300": {"transaction_id": "pi_1", "value": 3.0, "currency": "USD"},
        "refund:ch_1:1000": {"transaction_id": "pi_1", "value": 7.0, "currency": "USD"},
        "refund:ch_2:500": {"transaction_id": "in_9", "value": 5.0, "currency": "USD"},
        "refund:ch_3:700": {"transaction_id": "ch_3", "value": 700.0, "currency": "JPY"},
    }
    assert {one["user_id"] for key, one in asked(world).items() if key in new} == {user}
    assert set(world.states()) == {"done"}


def test_a_refund_of_an_invoice(settle: Callable[[], World], google: Property) -> None:
    """Since basil a charge names the payment alone: whose invoice it paid is asked when the refund is told, and asked again if need be."""
    world = settle()
    customer = next(one.customer for one in PEOPLE.people if one.customer)
    put(world, refund(customer, 300, payment_intent="pi_1"), refund(customer, 400, id="ch_2", payment_intent="pi_topup"))
    counting(world)
    known: dict[str, str | None] = {"pi_topup": None}

    def invoice_of(payment: str) -> str | None:
        if payment not in known:
            raise UnreachableError("Stripe is away")
        return known[payment]

    carrier = Carrier(world.books.engine, Counting(world.books.engine, settings(google.env), invoice_of))
    assert {(one.key, one.state) for one in carrier.once()} == {("refund:ch_1:300", "pending"), ("refund:ch_2:400", "done")}
    known["pi_1"] = "in_9"
    with writing(world.books.engine) as connection:
        connection.execute(outbox.update().where(outbox.c.state == "pending").values(next_try_at=outbox.c.created_at))
    assert [one.state for one in carrier.once()] == ["done"]
    assert [parameters["transaction_id"] for _, parameters in google.events] == ["pi_topup", "in_9"]


@pytest.mark.parametrize(
    ("status", "body", "invoice"),
    [
        (200, b'{"data": [{"id": "inpay_1", "invoice": "in_9"}]}', "in_9"),
        (200, b'{"data": [{"invoice": {"id": "in_9", "object": "invoice"}}]}', "in_9"),
        (200, b'{"data": []}', None),
        (403, b'{"error": {"message": "This key may not"}}', None),
        (404, b'{"error": {"message": "Unrecognized request URL"}}', None),
    ],
)
def test_which_invoice_a_payment_paid(status: int, body: bytes, invoice: str | None) -> None:
    """As Stripe lists an invoice's payments; a key or an API version that cannot say it leaves the payment as it is."""
    answer = b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
    known = {"STRIPE_SECRET_KEY": "sk_test_sandbox_purchases"}
    with answering(answer) as base, service(settings({**known, "STRIPE_API_BASE": base})) as stripe:
        assert invoice_of(stripe, "pi_1") == invoice


def test_google_is_away(settle: Callable[[], World], google: Property) -> None:
    """It is tried again later; what Google would drop is given up, and says why."""
    world = settle()
    world.deliver(world.events)
    counting(world)
    google.faults.server_error = 1.0
    to_google = Counting(world.books.engine, settings(google.env), clock=lambda: BEGAN)
    tried = Carrier(world.books.engine, to_google).once()
    assert {one.state for one in tried} == {"pending"}
    assert "500" in (tried[0].error or "")
    google.faults.server_error = 0.0
    with writing(world.books.engine) as connection:
        payload = {**next(iter(asked(world).values())), "event": "session_start"}
        connection.execute(outbox.insert().values(kind=KIND, key="purchase:bad", payload=payload))
    (given_up,) = Carrier(world.books.engine, to_google).once()
    assert (given_up.key, given_up.state, "reserved" in (given_up.error or "")) == ("purchase:bad", "dead", True)
    assert google.events == []


def test_what_is_old_is_not_counted(settle: Callable[[], World], google: Property) -> None:
    """Google would put it at another time: a backfill counts the last 72 hours, and what waited longer is given up."""
    world = settle()
    world.deliver(world.events)
    customer = next(one.customer for one in PEOPLE.people if one.customer)
    put(world, refund(customer, 300, payment_intent="pi_1"))
    counting(world, NOW + 2 * DAY)
    found = asked(world)
    assert "refund:ch_1:300" in found
    assert {one["at"] >= NOW - DAY for one in found.values()} == {True}
    late = Carrier(world.books.engine, Counting(world.books.engine, settings(google.env), clock=lambda: NOW + 4 * DAY)).once()
    assert {(one.state, one.error) for one in late} == {("dead", "Google takes nothing that is older than 72 hours")}
    assert google.state.journal == []


def test_what_was_counted_is_forgotten_in_time(settle: Callable[[], World], google: Property) -> None:
    """Ids of people do not stay in the outbox for ever: prune takes what is settled and old, as it takes what was forwarded."""
    world = settle()
    customer = next(one.customer for one in PEOPLE.people if one.customer)
    put(world, refund(customer, 300))
    counting(world)
    assert len(Carrier(world.books.engine, Counting(world.books.engine, settings(google.env))).once()) == 1
    long_after = datetime.fromtimestamp(NOW + 100 * DAY, UTC)
    done = prune(world.books.engine, Old.than(long_after - timedelta(days=90), long_after), "operator")
    assert (done.effects, asked(world)) == (1, {})


def test_not_configured(engine: Engine) -> None:
    """One setting alone counts nothing."""
    assert Counting.of(engine, settings({})) is None
    assert Counting.of(engine, settings({"NEXT_PUBLIC_GA_MEASUREMENT_ID": "G-SANDBOX000"})) is None


def test_the_program_counts(operated: Operated, google: Property) -> None:
    """`work --once` handles, counts and says so; a second time there is nothing."""
    operated.world.deliver(operated.world.events)
    assert operated("work", "--once", **google.env).exit == 0
    before = len(google.events)
    operated.put(refund(next(one.customer for one in PEOPLE.people if one.customer), 300, payment_intent="pi_1"))
    done = operated("work", "--once", "--json", **google.env)
    assert (done.exit, done.json["counted"], done.json["handled"]) == (0, {"done": 1}, {"applied": 1}), done.err
    assert google.events[before:] == [("refund", {"transaction_id": "pi_1", "value": 3.0, "currency": "USD"})]
    again = operated("work", "--once", "--json", **google.env)
    assert (again.json["counted"], len(again.json["handled"])) == ({}, 0)
    hidden = operated("endpoints", "create", "https://hooks.example.com/here", "-n", "--json")
    shown = operated("endpoints", "create", "https://hooks.example.com/here", "-n", "--json", **google.env)
    assert [one for one in shown.json["enabled_events"] if one not in hidden.json["enabled_events"]] == ["charge.refunded"]


@pytest.mark.parametrize(
    ("smallest", "currency", "usual"), [(999, "eur", 9.99), (999, "JPY", 999.0), (1234, "bhd", 1.234), (1, "usd", 0.01), (29, "usd", 0.29)]
)
def test_amounts(smallest: int, currency: str, usual: float) -> None:
    """Each currency has its own decimals."""
    assert amount(smallest, currency) == usual
