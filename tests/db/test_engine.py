"""Work beside other work: in a thread and a transaction of its own on PostgreSQL, before it on SQLite. Signals within transactions."""

import time

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import ProgrammingError

from aura_cli.audit.log import record
from aura_cli.db.engine import beside, is_sqlite, reading, writing
from aura_cli.db.migrate import upgrade
from tests.parts.migrated import engine_of


def noted(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        log = "operator_log" if is_sqlite(connection) else "aura_ops.operator_log"
        return list(connection.execute(text(f"SELECT what FROM {log}")).scalars())


def note(connection: Connection) -> None:
    record(connection, "operator", "beside", "key")


def test_work_beside_is_committed_when_the_block_has_ended(engine: Engine) -> None:
    """Both are done at the end of the block, whoever was faster."""
    with beside(engine, note), reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert noted(engine) == ["beside"]


def test_what_the_work_raises_comes_out_of_the_block(engine: Engine) -> None:
    """And nothing of it is kept."""

    def fail(connection: Connection) -> None:
        note(connection)
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"), beside(engine, fail):
        pass
    assert noted(engine) == []


def test_an_error_in_the_block_stops_the_work(postgres_database: str) -> None:
    """A person who presses Ctrl-C does not wait for a statement that runs beside."""

    def sleep(connection: Connection) -> None:
        note(connection)
        for _ in range(100):
            connection.execute(text("SELECT pg_sleep(20)"))

    with engine_of(postgres_database) as engine:
        upgrade(engine)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), beside(engine, sleep):
            raise KeyboardInterrupt
        assert time.monotonic() - begun < 10
        assert noted(engine) == []


def test_a_signal_while_a_transaction_ends(engine: Engine) -> None:
    """Ctrl-C in the midst of COMMIT is Ctrl-C, whatever the driver says over it."""

    def interrupted(connection: Connection) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as signal:
            raise ProgrammingError("COMMIT", None, RuntimeError("another command is already in progress")) from signal

    event.listen(engine, "commit", interrupted)
    for transaction in (reading, writing):
        with pytest.raises(KeyboardInterrupt), transaction(engine):
            pass
    event.remove(engine, "commit", interrupted)
