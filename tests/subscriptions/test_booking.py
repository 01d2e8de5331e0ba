"""Booking by cause: in whatever order and however often causes come, balances end as if they had come in the order of Stripe's times."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, insert, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import LARGEST, token_balances, token_top_ups, users
from aura_cli.subscriptions.booking import Due, book_first_month, book_renewal, book_top_up, rows_of
from aura_cli.subscriptions.tables import grants

USER = "00000000-0000-4000-8000-000000000001"
START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = 10_000_000
BOOK = {"initial": book_first_month, "renewal": book_renewal, "topup": book_top_up}


def due(kind: str, at: int, tokens: int) -> tuple[str, Due]:
    moment = START + timedelta(hours=at)
    if kind == "topup":
        return kind, Due(f"session:cs_{at}", USER, tokens, moment, f"cs_{at}", 900, "starter")
    return kind, Due(f"{kind}:{at}", USER, MONTH, moment)


def in_order(causes: Sequence[tuple[str, Due]]) -> int:
    """The balance after the causes, each in its turn: months add, renewals reset, top-ups add."""
    balance = 0
    for kind, one in sorted(causes, key=lambda cause: cause[1].caused_at or START):
        balance = MONTH if kind == "renewal" else balance + one.tokens
    return balance


def book(connection: Connection, batch: Sequence[tuple[str, Due]]) -> None:
    for kind, function in BOOK.items():
        if dues := [one for name, one in batch if name == kind]:
            function(connection, rows_of(connection, dues), "test")


def forget(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in (grants, token_top_ups, token_balances, users):
            connection.execute(delete(table))
        connection.execute(insert(users).values(id=USER, privy_user_id="did:privy:one"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["initial", "renewal", "topup"]), st.integers(1, 5_000)), min_size=1, max_size=9),
    st.randoms(use_true_random=False),
)
def test_the_order_does_not_matter(engine: Engine, kinds: list[tuple[str, int]], chance: random.Random) -> None:
    """Shuffled, doubled and cut into batches of any size: the same balance, and each cause in the ledger once."""
    hours = sorted(chance.sample(range(1, 1_000), len(kinds)))
    causes = [due("initial", 0, MONTH), *(due(kind, at, tokens) for at, (kind, tokens) in zip(hours, kinds, strict=True))]
    coming = [*causes, *chance.sample(causes, chance.randint(0, len(causes)))]
    chance.shuffle(coming)
    forget(engine)
    while coming:
        size = chance.randint(1, len(coming))
        batch, coming = coming[:size], coming[size:]
        with writing(engine) as connection:
            book(connection, list({one.cause: (kind, one) for kind, one in batch}.values()))
    with reading(engine) as connection:
        assert connection.execute(select(token_balances.c.balance)).scalar_one() == in_order(causes)
        renewals = [one.caused_at for kind, one in causes if kind == "renewal" and one.caused_at]
        assert connection.execute(select(token_balances.c.last_reset_at)).scalar_one() == max(renewals, default=START)
        assert sorted(connection.execute(select(grants.c.cause)).scalars()) == sorted(one.cause for _, one in causes)
        bought = sum(one.tokens for kind, one in causes if kind == "topup")
        assert connection.execute(select(token_balances.c.total_purchased)).scalar_one() == bought


def test_a_second_subscription_is_told_of_before_a_renewal_of_the_first(engine: Engine) -> None:
    """The balance dates from the renewal, which is the last reset there was, whichever of them came first."""
    forget(engine)
    for kind, at in (("initial", 30), ("renewal", 25), ("initial", 0)):
        with writing(engine) as connection:
            book(connection, [due(kind, at, MONTH)])
    with reading(engine) as connection:
        found = connection.execute(select(token_balances.c.balance, token_balances.c.last_reset_at)).one()
    assert tuple(found) == (2 * MONTH, START + timedelta(hours=25))


@pytest.mark.parametrize("kind", ["initial", "renewal"])
def test_what_the_web_app_gave_is_not_given_again(engine: Engine, kind: str) -> None:
    """A reset of the web app's at or after the cause has dealt with it; the ledger remembers the cause as settled."""
    forget(engine)
    with writing(engine) as connection:
        theirs = {"balance": 123, "monthly_allocation": MONTH, "last_reset_at": START + timedelta(hours=5, microseconds=17)}
        connection.execute(insert(token_balances).values(user_id=USER, **theirs))
        book(connection, [due(kind, 5, MONTH)])
        assert connection.execute(select(token_balances.c.balance)).scalar_one() == 123
        book(connection, [due(kind, 6, MONTH)])
        assert connection.execute(select(token_balances.c.balance)).scalar_one() == (MONTH if kind == "renewal" else MONTH + 123)
        assert len(connection.execute(select(grants.c.cause)).all()) == 2


def test_a_row_that_began_with_the_web_apps_top_up(engine: Engine) -> None:
    """It is no month: who is late adds theirs, whatever of it was used; what the web app gave beside a purchase is a month."""
    for balance, used, expected in (
        (70, 0, MONTH + 70),
        (30, 40, MONTH + 30),
        (MONTH + 70, 0, MONTH + 70),
        (70, MONTH, 70),
        (LARGEST, LARGEST, LARGEST),
    ):
        forget(engine)
        theirs = {"monthly_allocation": MONTH, "last_reset_at": START + timedelta(hours=6, microseconds=17), "total_purchased": 70}
        with writing(engine) as connection:
            connection.execute(insert(token_balances).values(user_id=USER, balance=balance, total_used=used, **theirs))
            book(connection, [due("initial", 5, MONTH)])
            assert connection.execute(select(token_balances.c.balance)).scalar_one() == expected


def test_a_reset_is_no_beginning(engine: Engine) -> None:
    """Though what is left should be as much as was bought, the web app's month after it was given; an operator's grant is no month."""
    bought, given = START + timedelta(hours=4), START + timedelta(hours=7)
    for before, by_hand, expected in ((True, 0, 70), (False, 5, MONTH + 75)):
        forget(engine)
        balance = {"balance": 70 + by_hand, "total_purchased": 70, "monthly_allocation": MONTH, "last_reset_at": START + timedelta(hours=6)}
        paid = {"stripe_session_id": "cs_9", "tokens_added": 70, "amount_paid": 1, "created_at": bought if before else given}
        with writing(engine) as connection:
            connection.execute(insert(token_balances).values(user_id=USER, **balance))
            connection.execute(insert(token_top_ups).values(user_id=USER, **paid))
            if by_hand:
                hand = {"cause": "operator:1", "kind": "operator", "tokens": by_hand, "reason": "x", "granted_at": given}
                connection.execute(insert(grants).values(user_id=USER, **hand))
            book(connection, [due("initial", 5, MONTH)])
            assert connection.execute(select(token_balances.c.balance)).scalar_one() == expected


def test_a_top_up_of_the_web_apps_is_recognised(engine: Engine) -> None:
    """By its session: nothing is added, and the cause is settled."""
    forget(engine)
    with writing(engine) as connection:
        connection.execute(insert(token_balances).values(user_id=USER, balance=70, monthly_allocation=0, total_purchased=70))
        connection.execute(insert(token_top_ups).values(user_id=USER, stripe_session_id="cs_9", tokens_added=70, amount_paid=1))
        book(connection, [due("topup", 9, 70)])
        assert connection.execute(select(token_balances.c.balance, token_balances.c.total_purchased)).one() == (70, 70)
        assert connection.execute(select(grants.c.cause)).scalar_one() == "session:cs_9"
        assert len(connection.execute(select(token_top_ups.c.id)).all()) == 1
