"""The database fails under load: what was answered 200 is there, what was not is not promised, and the listener needs no help."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Event

import pytest
from sqlalchemy import Engine, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.webhooks.envelope import Arrival, read
from aura_cli.webhooks.intake import Bounds, Intake, NotStored
from aura_cli.webhooks.metrics import Metrics
from aura_cli.webhooks.tables import webhook_events, webhook_secrets
from tests.parts.listening import Served, answer, event, request, serving
from tests.parts.migrated import engine_of
from tests.parts.postgres import stoppable_postgres
from tests.parts.program import Aura
from tests.parts.sampling import WHOLE

DOWN = 30.0 if WHOLE else 3.0  # seconds


def ids(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(webhook_events.c.id)).scalars())


def sending(listener: Served, name: str, stop: Event) -> list[tuple[str, int, float]]:
    """One connection after the other, one event after the other; id, status and moment of each answer."""
    heard: list[tuple[str, int, float]] = []
    while not stop.is_set():
        with listener.connect(30) as connection:
            for _ in range(50):
                identifier = f"evt_{name}x{len(heard)}"
                connection.sendall(request(event(identifier)))
                status = answer(connection).status
                heard.append((identifier, status, time.monotonic()))
                if not status or stop.is_set():
                    break
    return heard


def test_postgresql_stopped_under_load(aura: Aura) -> None:
    """503 while it is down, 200 again afterwards without a restart, and every event that got a 200 is stored."""
    with stoppable_postgres() as cluster, cluster.server.database() as name, engine_of(cluster.server.url(name)) as engine:
        upgrade(engine)
        stop = Event()
        with serving(aura, cluster.server.url(name)) as listener, ThreadPoolExecutor(8) as senders:
            loads = [senders.submit(sending, listener, f"load{n}", stop) for n in range(8)]
            try:
                time.sleep(1)
                cluster.stop()
                down = time.monotonic()
                time.sleep(DOWN)
                assert "aura_webhooks_received_total" in listener.admin("/metrics")
                up = time.monotonic()
                cluster.start()
                time.sleep(2)
            finally:
                stop.set()
            heard = [one for load in loads for one in load.result()]
            assert listener.alive()
        accepted = {identifier for identifier, status, _ in heard if status == 200}
        assert {status for _, status, _ in heard} == {200, 503}
        assert {status for _, status, moment in heard if down + 0.5 < moment < up} == {503}
        last = max(moment for *_, moment in heard)
        assert {status for _, status, moment in heard if moment > last - 0.5} == {200}
        engine.dispose()
        assert accepted <= ids(engine)


@asynccontextmanager
async def taking(intake: Intake) -> AsyncIterator[Intake]:
    intake.start()
    try:
        yield intake
    finally:
        await intake.stop(asyncio.get_running_loop().time() + 10)


def with_intake(engine: Engine, bounds: Bounds, test: Callable[[Intake], Awaitable[None]]) -> Metrics:
    """Run `test` with an intake; what it counted."""

    async def run() -> Metrics:
        async with taking(Intake(engine, Metrics(), {"web": "whsec_test_one"}, bounds)) as intake:
            await test(intake)
        return intake.metrics

    return asyncio.run(run())


def arrival(identifier: str) -> Arrival:
    return read(event(identifier), "web")


def blocked(engine: Engine) -> str:
    """What a transaction says so that nobody else can store."""
    return "SELECT 1" if engine.dialect.name == "sqlite" else "LOCK TABLE aura_ops.webhook_events"


def test_a_database_that_says_nothing(engine: Engine) -> None:
    """Who waits is told 503 in time, the line stays bounded, and what comes after it answers again is stored."""

    async def test(intake: Intake) -> None:
        with writing(engine) as connection:
            connection.execute(text(blocked(engine)))
            waiting = [intake.put(arrival(f"evt_stuck{n}")) for n in range(3)]
            with pytest.raises(NotStored, match="Too much"):
                intake.put(arrival("evt_beyond"))
            begun = time.monotonic()
            assert [type(found) for found in await asyncio.gather(*waiting, return_exceptions=True)] == [NotStored] * 3
            assert 0.5 < time.monotonic() - begun < 5
        async with asyncio.timeout(10):
            while intake.queued:
                await asyncio.sleep(0.05)
        assert await intake.put(arrival("evt_after")) is True
        assert await intake.put(arrival("evt_stuck0")) is False  # it was stored after all: its sender's second try is known

    with_intake(engine, Bounds(events=3, patience=0.5), test)


def test_the_line_is_bounded_in_bytes(engine: Engine) -> None:
    """Large events fill it sooner."""

    async def test(intake: Intake) -> None:
        large = arrival("evt_large")._replace(payload=b"x" * 600)
        first = intake.put(large)
        with pytest.raises(NotStored) as raised:
            intake.put(large._replace(id="evt_larger"))
        assert raised.value.reason == "busy"
        assert await first is True
        assert await intake.put(large._replace(id="evt_larger")) is True

    with_intake(engine, Bounds(bytes=1_000), test)


def test_one_event_that_cannot_be_stored(engine: Engine) -> None:
    """It keeps nobody else out: those that arrived with it are stored, and it is not."""

    async def test(intake: Intake) -> None:
        with writing(engine) as connection:  # so that all wait together
            connection.execute(text(blocked(engine)))
            first = intake.put(arrival("evt_first"))
            many = [arrival(f"evt_many{n}") for n in range(20)]
            many[7] = many[7]._replace(created=2**80)
            waiting = [intake.put(one) for one in many]
            await asyncio.sleep(0.1)
        assert await first is True
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [n for n, found in enumerate(told) if found is not True] == [7]
        assert isinstance(told[7], NotStored)

    metrics = with_intake(engine, Bounds(), test)
    assert (metrics.stored, metrics.duplicates) == (20, 0)
    assert ids(engine) == {"evt_first", *(f"evt_many{n}" for n in range(20) if n != 7)}


def test_a_lost_connection_is_replaced(engine: Engine) -> None:
    """A connection that died in the pool costs nobody a 503."""

    async def test(intake: Intake) -> None:
        assert await intake.put(arrival("evt_before")) is True
        if engine.dialect.name == "postgresql":
            others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            with reading(engine) as connection:
                connection.execute(text(f"SELECT count(pg_terminate_backend(pid)) FROM {others}"))
        assert await intake.put(arrival("evt_after")) is True

    with_intake(engine, Bounds(), test)


def test_behind_a_pooler(pooled_database: str) -> None:
    """PgBouncer in transaction mode keeps nothing between statements, and nothing is needed."""

    async def test(intake: Intake) -> None:
        assert [await intake.put(arrival(name)) for name in ("evt_a", "evt_b", "evt_a")] == [True, True, False]

    with engine_of(pooled_database) as engine:
        upgrade(engine)
        with_intake(engine, Bounds(), test)
        assert ids(engine) == {"evt_a", "evt_b"}


def test_which_secret_matched(engine: Engine) -> None:
    """It is noted a few times a minute at most, and at the end; a label with another secret begins anew."""

    async def test(intake: Intake) -> None:
        for n in range(5):
            await intake.put(arrival(f"evt_{n}")._replace(source="web" if n else "backfill"))

    for expected in (4, 8):
        with_intake(engine, Bounds(), test)
        with reading(engine) as connection:
            row = connection.execute(select(webhook_secrets)).one()
        assert (row.label, row.matched) == ("web", expected)
        assert row.first_matched_at <= row.last_matched_at

    async def renewed() -> None:
        async with taking(Intake(engine, Metrics(), {"web": "whsec_test_two"}, Bounds(flush_seconds=0.1))) as intake:
            await intake.put(arrival("evt_0"))
            async with asyncio.timeout(10):
                while await asyncio.to_thread(matched) != 1:  # noted while it runs, too
                    await asyncio.sleep(0.05)

    def matched() -> int:
        with reading(engine) as connection:
            found: int = connection.execute(select(webhook_secrets.c.matched)).scalar_one()
            return found

    asyncio.run(renewed())
