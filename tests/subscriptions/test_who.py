"""One person's reconcile: whoever is named, only that person's customer is asked for and only their rows are touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aura_cli.db.leases import lease
from tests.parts.books import DAY, Books, contract, opened, person, population, top_up
from tests.parts.program import Aura, Completed
from tests.parts.sampling import sample
from tests.subscriptions.conftest import Keep

ONE, TWO = person(1, contract("a"), top_ups=(top_up("t"),)), person(2, contract("b", age=20 * DAY))
USER = ONE.uuid


@pytest.fixture
def books(migrated: None, postgres_database: str, tmp_path: Path) -> Iterator[Books]:
    """Three people, of whom the first two pay and the third never did; everybody's rows are wrong."""
    with opened(postgres_database, population(ONE, TWO, person(3, customer=None)), tmp_path) as found:
        found.sql("UPDATE subscriptions SET status = 'past_due'")
        yield found


def reconcile(aura: Aura, books: Books, *args: str) -> Completed:
    return aura("subscriptions", "reconcile", *args, "--json", env=books.variables)


def test_any_identifier_names_the_person(aura: Aura, books: Books) -> None:
    """Found for one, with one question to each list; nobody else's subscriptions are read or compared."""
    for who in sample((USER.upper(), ONE.did, "PERSON1@example.com", "cus_person1", "sub_a"), 2, seed=2):
        books.stripe.asked.clear()
        done = reconcile(aura, books, who)
        assert (done.exit, done.json["counts"], done.json["remote"], done.json["local"]) == (3, {"status": 1}, 1, 1), who
        assert books.stripe.count() == {"account": 1, "subscriptions": 1, "sessions": 1}
        assert {one.query["customer"] for one in books.stripe.asked if one.query} == {"cus_person1"}


def test_only_the_person_s_rows_are_repaired(aura: Aura, books: Books) -> None:
    """Exit 0: nothing is left of this person's drift, and everybody else's stays as it is."""
    done = reconcile(aura, books, USER, "--apply")
    assert (done.exit, done.json["counts"], done.json["applied"]) == (0, {"status": 1}, 1)
    assert books.value("SELECT status FROM subscriptions WHERE stripe_subscription_id = 'sub_b'") == "past_due"


def test_nobody_is_exit_5(aura: Aura, books: Books) -> None:
    """Unknown here and at Stripe, or known and without a customer: nothing to reconcile. Nonsense is a usage error."""
    before = books.shared()
    for who in sample(("nobody@example.com", person(9).uuid, "cus_nobody", "sub_nobody", person(3).did), 2, seed=1):
        done = reconcile(aura, books, who, "--apply")
        assert (done.exit, done.out) == (5, ""), who
    assert reconcile(aura, books, "who's that?").exit == 2
    assert books.shared() == before


@pytest.mark.parametrize("who", ["cus_person1", "sub_a"])
def test_a_customer_nobody_is_linked_to_can_be_named(aura: Aura, books: Books, who: str) -> None:
    """Stripe knows whose it is: the user is linked and gets the row; the other subscriptions are not even looked at."""
    books.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = :user", user=USER)
    books.sql("DELETE FROM subscriptions WHERE user_id = :user", user=USER)
    done = reconcile(aura, books, who, "--apply")
    assert (done.exit, done.json["counts"], done.json["local"]) == (0, {"missing_locally": 1, "unknown_customer": 1}, 0)
    assert books.value("SELECT stripe_customer_id FROM users WHERE id = :user", user=USER) == "cus_person1"
    assert not [one for one in books.stripe.asked if "sub_b" in one.path]


def test_a_user_without_a_link_is_found_by_the_customer_s_metadata(aura: Aura, books: Books) -> None:
    """`users.stripe_customer_id` is empty, and Stripe's search knows the user's id."""
    books.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = :user", user=USER)
    done = reconcile(aura, books, USER, "--apply")
    assert (done.exit, done.json["counts"]) == (0, {"status": 1, "unknown_customer": 1})


def test_a_row_under_another_user_is_not_missing(keep: Keep) -> None:
    """The shared table has the subscription, though not under this person: nothing to insert, in a narrow look as in a full one."""
    books = keep(ONE, TWO)
    books.sql("UPDATE subscriptions SET user_id = :user WHERE stripe_subscription_id = 'sub_a'", user=TWO.uuid)
    assert "missing_locally" not in {change.kind for change in books.found(user=USER, customers=["cus_person1"])}


def test_one_person_beside_everybody(aura: Aura, books: Books) -> None:
    """A full reconcile that holds its lease keeps nobody from one person's; a second full one is told who is at it."""
    with lease(books.engine, "reconcile"):
        assert reconcile(aura, books, "cus_person1", "--apply").exit == 0
        second = reconcile(aura, books)
    assert second.exit == 6
    assert "is being done by process" in second.err
