"""A listener for each database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.parts.listening import OLD_SECRET, Served, serving
from tests.parts.program import Aura


@pytest.fixture
def listener(aura: Aura, engine: Engine, database_url: str) -> Iterator[Served]:
    """The program, listening: it only receives, and knows two secrets."""
    with serving(aura, database_url, env={"AURA_STRIPE_WEBHOOK_SECRETS": f'{{"old": "{OLD_SECRET}"}}'}) as served:
        yield served
