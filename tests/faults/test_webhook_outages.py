"""Stripe, the database or the forward target are away for a while: what waited is done once they are back, and nobody has to help."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.webhooks.batch import Delivered, Handlers, Surroundings
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.listening import event
from tests.parts.migrated import engine_of
from tests.parts.postgres import stoppable_postgres


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
