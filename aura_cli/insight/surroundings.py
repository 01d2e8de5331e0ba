"""What checks look at: the settings, the one database, and services that are asked as somebody in a hurry asks."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import TypeVar

import httpx
from sqlalchemy import Column, Engine, make_url, select

from aura_cli.db.engine import connect, reading
from aura_cli.db.failures import translate
from aura_cli.db.location import is_here
from aura_cli.db.migrate import require_current
from aura_cli.db.types import utc_now
from aura_cli.errors import AuraError, ConfigurationError, UnreachableError
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.settings import Settings
from aura_cli.transport import Service

T = TypeVar("T")
DEADLINE = 9.0  # seconds for everything: with the start of the program and its end, 15
_REQUEST, _DATABASE = 6.0, 7.0  # seconds: without a byte of a service; until a check no longer waits for the database
OFFLINE = "--offline asks nobody outside this machine"
ATTEMPTS = 2  # a hiccup is no finding


class Unseen(Exception):
    """Something cannot be looked at, for this reason, which is no fault of its own."""


class NoDatabase(Unseen):
    """There is none yet: its file is not there."""


class DatabaseAway(Unseen):
    """The database could not be opened; `error` says why."""

    def __init__(self, error: AuraError) -> None:
        super().__init__("the database could not be looked into")
        self.error = error


class Database:
    """The database of all checks: the first that needs it connects, the others wait for that."""

    def __init__(self, url: Callable[[], str], until: float, *, offline: bool, libpq: Mapping[str, str] = MappingProxyType({})) -> None:
        """`until` (monotonic seconds): nobody waits longer for a connection. With `offline` only one on this machine is opened."""
        self._url, self._until, self._offline, self._libpq = url, until, offline, libpq
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._error: Exception | None = None
        self.latency_ms = 0

    def opened(self) -> Engine:
        """The engine, once somebody has been connected with it. Raises DatabaseAway, also while another still waits for a connection.

        Raises Unseen where it is not to be asked, NoDatabase where to open it would be to make it.
        """
        if not self._lock.acquire(timeout=max(0.0, self._until - monotonic())):
            raise DatabaseAway(UnreachableError("The database has not answered", "Trying again is safe"))
        try:
            if self._engine is None and self._error is None:
                self._connect()
        finally:
            self._lock.release()
        if self._error:
            raise self._error
        assert self._engine is not None
        return self._engine

    def ready(self) -> Engine:
        """The same, of a database that has this program's schema. Raises Unseen, too, where it has another."""
        engine = self.opened()
        try:
            require_current(engine)
        except ConfigurationError:
            raise Unseen("the database has not this program's schema") from None
        return engine

    def close(self) -> None:
        """Close what is not in use; a connection that hangs is closed when it comes back."""
        if self._engine:
            self._engine.dispose()

    def _connect(self) -> None:
        try:
            url = self._url()
            if self._offline and not is_here(url, self._libpq):
                raise Unseen(OFFLINE)
            if file := _lacking(url):
                raise NoDatabase(f"the database is not there: {file}")
            engine, begun = connect(url, looks=True), monotonic()
            with reading(engine) as connection:
                connection.execute(select(utc_now())).scalar_one()
            self.latency_ms, self._engine = milliseconds(begun), engine
        except Unseen as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 (whoever asks next is told the same)
            self._error = DatabaseAway(told(error))


@dataclass
class Surroundings:
    """What checks are handed. `clocks` collects who says by how many seconds another time than this machine."""

    settings: Settings
    database: Database
    catalogue: Callable[[], Catalogue]
    sealed_columns: Callable[[], Sequence[Column[str]]]
    now: Callable[[], datetime]
    offline: bool
    until: float  # monotonic seconds
    clocks: list[tuple[str, float]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        settings: Settings,
        database_url: Callable[[], str],
        catalogue: Callable[[], Catalogue],
        sealed_columns: Callable[[], Sequence[Column[str]]],
        now: Callable[[], datetime],
        *,
        offline: bool = False,
    ) -> "Surroundings":
        """As they are from now on; what is given as a function is called when a check needs it, and may raise AuraError."""
        begun = monotonic()
        database = Database(database_url, begun + _DATABASE, offline=offline, libpq=settings.libpq)
        return cls(settings, database, catalogue, sealed_columns, now, offline, begun + DEADLINE)

    @property
    def left(self) -> float:
        """Seconds until nobody waits for an answer any more."""
        return max(0.0, self.until - monotonic())

    def patience(self) -> float:
        """Seconds without a byte after which a service is given up. Raises Unseen where nothing outside this machine is to be asked."""
        if self.offline:
            raise Unseen(OFFLINE)
        return max(0.5, min(_REQUEST, self.left - 1))

    def asked(self, service: Service) -> Service:
        """`service`, to be asked within the time that is left, its clock noted. Raises Unseen as `patience` does."""
        timeout = min(self.patience(), service.timeout)

        def observe(answer: httpx.Response) -> None:
            if seconds := self._ahead(answer.headers.get("date", "")):
                self.clocks.append((service.name, seconds))

        return replace(service, timeout=timeout, attempts=ATTEMPTS, observe=observe, stop=threading.Event())

    def _ahead(self, date: str) -> float | None:
        """How far the clock behind a Date header (RFC 9110, section 6.6.1; whole seconds) is ahead of ours."""
        try:
            return (parsedate_to_datetime(date).astimezone(UTC) - self.now()).total_seconds() + 0.5
        except (ValueError, TypeError):
            return None


def _lacking(url: str) -> str | None:
    """The file of an SQLite database that does not exist."""
    file = make_url(url).database if url.startswith("sqlite") else None
    return file if file and not Path(file).exists() else None


def timed(work: Callable[[], T]) -> tuple[T, int]:
    """What `work` returns, and how many milliseconds it took."""
    begun = monotonic()
    return work(), milliseconds(begun)


def milliseconds(begun: float) -> int:
    """Since `begun` (monotonic seconds)."""
    return round((monotonic() - begun) * 1000)


def told(error: Exception) -> AuraError:
    """Any error as one for a person, without what a database says of people's rows."""
    if isinstance(error, AuraError):
        return error
    return translate(error) or ConfigurationError(f"{type(error).__name__}: {error}".partition("\n")[0])
