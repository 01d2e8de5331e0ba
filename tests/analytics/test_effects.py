"""Purchases and refunds on their way out of the outbox to Google Analytics."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from aura_cli.analytics.effects import KIND, Counting, Money, refund
from aura_cli.db.engine import reading, writing
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Carrier
from aura_cli.outbox.tables import outbox
from tests.outbox.test_carrying import rows
from tests.outbox.test_delivery import make_due
from tests.parts.analytics import Property, collecting
from tests.parts.upstash import settings

USER = "0a4fd1a2-27a5-4e7c-8a6b-5d9a0d6a3a01"
Rows = dict[str, tuple[str, int, str | None]]  # key → state, attempts, error
PAYMENTS = ("pi_1", "pi_2", "pi_3")


@pytest.fixture
def google() -> Iterator[Property]:
    with collecting() as found:
        yield found


@pytest.fixture
def refunds(engine: Engine) -> Rows:
    """A refund of each of PAYMENTS is asked for; the rows as they are to be in the end, each done."""
    money = (Money(USER, payment, 3.0, "usd", int(time.time())) for payment in PAYMENTS)
    wanted = dict(refund(one, one.transaction, one.transaction) for one in money)
    with writing(engine) as connection:
        queue.enqueue_all(connection, KIND, wanted)
    return dict.fromkeys(wanted, ("done", 1, None))


def told(google: Property) -> list[str]:
    return sorted(parameters["transaction_id"] for _, parameters in google.events)


def test_who_was_held_up_sends_nothing_twice(engine: Engine, google: Property, refunds: Rows) -> None:
    """Whose claim ran out while Stripe kept it waiting leaves what another has delivered meanwhile: Google counts every refund it gets."""
    asks, answers = threading.Event(), threading.Event()

    def held_up(payment: str) -> str | None:
        asks.set()
        assert answers.wait(30)
        return None

    late = Carrier(engine, Counting(engine, settings(google.env), held_up))
    carried: list[object] = []
    thread = threading.Thread(target=lambda: carried.extend(late.once()))
    thread.start()
    try:
        assert asks.wait(30)
        make_due(engine)
        assert {one.state for one in Carrier(engine, Counting(engine, settings(google.env))).once()} == {"done"}
        assert told(google) == [*PAYMENTS]
    finally:
        answers.set()
        thread.join(30)
    assert (told(google), carried) == ([*PAYMENTS], [])
    assert rows(engine) == {**refunds, "refund:pi_1": ("done", 2, None)}


def test_one_claim_is_not_for_many(engine: Engine, google: Property, refunds: Rows) -> None:
    """While Stripe keeps one waiting the others are anybody's: a claim has to last for one question, not for one after the other."""
    claimed: list[int] = []

    def counted(payment: str) -> str | None:
        with reading(engine) as connection:
            claimed.append(len(connection.execute(select(outbox.c.id).where(outbox.c.state == "sending")).all()))
        return None

    Carrier(engine, Counting(engine, settings(google.env), counted)).once()
    assert (claimed, told(google)) == ([1, 1, 1], [*PAYMENTS])
    assert rows(engine) == refunds


def test_what_is_gone_is_not_sent(engine: Engine, google: Property, refunds: Rows) -> None:
    """What was taken out of the outbox while Stripe was asked goes nowhere, and the rest goes on."""

    def taken_out(payment: str) -> str | None:
        if payment == "pi_2":
            with writing(engine) as connection:
                connection.execute(outbox.delete().where(outbox.c.key == "refund:pi_2"))
        return None

    Carrier(engine, Counting(engine, settings(google.env), taken_out)).once()
    assert told(google) == ["pi_1", "pi_3"]
    assert rows(engine) == {key: row for key, row in refunds.items() if key != "refund:pi_2"}
