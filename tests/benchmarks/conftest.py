"""What several benchmarks start from."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import connect
from aura_cli.db.migrate import upgrade
from tests.parts.postgres import Server


@pytest.fixture
def database(postgres_server: Server) -> Iterator[tuple[str, Engine]]:
    """The address and the engine of a fresh database with our schema."""
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        engine = connect(url.replace("postgresql://", "postgresql+psycopg://"))
        upgrade(engine)
        yield url, engine
        engine.dispose()
