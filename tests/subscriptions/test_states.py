"""What a reconcile remembers of Stripe's exact states, and what it leaves to whoever looked later."""

import time

from sqlalchemy import select

from aura_cli.db.engine import reading, writing
from aura_cli.subscriptions.tables import customer_links, subscription_states
from tests.parts.books import Books, bound, contract, person
from tests.subscriptions.conftest import Keep

STATES = subscription_states.c


def states(books: Books) -> list[tuple[str, bool]]:
    """Every state of the one subscription, the oldest first, and whether it is the current one."""
    with reading(books.engine) as connection:
        return [tuple(row) for row in connection.execute(select(STATES.status, STATES.current).order_by(STATES.id))]


def see(books: Books, status: str, seconds: float) -> None:
    """Have the current state be `status`, seen so many seconds from now."""
    table = "subscription_states" if books.engine.dialect.name == "sqlite" else "aura_ops.subscription_states"
    moment = bound(books, time.time() + seconds)
    books.sql(f"UPDATE {table} SET status = :status, seen_at = :moment WHERE current", status=status, moment=moment)


def test_a_state_is_appended_when_it_changes(keep: Keep) -> None:
    """The first look writes it down, the second adds nothing, a change adds a state and leaves the old one to read."""
    books = keep(person(1, contract("a")))
    books.plan()
    books.plan()
    assert states(books) == [("active", True)]
    see(books, "past_due", -60)
    books.plan()
    assert states(books) == [("past_due", False), ("active", True)]


def test_a_state_that_was_seen_after_the_scan_began_stays(keep: Keep) -> None:
    """What the scan read is older than what somebody else has written since: it is not put in its place, nor beside it."""
    books = keep(person(1, contract("a")))
    books.plan()
    see(books, "past_due", +60)
    books.plan()
    assert states(books) == [("past_due", True)]


def test_customers_are_kept_in_step_with_the_users(keep: Keep) -> None:
    """Everybody's customer is known; one that moved to another user moves here too, also where only that person is looked at."""
    books = keep(person(1, contract("a")), person(2))
    with writing(books.engine) as connection:
        connection.execute(customer_links.insert().values(customer="cus_person1", user_id=person(2).uuid))
    books.plan(user=person(1).uuid, customers=("cus_person1",))
    assert links(books) == {"cus_person1": person(1).uuid}
    books.plan()
    assert links(books) == {"cus_person1": person(1).uuid, "cus_person2": person(2).uuid}


def links(books: Books) -> dict[str, str]:
    with reading(books.engine) as connection:
        return {row.customer: str(row.user_id) for row in connection.execute(select(customer_links))}
