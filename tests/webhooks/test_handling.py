"""What events end in: the rows that Stripe's side asks for, in whatever shape, order and number the events come."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aura_cli.subscriptions.stripe import API_VERSION
from tests.parts.books import opened
from tests.parts.life import BEFORE_BASIL, live, newcomers
from tests.webhooks.world import World

PEOPLE = 12


Settle = Callable[..., World]


@pytest.fixture
def settle(database_url: str, tmp_path: Path) -> Iterator[Settle]:
    """`settle()` gives a world, the same each time."""
    with ExitStack() as stack:
        people = newcomers(PEOPLE)
        books = stack.enter_context(opened(database_url, people, tmp_path))
        yield lambda seed=7: World(books, live(books.stripe.state, people.people, seed))


def test_all_orders_and_shapes_end_alike(settle: Settle) -> None:
    """Ordered and undisturbed, shuffled with duplicates, in the old shape: the same rows, ledger and outbox, and no drift is left."""
    world = settle()
    for event in world.events:
        world.deliver([event])
        world.worker().drain()
    expected = world.outcome()
    assert set(world.states()) == {"done"}
    assert expected["subscriptions"]
    assert {row[2] for row in expected["ledger"]} == {"initial", "renewal", "topup"}
    assert not [change for change in world.books.found(history=False) if change.kind != "duplicate_active"]
    chance = random.Random(3)
    for version, batch in ((API_VERSION, 1000), (BEFORE_BASIL, 1000), (API_VERSION, 7)):
        world.forget()
        coming = [*world.events, *chance.sample(world.events, len(world.events) // 10)]
        chance.shuffle(coming)
        while coming:
            world.deliver(coming[:batch], version)
            coming = coming[batch:]
            world.worker().drain()
        assert world.outcome() == expected
        assert set(world.states()) == {"done"}
