"""Connections to PostgreSQL and SQLite that behave alike: UTC, explicit transactions, no state kept on a connection."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from aura_cli.db.shared import OPS, PUBLIC

SQLITE_OLDEST = (3, 39, 0)
BUSY_MILLISECONDS = 10_000
_WRITE = "aura_write"
BINARY = {"aura_binary": True}  # execution options of a statement that answers with many bytes: as text each of them is two


def connect(url: str, *, looks: bool = False) -> Engine:
    """An engine for `url`; nothing is connected yet. Who only `looks` leaves the file of an SQLite database as it is, its mode too.

    Raises ConfigurationError for a SQLite library before 3.39. On PostgreSQL no prepared statement and no session
    state is used, because a pooler in transaction mode (Neon's `-pooler` host) keeps neither.
    """
    if not url.startswith("sqlite"):
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=8,
            hide_parameters=True,  # people's data stays out of errors
            connect_args={
                "prepare_threshold": None,
                "connect_timeout": 15,
                "tcp_user_timeout": 30_000,  # milliseconds: a network that swallows everything is found out
                "application_name": "aura",
            },
        )
        event.listen(engine, "before_cursor_execute", _in_binary)
        return engine
    _require_recent_sqlite()
    engine = create_engine(
        url,
        execution_options={"schema_translate_map": {PUBLIC: None, OPS: None}},
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", partial(_prepare_sqlite, "query_only=ON" if looks else "journal_mode=WAL"))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _in_binary(connection: Connection, cursor: Any, statement: str, parameters: object, context: Any, many: bool) -> None:
    """Ask for an answer in PostgreSQL's binary format, where the statement wants it so."""
    if context is not None and "aura_binary" in context.execution_options:
        cursor.format = 1  # libpq's number of it


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed at the end, rolled back on any exception. On SQLite it takes the lock at once."""
    with (
        _signals_first(),
        engine.connect().execution_options(**{_WRITE: True}) as connection,
        connection.begin(),
        _interruptible(connection),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads."""
    with _signals_first(), engine.connect() as connection, connection.begin(), _interruptible(connection):
        yield connection


@contextmanager
def _signals_first() -> Iterator[None]:
    """Raise the signal itself where it came while a transaction began or ended, and the driver's error was raised over it."""
    try:
        yield
    except Exception as error:
        if (stop := _signal_behind(error)) is None:
            raise
        raise stop from None


@contextmanager
def _interruptible(connection: Connection) -> Iterator[None]:
    """Let a signal through that came in the midst of a statement.

    The driver cannot even roll back then, and raises errors of its own over the signal. The connection is thrown away, with
    which the transaction ends, and the signal is raised again.
    """
    try:
        yield
    except BaseException as error:
        if (stop := _signal_behind(error)) is None:
            raise
        connection.invalidate()
        raise stop from None


def _signal_behind(error: BaseException | None) -> BaseException | None:
    """The KeyboardInterrupt (or its like) on whose way out `error` happened, or which it is."""
    while error is not None and (isinstance(error, Exception | GeneratorExit)):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def beside(engine: Engine, work: Callable[[Connection], None]) -> Iterator[None]:
    """Do `work`, in a transaction and a thread of its own, while the block runs; the end of the block waits for it.

    Raises what `work` raises; an error in the block cancels it. On SQLite, which has one writer, it is done before the block.
    """
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            work(connection)
        yield
        return
    drivers: list[Any] = []

    def alone() -> None:
        with writing(engine) as connection:
            drivers.append(connection.connection.driver_connection)
            work(connection)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(alone)
        try:
            yield
            done.result()
        except BaseException:
            while wait([done], 0.2).not_done:  # between two statements there is nothing to cancel: once more
                for driver in drivers:
                    with suppress(Exception):
                        driver.cancel_safe(timeout=1)
            raise


def load(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert `rows` (values in the order of `columns`) by the fastest way there is: COPY, or one executemany."""
    if not rows:
        return
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({places})", [tuple(row) for row in rows])
        return
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.schema}.{table.name} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def analyze(connection: Connection, table: Table, *columns: str) -> None:
    """Tell PostgreSQL's planner what a table (or those `columns`) holds by now that was filled a moment ago.

    Autovacuum looks once a minute.
    """
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"ANALYZE {table.schema}.{table.name}" + (f" ({', '.join(columns)})" if columns else ""))


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, in the words of the connection's database."""
    if is_sqlite(connection):
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _require_recent_sqlite() -> None:
    import sqlite3

    from aura_cli.errors import ConfigurationError

    if sqlite3.sqlite_version_info < SQLITE_OLDEST:
        raise ConfigurationError(
            f"This Python's SQLite is {sqlite3.sqlite_version}; aura needs 3.39 or newer",
            "Use a newer Python, or set DATABASE_URL to PostgreSQL",
        )


def _prepare_sqlite(mode: str, connection: Any, entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (f"busy_timeout={BUSY_MILLISECONDS}", mode, "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
