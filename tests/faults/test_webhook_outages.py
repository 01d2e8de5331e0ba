"""Stripe, the database or the forward target are away for a while: what waited is done once they are back, and nobody has to help."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.webhooks.batch import Delivered, Handlers, Surroundings
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.books import opened
from tests.parts.life import live, newcomers
from tests.parts.listening import event
from tests.parts.migrated import engine_of
from tests.parts.postgres import stoppable_postgres
from tests.parts.sampling import sample
from tests.webhooks.world import World

TROUBLES: list[dict[str, Any]] = [
    {"too_many": 1.0, "retry_after": 1},
    {"server_error": 1.0},
    {"cut_before": 1.0},
    {"cut_half": 1.0},
    {"latency": 60.0},
    {"too_many": 0.2, "server_error": 0.2, "cut_before": 0.2, "cut_half": 0.2, "retry_after": 0},
]
AWAY = 3.0  # seconds


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """It runs inside the block."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def states(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(webhook_events.c.state)).scalars())


def until_done(engine: Engine, limit: float) -> None:
    """Wait until all that is stored is done."""
    deadline = time.monotonic() + limit
    while states(engine) != {"done"}:
        assert time.monotonic() < deadline, states(engine)
        time.sleep(0.1)


def test_the_database_stops_while_a_batch_is_handled() -> None:
    """A worker that could not even give back what it had claimed does so once the database is there again: no lease is waited for."""
    handlers = Handlers()
    away = threading.Event()
    with stoppable_postgres() as cluster, cluster.server.database() as name, engine_of(cluster.server.url(name)) as engine:

        @handlers.on("product.updated")
        def stop(_: Connection, delivered: Delivered) -> None:
            if not away.is_set():
                cluster.stop()
                away.set()

        upgrade(engine)
        with writing(engine) as connection:
            store(connection, [read(event(), "test") for _ in range(20)])
        with working(Worker(engine, None, Surroundings(handlers=handlers))):
            assert away.wait(30)
            time.sleep(2)
            cluster.start()
            until_done(engine, 30)


@pytest.mark.parametrize("trouble", sample(TROUBLES, 3, seed=2), ids=lambda trouble: "-".join(trouble))
def test_stripe_is_away(database_url: str, tmp_path: Path, trouble: dict[str, Any]) -> None:
    """429, 500, half an answer, none at all: whatever failed comes back by itself, and ends as if nothing had been."""
    people = newcomers(15)
    with opened(database_url, people, tmp_path) as books:
        world = World(books, live(books.stripe.state, people.people, 7))
        world.deliver(world.events)
        world.worker().drain()
        expected = world.outcome()
        world.forget()
        books.stripe.faults.change(trouble)
        with replace(books.service, timeout=1.0, _client=None) as stripe, working(replace(world.worker(), stripe=stripe)):
            world.deliver(world.events)
            time.sleep(AWAY)
            assert set(world.states()) - {"done"}
            books.stripe.faults.change(dict.fromkeys(trouble, 0))
            until_done(books.engine, 60)
        assert world.outcome() == expected
