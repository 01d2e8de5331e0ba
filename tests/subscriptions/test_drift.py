"""Each kind of drift planted alone: found as it is, repaired as it must be, gone afterwards; what is only reported stays."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from aura_cli.console import rfc3339
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Person
from tests.parts.books import DAY, HOUR, NOW, Books, at, bound, contract, person, renewed, top_up
from tests.parts.stripe import Asked
from tests.subscriptions.conftest import Keep

USER = person(1).uuid
ALLOCATION = 10_000_000


@dataclass(frozen=True)
class Case:
    """One kind: whom it befalls, what goes wrong with the rows of person 1, and the one change that must be found."""

    kind: str
    who: Person
    spoil: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    key: str = "sub_a"
    values: dict[str, Any] | None = None


A = contract("a")
TRIAL = contract("a", "trialing", age=3 * DAY, trial_end=NOW + 11 * DAY, period_end=NOW + 11 * DAY)
OLD = contract("old", "canceled", age=300 * DAY)
RENEWED = renewed("a", paid=3 * DAY)
PERIOD = {"current_period_start": at(A.period_start), "current_period_end": at(A.period_end)}
LONG_AGO = "2020-01-02T03:04:05.678901Z"
CASES = [
    Case("status", person(1, A), "UPDATE subscriptions SET status = 'past_due'", {"status": "past_due"}, {"status": "active"}),
    Case(
        "period",
        person(1, A),
        "UPDATE subscriptions SET current_period_start = NULL, current_period_end = NULL",
        dict.fromkeys(PERIOD),
        PERIOD,
    ),
    Case(
        "price",
        person(1, A),
        "UPDATE subscriptions SET stripe_price_id = 'price_old'",
        {"stripe_price_id": "price_old"},
        {"stripe_price_id": PRO_MONTHLY.id},
    ),
    Case("trial", person(1, TRIAL), "UPDATE subscriptions SET trial_end = NULL", {"trial_end": None}, {"trial_end": at(NOW + 11 * DAY)}),
    Case(
        "cancel_flag",
        person(1, A),
        "UPDATE subscriptions SET cancel_at_period_end = NULL",
        {"cancel_at_period_end": None},
        {"cancel_at_period_end": False},
    ),
    Case(
        "missing_locally",
        person(1, TRIAL),
        "DELETE FROM subscriptions",
        None,
        {
            "user_id": USER,
            "stripe_subscription_id": "sub_a",
            "customer": "cus_person1",
            "stripe_price_id": PRO_MONTHLY.id,
            "status": "trialing",
            "current_period_start": at(TRIAL.period_start),
            "current_period_end": at(TRIAL.period_end),
            "trial_end": at(TRIAL.trial_end),
            "cancel_at_period_end": False,
            "created_at": at(TRIAL.created),
        },
    ),
    Case(
        "unknown_customer",
        person(1, A),
        "UPDATE users SET stripe_customer_id = NULL",
        {"stripe_customer_id": None},
        {"stripe_customer_id": "cus_person1"},
        key=USER,
    ),
    Case(
        "shadowed",
        person(1, OLD, A),
        "UPDATE subscriptions SET created_at = :late WHERE stripe_subscription_id = 'sub_old'",
        {"created_at": at(NOW - 60)},
        {"created_at": at(OLD.created)},
        key="sub_old",
        values={"late": at(NOW - 60)},
    ),
    Case("balance", person(1, A), "DELETE FROM token_balances", None, {"cause": "subscription:sub_a", "tokens": ALLOCATION}, key=USER),
    Case(
        "renewal_missing",
        person(1, RENEWED),
        "UPDATE token_balances SET balance = 5, last_reset_at = :then",
        {"balance": 5, "last_reset_at": LONG_AGO},
        {"cause": "invoice:in_a2", "tokens": ALLOCATION, "billed_at": at(RENEWED.invoices[-1].created)},
        key=USER,
        values={"then": LONG_AGO},
    ),
    Case(
        "topup_missing",
        person(1, A, top_ups=(top_up("t"),)),
        "DELETE FROM token_top_ups",
        None,
        {"cause": "session:cs_test_t", "tokens": 1_000_000, "amount": 900, "package": "starter", "customer": None},
        key="cs_test_t",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.kind))
def test_a_kind_is_found_repaired_and_gone(keep: Keep, case: Case) -> None:
    """Exactly the planted change, before and after; a look writes nothing; an apply brings back what was there; nothing is left."""
    books = keep(case.who, person(2, contract("b"), top_ups=(top_up("b"),)))
    right, ledger = books.shared(), books.ledger()
    owner = "id" if "users" in case.spoil else "user_id"
    books.sql(f"{case.spoil} {'AND' if 'WHERE' in case.spoil else 'WHERE'} {owner} = :user", user=USER, **(case.values or {}))
    if case.kind == "topup_missing":
        books.sql("UPDATE token_balances SET balance = balance - 1000000, total_purchased = 0 WHERE user_id = :user", user=USER)
    spoilt = books.shared()
    planned = books.plan()
    change = books.drift(planned)
    assert [(one.kind, one.key, one.user, one.before, one.after) for one in change] == [
        (case.kind, case.key, USER, case.before, case.after)
    ]
    assert books.shared() == spoilt
    assert books.ledger() == ledger
    result = books.apply(planned)
    assert (result.applied, result.skipped, result.left, result.counts) == (1, 0, 0, {case.kind: 1})
    assert _without_moments(books.shared()) == _without_moments(right)
    assert books.found() == []
    granted = [(case.after["cause"], USER, case.after["tokens"])] if case.after and "cause" in case.after else []
    assert [(cause, user, tokens) for cause, user, _, tokens in books.ledger()] == granted


def _without_moments(shared: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """A repair of a balance or top-up bears the moment of the repair."""
    for row in shared["token_balances"]:
        del row["last_reset_at"]
    for row in shared["token_top_ups"]:
        del row["created_at"]
    return shared


def absent(books: Books) -> None:
    books.sql(
        "INSERT INTO subscriptions (user_id, stripe_subscription_id, status) VALUES (:user, 'sub_ghost', 'canceled')", user=person(2).uuid
    )


def twice(books: Books) -> None:
    books.sql("UPDATE users SET stripe_customer_id = 'cus_person2' WHERE id = :user", user=USER)


REPORTED: list[tuple[str, list[Person], Callable[[Books], None], str, dict[str, Any]]] = [
    ("missing_remotely", [person(2)], absent, "sub_ghost", {"status": "canceled"}),
    (
        "duplicate_active",
        [person(1, contract("x", age=20 * DAY), contract("y"))],
        lambda books: None,
        USER,
        {"count": 2, "first": "sub_x", "last": "sub_y"},
    ),
    (
        "ambiguous_link",
        [person(3, contract("z", age=HOUR // 2))],
        lambda books: books.sql("DELETE FROM users"),
        "cus_person3",
        {"customer": "cus_person3", "why": "nobody matches"},
    ),
]


@pytest.mark.parametrize(("kind", "who", "spoil", "key", "before"), REPORTED, ids=[case[0] for case in REPORTED])
def test_what_only_a_person_can_settle_is_reported_and_stays(
    keep: Keep, kind: str, who: list[Person], spoil: Callable[[Books], None], key: str, before: dict[str, Any]
) -> None:
    """An apply leaves it alone, and it is there the next time, too."""
    books = keep(*who)
    spoil(books)
    as_it_was = books.shared()
    for _ in range(2):
        result = books.repair()
        assert (result.applied, result.skipped, result.left, result.counts) == (0, 0, 1, {kind: 1})
        (change,) = result.drift
        assert (change.key, change.before, change.after) == (key, before, None)
    assert books.shared() == as_it_was


def test_missing_at_stripe_is_confirmed_by_asking_for_it(keep: Keep) -> None:
    """A subscription that the list lacks (it came into being during the scan) but Stripe knows is no drift."""
    books = keep(person(1, contract("a")))
    books.stripe.edit = lambda asked, answer: {**answer, "data": []} if asked.path == "/v1/subscriptions" else answer
    assert books.found() == []
    assert books.stripe.count()["subscriptions/…"] == 1


def test_two_users_with_one_customer_are_ambiguous(keep: Keep) -> None:
    """A missing row whose customer is linked to two users goes to nobody."""
    books = keep(person(1), person(2, contract("b")))
    twice(books)
    books.sql("DELETE FROM subscriptions")
    (change,) = books.found()
    assert (change.kind, change.before) == ("ambiguous_link", {"customer": "cus_person2", "why": "several users are linked"})


def test_ended_subscriptions_come_with_history_alone(keep: Keep) -> None:
    """Without --history an old, ended subscription that we lack is no drift; with it, it comes in with Stripe's own time."""
    books = keep(person(1, OLD, A))
    books.sql("DELETE FROM subscriptions WHERE stripe_subscription_id = 'sub_old'")
    assert books.found() == []
    result = books.repair(history=True)
    assert (result.counts, result.left) == ({"missing_locally": 1}, 0)
    assert books.value("SELECT status FROM subscriptions WHERE stripe_subscription_id = 'sub_old'") == "canceled"
    assert books.found(history=True) == []


@pytest.mark.parametrize(("attempt", "status"), [("incomplete_expired", "canceled"), ("canceled", "canceled")])
def test_a_failed_attempt_above_a_paid_subscription_does_not_lock_out(keep: Keep, attempt: str, status: str) -> None:
    """Stripe's own times put the dead row on top: the paying one is lifted above it, and stays there."""
    books = keep(person(1, A, contract("late", attempt, age=2 * DAY)))
    books.repair(history=True)
    newest = "SELECT stripe_subscription_id FROM subscriptions ORDER BY created_at DESC LIMIT 1"
    assert books.value(newest) == "sub_a"
    assert books.value("SELECT status FROM subscriptions WHERE stripe_subscription_id = 'sub_late'") == status
    assert books.found(history=True) == []


def test_rows_made_in_the_same_moment_do_not_lock_out(keep: Keep) -> None:
    """Of two rows with one created_at the web app may take either: the paying one is lifted."""
    ended = replace(contract("ended", "canceled"), created=A.created)
    books = keep(person(1, ended, A))
    result = books.repair()
    assert result.counts == {"shadowed": 1}
    assert books.value("SELECT stripe_subscription_id FROM subscriptions ORDER BY created_at DESC LIMIT 1") == "sub_a"
    assert books.found() == []


def test_a_row_that_the_web_app_writes_while_we_read_is_left_alone(keep: Keep) -> None:
    """Stripe changed after its page was read, the web app heard of it at once: our older knowledge is no repair. The next run judges."""
    books = keep(person(1, A), person(2, OLD, contract("b")))

    def meanwhile(asked: Asked, answer: Any) -> Any:
        if asked.path == "/v1/subscriptions":
            books.sql("UPDATE subscriptions SET status = 'past_due', updated_at = :now", now=bound(books, time.time()))
        return answer

    books.stripe.edit = meanwhile
    planned = books.plan()
    books.stripe.edit = lambda asked, answer: answer
    assert planned.counts == {}
    assert books.plan().counts == {"status": 3}


def test_resuming_what_was_finished_reads_anew(keep: Keep) -> None:
    """A run that came to its plan is over: with --resume the next one does not judge by what Stripe said then."""
    books = keep(person(1, A))
    assert books.found() == []
    subscription = books.stripe.state.subscriptions.get("sub_a")
    assert subscription is not None
    books.stripe.state.subscriptions.put(replace(subscription, status="past_due"))
    assert [change.kind for change in books.found(resume=True)] == ["status"]


def test_a_plan_notes_what_it_did_in_the_operator_log(keep: Keep) -> None:
    """Who, what, which row; no address of a person."""
    books = keep(person(1, A))
    books.sql("UPDATE subscriptions SET status = 'unpaid'")
    books.repair()
    table = "operator_log" if books.engine.dialect.name == "sqlite" else "aura_ops.operator_log"
    assert books.value(f"SELECT operator || ' ' || what || ' ' || key FROM {table}") == "tester drift.status sub_a"


def test_times_in_a_report_are_rfc_3339(keep: Keep) -> None:
    """What a plan holds is read back as the time it was."""
    books = keep(person(1, A))
    books.sql("UPDATE subscriptions SET current_period_end = NULL")
    (change,) = books.found()
    assert change.after is not None
    assert datetime.fromisoformat(change.after["current_period_end"]) == datetime.fromtimestamp(A.period_end, UTC)
    assert rfc3339(datetime.fromtimestamp(A.period_end, UTC))[:19] == change.after["current_period_end"][:19]
