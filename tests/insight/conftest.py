"""A desk for each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.insight.desk import Desk, sat_down
from tests.parts.program import Aura


@pytest.fixture
def desk(aura: Aura, migrated: None, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Somebody at it, with nothing broken."""
    with sat_down(aura, database_url, tmp_path) as found:
        yield found


@pytest.fixture
def small_desk(aura: Aura, migrated: None, sqlite_database: str, tmp_path: Path) -> Iterator[Desk]:
    """The same with SQLite, for what does not depend on the database."""
    with sat_down(aura, sqlite_database, tmp_path) as found:
        yield found
