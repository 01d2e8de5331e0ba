"""kill -9 of a refresh of 500 rotating connections: only answers that were on the wire are lost, and the list names just those."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine, select, text

from aura_cli.db.engine import is_sqlite, reading
from aura_cli.db.shared import integrations
from tests.parts.program import Aura
from tests.parts.providers import Town, town_of
from tests.parts.sampling import WHOLE, sample

CONNECTIONS, AT_ONCE = 500 if WHOLE else 120, 32
KILLS = [(place, Random(place)) for place in range(50)]
CHOSEN = sample(KILLS, 2, seed=11)


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """A provider that takes its time before and after it rotates, and that detects reuse at once."""
    with town_of(aura, engine, database_url) as made:
        made.faults.latency = 0.05
        made.order("slow", times=10**9, value=0.03)
        yield made


@pytest.mark.parametrize(("place", "dice"), CHOSEN, ids=[str(place) for place, _ in CHOSEN])
def test_killed_anywhere(town: Town, place: int, dice: Random) -> None:
    """Whatever moment it dies at: what had reached us is in the row or the spool, and refreshes on; the others are listed, no more."""
    rows = town.connect("linear", town.people(CONNECTIONS))
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    wanted = dice.randrange(1, CONNECTIONS)
    ends = time.monotonic() + 60
    while town.asked() < wanted and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.002)
    time.sleep(dice.uniform(0, 0.08))
    process.kill()
    process.communicate(timeout=30)
    settle(town)
    lost = lost_ones(town, rows)
    assert len(lost) <= AT_ONCE
    town.lapse(*rows)
    found = town.refresh(exit=3 if lost else 0, timeout=120)
    assert found["refreshed"] + found["stored"] >= CONNECTIONS - len(lost)
    listed = {one["id"] for one in town("list", "--health", "needs_consent", "--json").json}
    assert listed == lost
    assert town.spool == []
    town.lapse(*rows)
    assert town.refresh(exit=3 if lost else 0, timeout=120)["refreshed"] == CONNECTIONS - len(lost)
    assert sum(consent.ended == "reuse" for consent in town.state.consents) == len(lost)


def settle(town: Town) -> None:
    """Wait until the provider and the database have done what they were asked before the kill."""
    seen = -1
    while seen != town.asked() or not is_still(town):
        seen = town.asked()
        time.sleep(0.3)


def is_still(town: Town) -> bool:
    """Whether no statement of the killed process is under way: PostgreSQL brings to its end what a client died over."""
    with reading(town.engine) as connection:
        if is_sqlite(connection):
            return True
        others = "datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        return not connection.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")).scalar_one()


def lost_ones(town: Town, rows: list[str]) -> set[str]:
    """The connections whose newest refresh token is neither in their row nor in the spool."""
    with reading(town.engine) as connection:
        sealed = connection.execute(select(integrations.c.id, integrations.c.refresh_token)).all()
    held = {id_: town.vault.open(text) for id_, text in sealed if text}
    spooled = "".join(town.vault.open(path.read_text()) for path in town.spool if isinstance(path, Path))
    spent = {word for word, token in town.state.tokens.items() if token.spent}
    return {id_ for id_ in rows if held[id_] in spent and not newest(town, held[id_]) & set(_words(spooled))}


def newest(town: Town, held: str) -> set[str]:
    """The refresh tokens that are good for the consent that a row's token is of."""
    consent = town.state.tokens[held].consent
    return {word for word, token in town.state.tokens.items() if token.refresh and not token.spent and token.consent is consent}


def _words(text: str) -> list[str]:
    return text.replace('"', " ").replace(",", " ").split()
