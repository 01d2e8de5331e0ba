"""A listener for each database, and people with stories at Stripe beside the program that operates on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.parts.books import opened
from tests.parts.life import live, newcomers
from tests.parts.listening import OLD_SECRET, Served, serving
from tests.parts.program import Aura
from tests.webhooks.operating import Operated
from tests.webhooks.world import World


@pytest.fixture
def listener(aura: Aura, engine: Engine, database_url: str) -> Iterator[Served]:
    """The program, listening: it only receives, and knows two secrets."""
    with serving(aura, database_url, env={"AURA_STRIPE_WEBHOOK_SECRETS": f'{{"old": "{OLD_SECRET}"}}'}) as served:
        yield served


@pytest.fixture
def operated(aura: Aura, migrated: None, database_url: str, tmp_path: Path) -> Iterator[Operated]:
    """Two people who lived, nothing delivered yet; `operated(…)` is `aura webhooks …` on them."""
    population = newcomers(2)
    with opened(database_url, population, tmp_path) as books:
        yield Operated(aura, World(books, live(books.stripe.state, population.people, 7)))
