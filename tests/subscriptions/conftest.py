"""Books to reconcile, once on each database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.books import Books, opened, population

Keep = Callable[..., Books]


@pytest.fixture
def keep(migrated: None, database_url: str, tmp_path: Path) -> Iterator[Keep]:
    """`keep(person, …)` gives books of these people that agree on both sides."""
    with ExitStack() as open_:
        yield lambda *people: open_.enter_context(opened(database_url, population(*people), tmp_path))
