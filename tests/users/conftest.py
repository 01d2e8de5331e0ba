"""A database with our schema, Privy's stand-in beside it, and the program with settings for both."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import users
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.server import running
from aura_cli.users.tables import privy_users
from tests.parts.loopback import plain_client
from tests.parts.privy import configuration
from tests.parts.program import Aura, Completed

NUMBERS = ["scanned", "created", "updated", "unchanged", "missing", "failed", "complete", "dry_run", "duration_s"]
POPULATION = build(250, seed=7, now=1_795_000_000)


@dataclass(frozen=True)
class Desk:
    """Where an operator sits: the program, the database it works on, and Privy's stand-in to change things at."""

    aura: Aura
    engine: Engine
    environment: dict[str, str]
    privy: httpx.Client
    population: Population

    def __call__(self, *args: str, input: str | None = None, **env: str) -> Completed:  # noqa: A002
        """`aura users …`"""
        return self.aura("users", *args, env={**self.environment, **env}, input=input)

    def sync(self, *args: str, exit: int = 0) -> dict[str, Any]:  # noqa: A002
        """`aura users sync … --json`, which must end with `exit`, parsed."""
        done = self("sync", *args, "--json")
        assert done.exit == exit, done.err
        found: dict[str, Any] = done.json
        assert list(found)[: len(NUMBERS)] == NUMBERS
        return found

    def token(self, did: str, **wishes: Any) -> str:
        """An access token of the stand-in's."""
        return str(self.privy.post("/_sandbox/token", json={"did": did, **wishes}).raise_for_status().json()["token"])


@pytest.fixture
def desk(aura: Aura, database_url: str, engine: Engine) -> Iterator[Desk]:
    """A desk of its own for each test, on both databases."""
    with running(POPULATION) as addresses, plain_client(base_url=addresses.privy) as privy:
        yield Desk(aura, engine, configuration(addresses.privy, database_url), privy, POPULATION)


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    """scanned, created, updated, unchanged, missing, failed."""
    return tuple(result[name] for name in NUMBERS[:6])


def state(engine: Engine) -> list[tuple[Any, ...]]:
    """Everything that a sync is about, without ids and times of writing."""
    columns = users.c.privy_user_id, users.c.email, users.c.name, users.c.avatar_url, users.c.created_at
    facts = privy_users.c.verified_email, privy_users.c.linked_accounts, privy_users.c.created, privy_users.c.missing_since.is_(None)
    joined = users.outerjoin(privy_users, privy_users.c.privy_user_id == users.c.privy_user_id)
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(select(*columns, *facts).select_from(joined).order_by(users.c.privy_user_id))]


def row(engine: Engine, did: str) -> Any:
    """One row of `users`."""
    with reading(engine) as connection:
        return connection.execute(select(users).where(users.c.privy_user_id == did)).one()


def facts(engine: Engine, did: str) -> Any:
    """One row of `privy_users`."""
    with reading(engine) as connection:
        return connection.execute(select(privy_users).where(privy_users.c.privy_user_id == did)).one()
