"""A plan's chunk holds what it changes in one order, beside events that are worked on."""

import threading

import pytest
from sqlalchemy import select

from aura_cli.db.engine import writing
from aura_cli.db.shared import subscriptions, users
from tests.parts.books import contract, person, top_up
from tests.subscriptions.conftest import Keep


@pytest.mark.parametrize("kind", ["grants", "rows"])
def test_a_chunk_that_waits_holds_nobody_who_comes_after(keep: Keep, kind: str) -> None:
    """Two of its like, or one and a worker with events, never wait for each other."""
    books = keep(person(2, contract("a"), top_ups=(top_up("a"),)), person(1, contract("b"), top_ups=(top_up("b"),)))
    if kind == "grants":
        books.sql("DELETE FROM token_top_ups")
        held, other = (select(users.c.id).where(users.c.id == person(number).uuid) for number in (1, 2))
    else:
        books.sql("UPDATE subscriptions SET stripe_price_id = 'price_old'")
        with writing(books.engine) as connection:
            first, second = sorted(connection.execute(select(subscriptions.c.id)).scalars())
        books.sql("UPDATE subscriptions SET stripe_subscription_id = 'tmp' WHERE id = :id", id=first)
        for name, row, number in (("sub_a", second, 2), ("sub_b", first, 1)):
            mine = "UPDATE subscriptions SET stripe_subscription_id = :name, user_id = :user WHERE id = :id"
            books.sql(mine, name=name, user=person(number).uuid, id=row)
        held, other = (select(subscriptions.c.id).where(subscriptions.c.id == one) for one in (first, second))
    planned = books.plan()
    applying = threading.Thread(target=books.apply, args=(planned,))
    with writing(books.engine) as connection:
        connection.execute(held.with_for_update())
        applying.start()
        applying.join(1.5)
        connection.execute(other.with_for_update(nowait=True))
    applying.join()
    assert not [change for change in books.found() if change.kind in ("topup_missing", "price")]
