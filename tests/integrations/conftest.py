"""The program beside the stand-in of all providers."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.integrations.connecting import World, world_of
from tests.parts.program import Aura


@pytest.fixture
def world(aura: Aura, engine: Engine, database_url: str) -> Iterator[World]:
    """`world("list")` is `aura integrations list` on a database of each kind; `world.connect("slack")` connects Ada."""
    with world_of(aura, engine, database_url) as made:
        yield made
