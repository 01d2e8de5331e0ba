"""Reading all of an outside list into a staging table: page by page, in parallel windows, resumable to the page.

A list that is ordered by creation, newest first, is read in `created` windows. It starts as one; whenever a thread has
nothing to do, the window with most left is cut in two in the middle of what is left, so that all threads stay busy
whatever the distribution in time. One writer commits rows and cursors together, whatever has arrived by the twentieth of a second:
a scan that is killed goes on at the page where it was, and no row can come twice.
"""

import queue
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import reading, upsert, writing
from aura_cli.db.leases import Lease
from aura_cli.db.types import moved_by, utc_now
from aura_cli.drift.tables import scan_windows, scans

OLDEST = 1_300_000_000  # March 2011: before the first object that any of the services holds
SMALLEST_SPLIT = 3_600  # seconds; a shorter window is not worth a request of its own
PAGES_IN_FLIGHT = 64
GATHERING_SECONDS = 0.05  # a commit costs as much as reading a page does
RESUMABLE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Window:
    """A part of a list: `since` ≤ created < `until` (epoch seconds), read so far down to `position`, the `cursor`."""

    number: int = 0
    since: int | None = None
    until: int | None = None
    cursor: str | None = None
    position: int | None = None
    done: bool = False


@dataclass(frozen=True)
class Page:
    """One answer: `rows` for the staging table, the creation time of each (newest first; empty where unordered), the next cursor."""

    rows: Sequence[Sequence[Any]]
    created: Sequence[int]
    cursor: str | None
    more: bool


Fetch = Callable[[Window], Page]
Store = Callable[[Connection, Sequence[Sequence[Any]]], None]
Result = tuple[list[Window], Sequence[Sequence[Any]]] | BaseException | None  # windows as they now are, rows; None: a thread ended


class _Board:
    """Which window is whose, and the order in which results reach the writer."""

    def __init__(self, windows: Sequence[Window], *, splits: bool) -> None:
        self.results: queue.Queue[Result] = queue.Queue(PAGES_IN_FLIGHT)
        self._waiting = [window for window in windows if not window.done]
        self._active: dict[int, Window] = {}
        self._next_number = max((window.number for window in windows), default=-1) + 1
        self._splits = splits
        self._changed = threading.Condition()
        self.stopped = False

    def take(self) -> Window | None:
        """The next window to read, cut from another's rest where none waits; None when all is done."""
        with self._changed:
            while not self.stopped:
                if self._waiting:
                    window = self._waiting.pop()
                    self._active[window.number] = window
                    return window
                if not self._active:
                    return None
                if (half := self._cut()) is not None:
                    return half
                self._changed.wait()
            return None

    def current(self, number: int) -> Window:
        with self._changed:
            return self._active[number]

    def arrived(self, number: int, page: Page) -> bool:
        """Hand a page to the writer, without rows that a cut has meanwhile given to another window. False: window done."""
        with self._changed:
            window = self._active[number]
            rows, more, position = page.rows, page.more, window.position
            if page.created:
                if window.since is not None and page.created[-1] < window.since:
                    rows = rows[: bisect_right(page.created, -window.since, key=lambda created: -created)]
                    more = False
                position = page.created[-1]
            window = replace(window, cursor=page.cursor, position=position, done=not more)
            self._active[number] = window
            self.put(([window], rows))
            if window.done:
                del self._active[number]
            self._changed.notify_all()
            return more

    def stop(self) -> None:
        self.stopped = True
        with self._changed:
            self._changed.notify_all()

    def _cut(self) -> Window | None:
        if not self._splits:
            return None
        candidates = [window for window in self._active.values() if window.position is not None]
        widest = max(candidates, key=_left, default=None)
        if widest is None or widest.position is None or _left(widest) < SMALLEST_SPLIT:
            return None
        middle = widest.position - _left(widest) // 2
        half = Window(self._next_number, widest.since, middle)
        self._next_number += 1
        self._active[widest.number] = shorter = replace(widest, since=middle)
        self._active[half.number] = half
        self.put(([shorter, half], ()))
        return half

    def put(self, result: Result) -> None:
        """Hand something to the writer, for as long as there is one."""
        while not self.stopped:
            try:
                self.results.put(result, timeout=0.5)
            except queue.Full:
                continue
            return


def _left(window: Window) -> int:
    return (window.position or 0) - (window.since if window.since is not None else OLDEST)


def begin(connection: Connection, source: str, scope: str, parameters: dict[str, Any], windows: Sequence[Window] = (Window(),)) -> str:
    """Start a scan: forget the earlier ones of this source and scope, and return the new scan's id."""
    connection.execute(scans.delete().where(scans.c.source == source, scans.c.scope == scope))
    scan = connection.execute(scans.insert().values(source=source, scope=scope, parameters=parameters).returning(scans.c.id)).scalar_one()
    connection.execute(scan_windows.insert(), [{"scan_id": scan, **vars(window)} for window in windows])
    return str(scan)


def unfinished(connection: Connection, source: str, scope: str, parameters: dict[str, Any]) -> str | None:
    """The id of a scan of the same source, scope and parameters that was broken off; None where there is none."""
    found = connection.execute(
        select(scans.c.id, scans.c.parameters).where(scans.c.source == source, scans.c.scope == scope, scans.c.completed_at.is_(None))
    ).one_or_none()
    return str(found.id) if found and found.parameters == parameters else None


def resumable(connection: Connection, source: str, scope: str, parameters: dict[str, Any]) -> str | None:
    """Like `unfinished`, for a chain of scans: one that completed counts too, where the chain was broken off after it."""
    found = connection.execute(
        select(scans.c.id, scans.c.parameters).where(
            scans.c.source == source, scans.c.scope == scope, scans.c.started_at > moved_by(utc_now(), -RESUMABLE_SECONDS)
        )
    ).one_or_none()
    return str(found.id) if found and found.parameters == parameters else None


def run(
    engine: Engine,
    scan_id: str,
    fetch: Fetch,
    store: Store,
    *,
    lease: Lease,
    threads: int = 1,
    tick: Callable[[int], None] = lambda count: None,
) -> int:
    """Read what is left of a scan and mark it complete. Returns the number of rows stored by this call.

    `threads` above 1 cuts windows. Raises what `fetch` raises; everything stored until then stays for a resumption.
    """
    with reading(engine) as connection:
        windows = [Window(*row) for row in connection.execute(_windows_of(scan_id))]
    board = _Board(windows, splits=threads > 1)
    workers = [threading.Thread(target=_work, args=(board, fetch), daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        count = _write(engine, scan_id, board, store, lease, threads, tick)
    finally:
        board.stop()
    with writing(engine) as connection:
        lease.assert_held(connection)
        connection.execute(scans.update().where(scans.c.id == scan_id).values(completed_at=utc_now()))
    return count


def _windows_of(scan_id: str) -> Any:
    columns = [scan_windows.c[name] for name in Window.__dataclass_fields__]
    return select(*columns).where(scan_windows.c.scan_id == scan_id).order_by(scan_windows.c.number)


def _work(board: _Board, fetch: Fetch) -> None:
    try:
        while (window := board.take()) is not None:
            while not board.stopped and board.arrived(window.number, fetch(board.current(window.number))):
                pass
        board.put(None)
    except BaseException as error:  # noqa: BLE001 (handed to the writer, which raises it)
        board.put(error)


def _write(engine: Engine, scan_id: str, board: _Board, store: Store, lease: Lease, threads: int, tick: Callable[[int], None]) -> int:
    count, working = 0, threads
    while working:
        batch = _gather(board.results, working)
        pages = [result for result in batch if isinstance(result, tuple)]
        rows = [row for _, some in pages for row in some]
        if pages:
            with writing(engine) as connection:
                lease.assert_held(connection)
                store(connection, rows)
                _save(connection, scan_id, list({window.number: window for windows, _ in pages for window in windows}.values()))
            count += len(rows)
            tick(count)
        for result in batch:  # what arrived before an error is stored by now
            if isinstance(result, BaseException):
                raise result
        working -= batch.count(None)
    return count


def _gather(results: "queue.Queue[Result]", working: int) -> list[Result]:
    """What arrives within a moment of the first; less where that is an error, or the end of the last of `working` threads."""
    batch, until = [results.get()], monotonic() + GATHERING_SECONDS
    while len(batch) < PAGES_IN_FLIGHT and batch.count(None) < working and not isinstance(batch[-1], BaseException):
        try:
            batch.append(results.get(timeout=max(0.0, until - monotonic())))
        except queue.Empty:
            break
    return batch


def _save(connection: Connection, scan_id: str, windows: Sequence[Window]) -> None:
    if not windows:
        return
    insert = upsert(connection, scan_windows)
    changed = {name: insert.excluded[name] for name in ("since", "until", "cursor", "position", "done")}
    statement = insert.on_conflict_do_update(index_elements=["scan_id", "number"], set_=changed)
    connection.execute(statement, [{"scan_id": scan_id, **vars(window)} for window in windows])
