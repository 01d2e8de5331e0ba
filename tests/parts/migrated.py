"""Engines on the tests' databases: empty ones, and ones with this program's schema."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import connect
from aura_cli.db.migrate import upgrade


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """An engine as the program makes it, for an address as the web app's settings hold it; nothing stays open."""
    engine = connect(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def bare_engine(database_url: str) -> Iterator[Engine]:
    """An empty database of each kind."""
    with engine_of(database_url) as engine:
        yield engine


@pytest.fixture
def engine(bare_engine: Engine) -> Engine:
    """A migrated database of each kind."""
    upgrade(bare_engine)
    return bare_engine
