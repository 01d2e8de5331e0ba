"""The program beside the stand-in of all providers, with nobody or somebody connected."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.integrations.connecting import World, world_of
from tests.parts.program import Aura
from tests.parts.providers import Town, town_of


@pytest.fixture
def world(aura: Aura, engine: Engine, database_url: str) -> Iterator[World]:
    """`world("list")` is `aura integrations list` on a database of each kind; `world.connect("slack")` connects Ada."""
    with world_of(aura, engine, database_url) as made:
        yield made


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """Nobody connected yet, on a database of each kind."""
    with town_of(aura, engine, database_url) as made:
        yield made
