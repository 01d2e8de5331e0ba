"""Refreshing 1,000 connections whose provider takes 200 ms a call, 32 at a time, against the least that can take."""

import asyncio
import secrets
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.benchmarks.figures import Figure, Ran, run, show
from tests.parts.loopback import serving
from tests.parts.migrated import engine_of
from tests.parts.postgres import Server, newest_postgres
from tests.parts.program import REPOSITORY, Aura
from tests.parts.providers import Town, town_of

CONNECTIONS, CALL, AT_ONCE, ROUNDS = 1_000, 0.2, 32, 3
IDEAL = CONNECTIONS * CALL / AT_ONCE


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A PostgreSQL that has what it confirmed on the disk."""
    with newest_postgres() as server:
        yield server


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'aura.db'}"
        return
    server = request.getfixturevalue("durable")
    with server.database() as name:
        yield server.url(name)


async def _token(request: web.Request) -> web.Response:
    """What a provider does that takes its time: nothing but an answer."""
    await request.read()
    await asyncio.sleep(CALL)
    tokens = {"access_token": f"access-{secrets.token_hex(16)}", "refresh_token": f"refresh-{secrets.token_hex(16)}"}
    return web.json_response({**tokens, "expires_in": 86_400, "scope": "read write"})


def test_refresh(aura: Aura, url: str) -> None:
    """The whole command, from its start to its end, rotated tokens spooled and stored: ≥ 0.8 of the calls alone."""
    from aura_cli.db.migrate import upgrade

    app = web.Application()
    app.router.add_post("/token", _token)
    with engine_of(url) as engine, serving(app) as base:
        upgrade(engine)
        with town_of(aura, engine, url) as town:
            town.redirect("linear", base)
            ids = town.connect("linear", town.people(CONNECTIONS))
            taken = [_refreshed(town, ids).seconds for _ in range(ROUNDS)]
        name = engine.dialect.name
    median = statistics.median(taken)
    show(
        Figure(f"refresh {CONNECTIONS:,}, {name}", f"{IDEAL:.2f} s of calls", f"{median:.2f} s", IDEAL / median, "≥0.8"),
    )
    assert IDEAL / median >= 0.8


def _refreshed(town: Town, ids: list[str]) -> Ran:
    town.lapse(*ids)
    command = (sys.executable, "-m", "aura_cli", "integrations", "refresh", "--json")
    ran = run(*command, env={**town.aura.environment, **town.env, "PYTHONPATH": str(REPOSITORY)})
    assert ran.exit == 0, ran.err
    return ran
