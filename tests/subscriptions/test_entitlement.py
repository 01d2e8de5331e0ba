"""After an apply the web app lets in exactly those whom Stripe says have paid, whatever stood in the database before."""

from collections import defaultdict
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import subscriptions
from aura_cli.db.types import from_epoch
from aura_cli.sandbox.population import Contract, Person
from tests.parts.books import DAY, HOUR, NOW, Books, contract, person
from tests.parts.sampling import sample
from tests.subscriptions.conftest import Keep

STATUSES = ("active", "active", "trialing", "past_due", "canceled", "canceled", "unpaid", "incomplete", "incomplete_expired", "paused")
PEOPLE = 60


def made_up(number: int, dice: Random) -> Person:
    """Somebody with up to four contracts, some of them begun in the same second."""
    ages = [dice.choice((2, 2, 9, 40, 41, 300)) * DAY for _ in range(dice.choice((1, 2, 2, 3, 4)))]
    contracts = [_contract(f"p{number}n{index}", dice.choice(STATUSES), age, dice) for index, age in enumerate(ages)]
    return person(number, *sorted(contracts, key=lambda one: one.created))


def _contract(name: str, status: str, age: int, dice: Random) -> Contract:
    made = contract(name, status, age=age)
    if status != "trialing":
        return made
    end = NOW + dice.choice((-HOUR, 5 * DAY))  # over by now, though Stripe has not moved it on yet
    return replace(made, trial_end=end, period_end=end)


def spoil(books: Books, dice: Random) -> None:
    """Rows lost, statuses wrong, times of creation that are the times of writing, trials without an end."""
    s = subscriptions.c
    with writing(books.engine) as connection:
        for (row,) in connection.execute(select(s.id)).all():
            values: dict[str, Any] = {}
            if dice.random() < 0.3:
                values["status"] = dice.choice(("trialing", "active", "past_due", "canceled", "unpaid"))
            if dice.random() < 0.4:
                values["created_at"] = from_epoch(NOW - dice.choice((0, 0, 60, 500 * DAY)))
            if dice.random() < 0.2:
                values["trial_end"] = dice.choice((None, from_epoch(NOW + 90 * DAY)))
            if dice.random() < 0.15:
                connection.execute(subscriptions.delete().where(s.id == row))
            elif values:
                connection.execute(update(subscriptions).where(s.id == row).values(values))


def let_in_by_the_web_app(books: Books) -> set[str]:
    """Its rule, in its words: of a user's rows the one with the newest created_at; of several, none may lock out."""
    rows = defaultdict(list)
    with reading(books.engine) as connection:
        for row in connection.execute(select(subscriptions)):
            rows[row.user_id].append(row)
    newest = {user: [row for row in owned if row.created_at == max(one.created_at for one in owned)] for user, owned in rows.items()}
    return {user for user, chosen in newest.items() if all(_entitles(row.status, row.trial_end) for row in chosen)}


def _entitles(status: str, trial_end: Any) -> bool:
    return status == "active" or (status == "trialing" and trial_end is not None and trial_end.timestamp() > NOW)


def paid_for_at_stripe(people: tuple[Person, ...]) -> set[str]:
    return {
        one.uuid
        for one in people
        for each in one.contracts
        if each.status == "active" or (each.status == "trialing" and (each.trial_end or 0) > NOW)
    }


@pytest.mark.parametrize("seed", sample(range(25), 2, seed=1))
@pytest.mark.parametrize("history", [False, True])
def test_entitled_are_exactly_those_who_paid(keep: Keep, seed: int, history: bool) -> None:
    """As many people as a property needs, each with a past; one apply is enough, and a second finds nothing to write."""
    dice = Random(seed)
    people = tuple(made_up(number, dice) for number in range(1, PEOPLE + 1))
    books = keep(*people)
    spoil(books, dice)
    books.repair(history=history)
    assert let_in_by_the_web_app(books) == paid_for_at_stripe(people)
    again = books.plan(history=history)
    assert again.counts.keys() <= {"duplicate_active"}
