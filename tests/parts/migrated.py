"""Engines on the tests' databases: empty ones, and ones with this program's schema, which are copies of one that was migrated."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

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


def migrate(url: str) -> None:
    """Bring the schema of the database at `url` up."""
    with engine_of(url) as engine:
        upgrade(engine)


@cache
def migrated_file() -> bytes:
    """An SQLite database that has the schema, and nothing in it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "aura.db")
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


@pytest.fixture
def migrated() -> None:
    """Who takes this finds each fresh database with the schema; without it they are empty."""


@pytest.fixture
def bare_engine(database_url: str) -> Iterator[Engine]:
    """An engine on what `database_url` gives: an empty database of each kind, or with `migrated` one that has the schema."""
    with engine_of(database_url) as engine:
        yield engine


@pytest.fixture
def engine(migrated: None, bare_engine: Engine) -> Engine:
    """A migrated database of each kind."""
    return bare_engine
