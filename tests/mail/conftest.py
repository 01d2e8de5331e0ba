"""An office for each database: the program, people, and Resend's stand-in."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.mail.office import Office
from tests.parts.program import Aura
from tests.parts.resend import post


@pytest.fixture
def office(aura: Aura, engine: Engine, database_url: str) -> Iterator[Office]:
    """Nobody is there yet, and nothing was sent."""
    with post() as found:
        found.state.limits.rate = 0
        yield Office(aura, engine, database_url, found)
