"""Money: every cause is granted once, whoever asks how often, and never beside the web app's own grant."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aura_cli.db.engine import writing
from aura_cli.db.leases import lease
from aura_cli.drift.apply import apply
from aura_cli.errors import ConflictError, UsageError
from aura_cli.sandbox.stripe.records import Event
from aura_cli.subscriptions import grants
from aura_cli.subscriptions.kinds import KINDS
from tests.parts.books import DAY, HOUR, NOW, Books, contract, person, renewed, top_up
from tests.subscriptions.conftest import Keep

A, RENEWED = contract("a"), renewed("a", paid=3 * DAY)
USER = person(1).uuid
ALLOCATION = 10_000_000
LARGEST = 2_147_483_647
FRESH = -30 * 60  # ahead of when the tests began, so that it is fresh however long they take
BOUGHT = person(1, A, top_ups=(top_up("one"), top_up("two", age=2 * DAY, tokens=5_000_000)))


def forget_top_ups(books: Books) -> None:
    books.sql("DELETE FROM token_top_ups")
    books.sql("UPDATE token_balances SET balance = 7, total_purchased = 0")


def test_two_runs_of_the_same_plan_grant_once(keep: Keep) -> None:
    """Applying a plan again finds nothing pending; planning again finds nothing missing."""
    books = keep(BOUGHT)
    forget_top_ups(books)
    planned = books.plan()
    assert books.apply(planned).applied == 2
    assert books.apply(planned).left == 0
    assert books.balance() == 7 + 6_000_000
    assert books.value("SELECT total_purchased FROM token_balances") == 6_000_000
    assert books.found() == []


def test_a_top_up_whose_row_vanishes_is_not_granted_again(keep: Keep) -> None:
    """The ledger remembers what the shared table forgot."""
    books = keep(BOUGHT)
    forget_top_ups(books)
    books.repair()
    books.sql("DELETE FROM token_top_ups")
    assert books.found() == []
    books.sql("DELETE FROM token_balances")
    books.repair()
    books.sql("DELETE FROM token_balances")
    assert books.found() == []


def test_two_plans_at_once_grant_once(keep: Keep) -> None:
    """One person's reconcile beside everybody's, both with the same repairs: one books, the other sees it and skips."""
    books = keep(BOUGHT, person(2, contract("b")), person(3, renewed("c", paid=3 * DAY)))
    forget_top_ups(books)
    books.sql("DELETE FROM token_balances WHERE user_id = :user", user=person(2).uuid)
    books.sql("UPDATE token_balances SET last_reset_at = NULL WHERE user_id = :user", user=person(3).uuid)
    books.sql("DELETE FROM subscriptions WHERE user_id = :user", user=USER)
    plans = [books.plan(), books.plan(user=USER, customers=["cus_person1"]), books.plan(user=person(2).uuid, customers=["cus_person2"])]
    results: list[Any] = []

    def carry_out(planned: Any, name: str) -> None:
        with lease(books.engine, name) as held:
            results.append(apply(books.engine, planned.plan, KINDS, "tester", lease=held))

    threads = [threading.Thread(target=carry_out, args=(planned, str(number))) for number, planned in enumerate(plans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(done.applied for done in results) == 5
    assert sum(done.skipped for done in results) == 4
    assert [cause for cause, *_ in books.ledger()] == ["invoice:in_c2", "session:cs_test_one", "session:cs_test_two", "subscription:sub_b"]
    assert [books.balance(number) for number in (1, 2, 3)] == [7 + 6_000_000, ALLOCATION, ALLOCATION]


def web_books_top_up(books: Books) -> None:
    books.sql("UPDATE token_balances SET balance = balance + 6000000, total_purchased = total_purchased + 6000000")
    for session, tokens in (("cs_test_one", 1_000_000), ("cs_test_two", 5_000_000)):
        books.sql(
            "INSERT INTO token_top_ups (user_id, stripe_session_id, tokens_added, amount_paid) VALUES (:user, :session, :tokens, 900)",
            user=USER,
            session=session,
            tokens=tokens,
        )


def web_resets(books: Books) -> None:
    books.sql("UPDATE token_balances SET balance = 10000000, last_reset_at = CURRENT_TIMESTAMP")


def web_begins(books: Books) -> None:
    books.sql("INSERT INTO token_balances (user_id, balance) VALUES (:user, 10000000)", user=USER)


MEANWHILE: list[tuple[Any, Callable[[Books], None], Callable[[Books], None], int, int]] = [
    (BOUGHT, forget_top_ups, web_books_top_up, 2, 7 + 6_000_000),
    (person(1, RENEWED), lambda books: books.sql("UPDATE token_balances SET balance = 1, last_reset_at = NULL"), web_resets, 1, ALLOCATION),
    (person(1, A), lambda books: books.sql("DELETE FROM token_balances"), web_begins, 1, ALLOCATION),
]


@pytest.mark.parametrize(("who", "spoil", "web_app", "skipped", "balance"), MEANWHILE, ids=["topup", "renewal", "balance"])
def test_what_the_web_app_grants_between_plan_and_apply_is_skipped(
    keep: Keep, who: Any, spoil: Callable[[Books], None], web_app: Callable[[Books], None], skipped: int, balance: int
) -> None:
    """The row moved: nothing is booked, and the report says so."""
    books = keep(who)
    spoil(books)
    planned = books.plan()
    web_app(books)
    result = books.apply(planned)
    assert (result.applied, result.skipped, result.left) == (0, skipped, skipped)
    assert books.balance() == balance
    assert books.ledger() == []
    assert books.found() == []


def test_what_was_paid_just_now_is_the_web_app_s(keep: Keep) -> None:
    """A first payment or top-up of five minutes ago, and a renewal of an hour ago, are not missing yet; older ones are."""
    fresh = keep(
        person(1, contract("new", age=FRESH)),
        person(2, contract("b"), top_ups=(top_up("new", age=FRESH),)),
        person(3, renewed("c", paid=FRESH)),
        person(4, contract("d", age=20 * 60)),
        person(5, contract("e"), top_ups=(top_up("settled", age=20 * 60),)),
        person(6, renewed("f", paid=3 * HOUR)),
    )
    fresh.sql("DELETE FROM token_top_ups")
    fresh.sql("DELETE FROM token_balances WHERE user_id IN (:one, :four)", one=person(1).uuid, four=person(4).uuid)
    fresh.sql("UPDATE token_balances SET last_reset_at = NULL WHERE user_id IN (:three, :six)", three=person(3).uuid, six=person(6).uuid)
    fresh.stripe.state.events.put(
        Event("evt_old", NOW - 20 * 60, "checkout.session.completed", sessions(fresh)["cs_test_settled"], None, "")
    )
    causes = {change.after["cause"] for change in fresh.found() if change.after}
    assert causes == {"subscription:sub_d", "session:cs_test_settled", "invoice:in_f2"}


def sessions(books: Books) -> dict[str, Any]:
    return {session.id: session for session in books.stripe.state.sessions}


def test_a_checkout_paid_at_the_last_moment_is_the_web_app_s(keep: Keep) -> None:
    """Opened twenty hours ago, paid a minute ago: the event of the payment says so, and nothing is granted beside the web app."""
    books = keep(person(1, A, top_ups=(top_up("slow", age=20 * HOUR),)))
    forget_top_ups(books)
    slow = sessions(books)["cs_test_slow"]
    books.stripe.state.events.put(Event("evt_late", NOW - FRESH, "checkout.session.completed", slow, None, ""))
    assert books.found() == []
    assert books.stripe.count()["events"] == 1


def test_a_renewal_paid_at_the_third_try_is_settled_by_its_payment(keep: Keep) -> None:
    """The invoice is three days old; its money came five minutes ago, and the web app may still be at work on it."""
    books = keep(person(1, RENEWED))
    books.sql("UPDATE token_balances SET last_reset_at = NULL")
    bill = books.stripe.state.invoices.get("in_a2")
    assert bill is not None
    books.stripe.state.invoices.put(replace(bill, paid_at=NOW - FRESH))
    assert books.found() == []
    books.stripe.state.invoices.put(replace(bill, paid_at=NOW - HOUR))
    assert [change.kind for change in books.found()] == ["renewal_missing"]


def test_top_ups_that_do_not_fit_are_left_for_a_person(keep: Keep) -> None:
    """Two top-ups, each of which would fit a 32-bit balance and both would not: neither is booked, others are, no number overflows."""
    huge = (top_up("x", tokens=900_000_000), top_up("y", tokens=900_000_000, age=2 * DAY))
    books = keep(person(1, A, top_ups=huge), person(2, contract("b"), top_ups=(top_up("z"),)))
    books.sql("DELETE FROM token_top_ups")
    books.sql("UPDATE token_balances SET balance = 1000000000, total_purchased = 0")
    result = books.repair()
    assert (result.applied, result.skipped, result.left) == (1, 2, 2)
    assert (books.balance(1), books.balance(2)) == (1_000_000_000, 1_001_000_000)
    books.sql("UPDATE token_balances SET balance = 5 WHERE user_id = :user", user=USER)
    assert books.repair().left == 0
    assert books.balance(1) == 1_800_000_005


def test_a_renewal_keeps_the_user_s_own_allocation(keep: Keep) -> None:
    """Who was given another monthly allocation is reset to that."""
    books = keep(person(1, RENEWED))
    books.sql("UPDATE token_balances SET balance = 3, monthly_allocation = 25000000, last_reset_at = NULL")
    books.repair()
    assert books.balance() == 25_000_000


def test_a_late_renewal_keeps_what_was_bought_since(keep: Keep) -> None:
    """Three days late: the top-up of yesterday and a grant by hand stay, that of the month before does not; no number overflows."""
    bought = (top_up("before", age=10 * DAY, tokens=20_000_000), top_up("after", tokens=5_000_000))
    much = person(2, renewed("b", paid=3 * DAY), top_ups=(top_up("much"),))
    books = keep(person(1, RENEWED, top_ups=bought), much, person(3, renewed("c", paid=3 * DAY)))
    books.sql("UPDATE token_top_ups SET tokens_added = 2147483000 WHERE stripe_session_id = 'cs_test_much'")
    books.sql("UPDATE token_balances SET balance = 4, last_reset_at = NULL")
    with writing(books.engine) as connection:
        grants.grant(connection, USER, 700, cause="operator:x", reason="test", operator="tester")
    result = books.repair()
    assert (result.counts, result.left) == ({"renewal_missing": 3}, 0)
    assert [books.balance(number) for number in (1, 2, 3)] == [ALLOCATION + 5_000_700, LARGEST, ALLOCATION]


def test_a_grant_by_hand_does_not_hide_the_first_month(keep: Keep) -> None:
    """Tokens given to somebody without a balance row do not count as what the subscription comes with."""
    books = keep(person(1, A))
    books.sql("DELETE FROM token_balances")
    with writing(books.engine) as connection:
        grants.grant(connection, USER, 500, cause="operator:x", reason="test", operator="tester")
    result = books.repair()
    assert (result.counts, result.left) == ({"balance": 1}, 0)
    assert books.balance() == ALLOCATION + 500
    assert books.found() == []


@pytest.mark.parametrize("tokens", [0, -5, LARGEST + 1, LARGEST])
def test_a_grant_by_hand_has_limits(keep: Keep, tokens: int) -> None:
    """Positive, and not more than the column holds: refused, nothing changed."""
    books = keep(person(1, A))
    with pytest.raises(UsageError), writing(books.engine) as connection:
        grants.grant(connection, USER, tokens, cause="operator:x", reason="test", operator="tester")
    assert books.balance() == ALLOCATION
    assert books.ledger() == []


def test_grants_by_hand_at_once_lose_nothing(keep: Keep) -> None:
    """Eight threads, one key of which is used twice, for somebody without a balance row: seven grants, one refusal."""
    books = keep(person(1))
    refused: list[ConflictError] = []

    def give(cause: str) -> None:
        try:
            with writing(books.engine) as connection:
                grants.grant(connection, USER, 10, cause=cause, reason="test", operator="tester")
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=give, args=(f"operator:{number % 7}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 1
    assert books.balance() == 70
    assert len(books.ledger()) == 7
