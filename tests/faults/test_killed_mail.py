"""kill -9 of the senders of a thousand mails: whatever moment they die at, each mail arrives once."""

import time
from collections.abc import Iterator
from random import Random

import pytest
from sqlalchemy import Engine

from tests.mail.office import Office, user_id
from tests.parts.program import Aura
from tests.parts.resend import post
from tests.parts.sampling import WHOLE, sample

MAILS, KILLS = (1_000, 20) if WHOLE else (300, 5)
SEEDS = sample(range(5), 1, seed=3)


@pytest.fixture
def office(aura: Aura, engine: Engine, database_url: str) -> Iterator[Office]:
    """Resend takes a while before it has taken a request, and another before it answers."""
    with post() as found:
        found.state.limits.rate, found.state.limits.work = 0, 0.1
        found.faults.latency = 0.05
        yield Office(aura, engine, database_url, found)


def killed(office: Office, within: float, *words: str) -> bool:
    """Start `aura email …` and kill it so many seconds after it began to send; whether it died of that."""
    process = office.aura.start("email", *words, env=office.env)
    asked = len(office.post.state.journal)
    ends = time.monotonic() + 30
    while len(office.post.state.journal) == asked and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.002)  # until it sends
    time.sleep(within)
    process.kill()
    process.communicate(timeout=30)
    return process.returncode == -9


def finish(office: Office) -> None:
    """Go on until nothing waits."""
    ends = time.monotonic() + 600
    while office("retry", "--yes", timeout=300).exit != 0:  # up to a thousand requests, one after the other
        assert time.monotonic() < ends
        time.sleep(0.2)


def once_each(office: Office, count: int) -> None:
    """Resend has each mail once, and here each is known under its id there."""
    assert office.arrived() == {f"person{number}@example.com": 1 for number in range(1, count + 1)}
    assert {row.resend_id for row in office.rows} == set(office.post.state.mails)
    assert set(office.states) <= {"sent"}
    assert len(office.rows) == count


@pytest.mark.parametrize("seed", SEEDS)
def test_many_in_batches(office: Office, seed: int) -> None:
    """The same command again and again, killed each time, in the midst of requests of a hundred mails."""
    count = 3 * MAILS  # more than are sent before the last kill
    office.people(count)
    dice = Random(seed)
    words = ("send", "welcome", "--to-all", "everybody", "--apply", "--max-recipients", str(count))
    assert all(killed(office, dice.uniform(0, 0.25), *words) for _ in range(KILLS))
    finish(office)
    assert office(*words).exit == 0
    once_each(office, count)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_by_one(office: Office, seed: int) -> None:
    """Mails that handling asked for, each a request of its own, two workers at a time."""
    count = MAILS // 10 if not WHOLE else MAILS
    office.post.state.limits.work = office.post.faults.latency = 0.002
    office.people(count)
    for number in range(1, count + 1):
        about = {"template": "subscription_confirmation", "user_id": user_id(number), "subscription": f"sub_{number}", "price": None}
        office.ask(f"subscription_confirmation:sub_{number}", about)
    dice = Random(seed)
    for _ in range(KILLS):
        beside = office.aura.start("email", "retry", env=office.env)
        assert killed(office, dice.uniform(0, 0.25), "retry")
        beside.kill()
        beside.communicate(timeout=30)
    finish(office)
    once_each(office, count)
    assert office.effects == [("done", attempts, None) for _, attempts, _ in office.effects]
