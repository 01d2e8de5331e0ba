"""A scan stores every row of a list exactly once, whatever its distribution in time, the threads, and where it is broken off."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sqlalchemy import Connection, Engine, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.db.migrate import upgrade
from aura_cli.db.tables import leases
from aura_cli.drift import scan
from aura_cli.drift.scan import SMALLEST_SPLIT, Page, Window
from aura_cli.drift.tables import scan_windows, scans
from aura_cli.errors import ConflictError
from tests.parts.migrated import engine_of

NOW = 1_790_000_000
STORED = "CREATE TABLE IF NOT EXISTS stored (id INTEGER PRIMARY KEY, created BIGINT)"


class BrokenOff(Exception):
    """The source gives up."""


@dataclass
class Source:
    """A list of rows with these creation times, newest first, as an outside service pages it."""

    times: list[int]
    page: int
    breaks: set[int] = field(default_factory=set)  # numbers of the calls that fail
    calls: int = 0
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.rows = [(number, created) for number, created in enumerate(sorted(self.times, reverse=True))]

    def fetch(self, window: Window) -> Page:
        with self.lock:
            self.calls += 1
            if self.calls in self.breaks:
                raise BrokenOff
        after = -1 if window.cursor is None else int(window.cursor)
        inside = [
            (number, created)
            for number, created in self.rows[after + 1 :]
            if (window.since is None or created >= window.since) and (window.until is None or created < window.until)
        ]
        page = inside[: self.page]
        return Page(page, [created for _, created in page], str(page[-1][0]) if page else None, len(inside) > len(page))


def store(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        values = [{"id": number, "created": created} for number, created in rows]
        connection.execute(text("INSERT INTO stored VALUES (:id, :created)"), values)


def begin(engine: Engine, windows: tuple[Window, ...] = (Window(),)) -> str:
    with writing(engine) as connection:
        connection.execute(text(STORED))
        connection.execute(text("DELETE FROM stored"))
        return scan.begin(connection, "source", "", {"page": 1}, windows)


def read_all(engine: Engine, scan_id: str, source: Source, threads: int) -> int:
    """Run and resume until the source no longer gives up; returns how many rows the calls say they stored."""
    with lease(engine, "scan") as held:
        while True:
            try:
                return scan.run(engine, scan_id, source.fetch, store, lease=held, threads=threads)
            except BrokenOff:
                with reading(engine) as connection:
                    assert scan.unfinished(connection, "source", "", {"page": 1}) == scan_id


def stored(engine: Engine) -> list[tuple[int, int]]:
    with reading(engine) as connection:
        return [(row.id, row.created) for row in connection.execute(text("SELECT id, created FROM stored ORDER BY id"))]


times = some.lists(
    some.one_of(
        some.integers(NOW - 40 * 365 * 86_400 // 4, NOW),
        some.sampled_from([NOW, NOW - 1, NOW - SMALLEST_SPLIT, NOW - 10 * SMALLEST_SPLIT, scan.OLDEST]),
    ),
    max_size=120,
)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One migrated file for all examples."""
    with engine_of(f"sqlite:///{tmp_path_factory.mktemp('scan') / 'aura.db'}") as engine:
        upgrade(engine)
        yield engine


@given(times, some.integers(1, 9), some.integers(1, 12), some.sets(some.integers(1, 40), max_size=4))
def test_each_row_once(sqlite: Engine, times: list[int], page: int, threads: int, breaks: set[int]) -> None:
    """Any creation times, many alike; 1 to 12 threads; pages of any size; broken off anywhere and resumed."""
    source = Source(times, page, breaks)
    read_all(sqlite, begin(sqlite), source, threads)
    assert stored(sqlite) == source.rows


@settings(max_examples=15)
@given(times, some.integers(1, 9), some.integers(NOW - 86_400 * 900, NOW), some.integers(2, 8))
def test_given_windows(sqlite: Engine, times: list[int], page: int, border: int, threads: int) -> None:
    """Windows that the caller made are read as exactly."""
    source = Source(times, page)
    read_all(sqlite, begin(sqlite, (Window(0, border, None), Window(1, None, border))), source, threads)
    assert stored(sqlite) == source.rows


def test_windows_are_cut(engine: Engine) -> None:
    """On both databases threads share the work of one window, and the saved windows cover it without a gap."""
    source = Source([NOW - n * 4_000 for n in range(600)], 5, {30, 70})
    slow: Callable[[Window], Page] = source.fetch

    def fetch(window: Window) -> Page:
        time.sleep(0.002)
        return slow(window)

    scan_id = begin(engine)
    with lease(engine, "scan") as held:
        for last in (False, False, True):
            try:
                scan.run(engine, scan_id, fetch, store, lease=held, threads=4)
            except BrokenOff:
                assert not last
    assert stored(engine) == source.rows
    with reading(engine) as connection:
        windows = connection.execute(select(scan_windows).order_by(scan_windows.c.until.desc().nullsfirst())).all()
        assert connection.execute(select(scans.c.completed_at)).scalar_one() is not None
        assert scan.unfinished(connection, "source", "", {"page": 1}) is None
        assert scan.resumable(connection, "source", "", {"page": 1}) == scan_id
        assert scan.resumable(connection, "source", "", {"page": 2}) is None
    assert len(windows) > 4
    assert all(window.done for window in windows)
    assert [window.since for window in windows[:-1]] == [window.until for window in windows[1:]]
    assert windows[-1].since is None


def test_an_unordered_list(engine: Engine) -> None:
    """A list without creation times is read by one thread after the other, by its cursor alone."""
    source = Source([NOW] * 23, 4)

    def fetch(window: Window) -> Page:
        page = source.fetch(window)
        return Page(page.rows, (), page.cursor, page.more)

    scan_id = begin(engine)
    with lease(engine, "scan") as held:
        assert scan.run(engine, scan_id, fetch, store, lease=held, threads=3) == 23
    assert stored(engine) == source.rows


def test_what_arrived_before_an_error_is_kept(engine: Engine) -> None:
    """An error comes out as it is; the pages before it are stored and not asked for again."""
    source = Source([NOW - n for n in range(50)], 5, {6})
    scan_id = begin(engine)
    with lease(engine, "scan") as held, pytest.raises(BrokenOff):
        scan.run(engine, scan_id, source.fetch, store, lease=held)
    assert len(stored(engine)) == 25
    assert read_all(engine, scan_id, source, 1) == 25
    assert source.calls == 11


def test_nothing_is_written_after_a_stop(engine: Engine) -> None:
    """Ctrl-C (or SIGTERM) while threads read: nothing is stored after it, no thread stays, and the scan can be resumed."""
    source = Source([NOW - n * 4_000 for n in range(2_000)], 5)

    def slowly(window: Window) -> Page:
        time.sleep(0.005)
        return source.fetch(window)

    def interrupt(count: int) -> None:
        if count > 100:
            raise KeyboardInterrupt

    scan_id = begin(engine)
    with lease(engine, "scan") as held, pytest.raises(KeyboardInterrupt):
        scan.run(engine, scan_id, slowly, store, lease=held, threads=6, tick=interrupt)
    kept = stored(engine)
    deadline = time.monotonic() + 10
    while any("_work" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stored(engine) == kept
    assert not [thread for thread in threading.enumerate() if "_work" in thread.name]
    read_all(engine, scan_id, source, 6)
    assert stored(engine) == source.rows


def test_a_lost_lease_stops_the_scan(engine: Engine) -> None:
    """Whoever lost the lease stores nothing more, and the scan is not complete."""
    source = Source([NOW - n for n in range(50)], 5)
    scan_id = begin(engine)
    with lease(engine, "scan") as held:
        with writing(engine) as connection:
            connection.execute(leases.update().values(owner="elsewhere:1:2:3:4"))
        with pytest.raises(ConflictError):
            scan.run(engine, scan_id, source.fetch, store, lease=held, threads=2)
    assert not stored(engine)
    with reading(engine) as connection:
        assert scan.unfinished(connection, "source", "", {"page": 1}) == scan_id
