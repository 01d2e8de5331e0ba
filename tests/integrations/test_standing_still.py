"""Providers that are stopped: for how long, and for whose sake."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.integrations.tables import provider_states
from tests.parts.program import Aura
from tests.parts.providers import Town, town_of


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """Nobody connected yet, on a database of each kind."""
    with town_of(aura, engine, database_url) as made:
        yield made


def pause(town: Town) -> timedelta:
    """How long the one stopped provider is left alone from now on."""
    with reading(town.engine) as connection:
        until: datetime = connection.execute(select(provider_states.c.stopped_until)).scalar_one()
    return until - datetime.now(UTC)


def test_many_failures_at_once_are_one_stop(town: Town) -> None:
    """An outage met by 32 requests at once stops the provider for a quarter of an hour; each try that fails after it doubles that."""
    town.connect("linear", town.people(40))
    town.order("not_found", times=10_000)
    town.refresh(exit=3)
    assert timedelta(minutes=14) < pause(town) <= timedelta(minutes=15)
    with writing(town.engine) as connection:
        connection.execute(provider_states.update().values(stopped_until=datetime.now(UTC) - timedelta(seconds=1)))
    town.refresh(exit=3)
    assert timedelta(minutes=29) < pause(town) <= timedelta(minutes=30)
