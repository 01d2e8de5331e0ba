"""Whose is a customer: linked where exactly one user can be meant, and never on a guess."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import insert

from aura_cli.db.engine import writing
from aura_cli.drift.apply import Applied, foresee
from aura_cli.subscriptions.kinds import KINDS
from aura_cli.users.tables import privy_users
from tests.parts.books import Books, contract, person, top_up
from tests.subscriptions.conftest import Keep

ONE, TWO = person(1, contract("a")), person(2, customer=None)
STRANGER = person(9).uuid


def customer(books: Books, email: str | None, metadata: Mapping[str, str]) -> None:
    """What Stripe says about the customer who pays; nobody here is linked to it."""
    record = books.stripe.state.customers.get("cus_person1")
    assert record is not None
    books.stripe.state.customers.put(replace(record, email=email, metadata=metadata))
    books.sql("UPDATE users SET stripe_customer_id = NULL WHERE stripe_customer_id = 'cus_person1'")


def verified(books: Books, did: str, email: str | None) -> None:
    with writing(books.engine) as connection:
        connection.execute(insert(privy_users).values(privy_user_id=did, verified_email=email))


def test_what_builds_on_a_link_is_foreseen_with_it(keep: Keep) -> None:
    """A link, the row that needs it and the balance that needs the row: a dry run counts all three, and changes nothing."""
    books = keep(ONE)
    customer(books, None, {"userId": ONE.uuid})
    books.sql("DELETE FROM subscriptions")
    books.sql("DELETE FROM token_balances")
    planned, before = books.plan(), books.shared()
    assert planned.counts == {"balance": 1, "missing_locally": 1, "unknown_customer": 1}
    with writing(books.engine) as connection:
        assert foresee(connection, planned.plan, KINDS) == Applied(3, 0)
    assert (books.shared(), books.ledger()) == (before, [])
    assert books.apply(planned).applied == 3


LINKS = [
    ("metadata.userId", None, {"userId": ONE.uuid.upper()}, {}, ONE.uuid),
    ("metadata.privyUserId", None, {"privyUserId": ONE.did}, {}, ONE.uuid),
    ("both", None, {"userId": ONE.uuid, "privyUserId": ONE.did}, {ONE.did: "person1@example.com"}, ONE.uuid),
    ("verified e-mail", "Person1@Example.com", {}, {ONE.did: "person1@example.com"}, ONE.uuid),
    ("unverified e-mail", "person1@example.com", {}, {ONE.did: None}, "nobody matches"),
    ("nothing known at Privy", "person1@example.com", {}, {}, "nobody matches"),
    ("garbage", "x" * 1000, {"userId": "'; DROP TABLE users", "privyUserId": ""}, {}, "nobody matches"),
    ("stranger", None, {"userId": STRANGER}, {}, "nobody matches"),
    ("two by metadata", None, {"userId": ONE.uuid, "privyUserId": TWO.did}, {}, "several users match"),
    ("two by e-mail", "shared@example.com", {}, {ONE.did: "shared@example.com", TWO.did: "shared@example.com"}, "several users match"),
]


@pytest.mark.parametrize(("email", "metadata", "known", "expected"), [case[1:] for case in LINKS], ids=[case[0] for case in LINKS])
def test_who_a_customer_is(
    keep: Keep, email: str | None, metadata: Mapping[str, str], known: Mapping[str, str | None], expected: str
) -> None:
    """Linked to the one user who fits, or reported with the reason."""
    books = keep(ONE, TWO)
    customer(books, email, metadata)
    for did, address in known.items():
        verified(books, did, address)
    (change,) = books.found()
    if change.kind == "unknown_customer":
        assert (change.user, change.after) == (expected, {"stripe_customer_id": "cus_person1"})
    else:
        assert (change.kind, change.before) == ("ambiguous_link", {"customer": "cus_person1", "why": expected})


def test_a_user_with_another_customer_is_not_relinked(keep: Keep) -> None:
    """The customer names a user who pays through another one already."""
    books = keep(ONE, person(2, contract("b")))
    customer(books, None, {"userId": person(2).uuid})
    (change,) = books.found()
    assert change.before == {"customer": "cus_person1", "why": "the user has another customer"}


def test_two_customers_of_one_user_are_a_person_s_choice(keep: Keep) -> None:
    """Both name the same user, who has none yet: neither is taken."""
    books = keep(ONE, person(2, contract("b")), person(3, customer=None))
    for name in ("cus_person1", "cus_person2"):
        record = books.stripe.state.customers.get(name)
        assert record is not None
        books.stripe.state.customers.put(replace(record, metadata={"userId": person(3).uuid}))
    books.sql("UPDATE users SET stripe_customer_id = NULL")
    found = books.found()
    assert {change.kind for change in found} == {"ambiguous_link"}
    assert len(found) == 2


def test_a_customer_deleted_at_stripe_links_nobody(keep: Keep) -> None:
    """What is left of it has no metadata; its subscriptions have ended, and that is no drift."""
    books = keep(ONE)
    books.sql("DELETE FROM subscriptions")
    books.sql("UPDATE users SET stripe_customer_id = NULL")
    record = books.stripe.state.customers.get("cus_person1")
    assert record is not None
    books.stripe.state.customers.put(replace(record, deleted=True, metadata={}))
    (change,) = books.found()
    assert change.before == {"customer": "cus_person1", "why": "deleted at Stripe"}


def test_a_user_linked_elsewhere_between_plan_and_apply_gets_nothing_of_it(keep: Keep) -> None:
    """The link is skipped, and with it the row and the balance that hung on it."""
    books = keep(replace(ONE, top_ups=(top_up("t"),)))
    for table in ("subscriptions", "token_balances", "token_top_ups"):
        books.sql(f"DELETE FROM {table}")
    books.sql("UPDATE users SET stripe_customer_id = NULL")
    books.stripe.edit_each("/v1/checkout", lambda session: session["metadata"].pop("user_id"))
    planned = books.plan()
    assert planned.counts == {"balance": 1, "missing_locally": 1, "topup_missing": 1, "unknown_customer": 1}
    books.sql("UPDATE users SET stripe_customer_id = 'cus_other'")
    result = books.apply(planned)
    assert (result.applied, result.skipped) == (0, 4)
    assert books.balance() is None
