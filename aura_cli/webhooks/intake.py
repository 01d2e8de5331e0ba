"""The intake: events that arrive together are stored by one commit, and nobody is told "stored" before it is done.

One thread writes. It takes whatever has arrived while it wrote the last batch, so there is no timer and no event waits for others;
the more arrive, the more share a commit. It keeps nothing that the inbox does not hold: what was not committed is not acknowledged.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from sqlalchemy import Connection, Engine, case
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from aura_cli.db.engine import upsert, writing
from aura_cli.db.failures import translate
from aura_cli.db.types import utc_now
from aura_cli.errors import AuraError
from aura_cli.webhooks.envelope import Arrival
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.metrics import Metrics
from aura_cli.webhooks.tables import webhook_secrets

LOG = logging.getLogger("aura_cli.webhooks")
_TICK = 1.0  # seconds
_CLOSE = None  # in the queue: write what is there, and end


class NotStored(AuraError):
    """An event is not stored, or not known to be: its sender has to come again. `reason`: busy, or not_stored."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


Told = Callable[[bool | NotStored], None]  # stored, and whether it was new; or not


@dataclass(frozen=True)
class Bounds:
    """How much may wait, in events and bytes, for how long (seconds), and how much goes into one commit."""

    events: int = 2_000
    bytes: int = 64 * 1024 * 1024
    patience: float = 10.0
    batch: int = 500
    flush_seconds: float = 5.0  # how often it is noted which secrets matched


@dataclass(eq=False, slots=True)
class _Waiting:
    """An event, who is to be told about it (None: has been), and since when it waits (loop time)."""

    arrival: Arrival
    told: Told | None
    since: float

    def tell(self, how: "bool | NotStored") -> None:
        told, self.told = self.told, None
        if told is None:  # given up
            return
        try:
            told(how)
        except Exception:
            LOG.exception("A sender could not be told about its event")  # the others of its batch are all the same


@dataclass(eq=False)
class Intake:
    """The events on their way into the inbox.

    `secrets` (label → secret) are those it keeps count of; `on_new` is called, in the writer's thread, when something new is stored.
    """

    engine: Engine
    metrics: Metrics
    secrets: Mapping[str, str] = field(repr=False)
    bounds: Bounds = field(default_factory=Bounds)
    on_new: Callable[[], None] = lambda: None
    _queue: SimpleQueue[_Waiting | None] = field(default_factory=SimpleQueue)
    _open: dict[_Waiting, None] = field(default_factory=dict)  # in the order of their arrival
    _bytes: int = 0
    _matched: dict[str, int] = field(default_factory=dict)  # since they were last noted; the writer's own
    _noted: float = 0.0
    _failing: bool = False
    _closing: bool = False

    def start(self) -> None:
        """Begin, in the running loop: that of everybody who calls `put`."""
        self._loop = asyncio.get_running_loop()
        self._storing = _Storing(self.engine)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        Thread(target=self._write_on, name="webhook-intake", daemon=True).start()  # a database that hangs must not keep the program
        self._ticking = self._loop.call_later(_TICK, self._tick)

    async def stop(self, until: float) -> None:
        """Take nothing more, and write what has arrived, as far as that is possible until a moment (loop time)."""
        self._closing = True
        self._queue.put(_CLOSE)
        await asyncio.wait([self._ended], timeout=max(0.05, until - self._loop.time()))
        self._ticking.cancel()
        self.abandon()

    def abandon(self) -> None:
        """Whoever waits still is told to come again."""
        if left := [waiting for waiting in self._open if waiting.told]:
            LOG.warning("%d events could not be stored in time; their senders will come again", len(left))
            self._fail(left, NotStored("not_stored", "The listener stops"))

    @property
    def queued(self) -> int:
        """How many events wait for their commit."""
        return len(self._open)

    def hand(self, arrival: Arrival, told: Told) -> None:
        """Hand an event over. `told` is called, in the loop, once it is durable or is known not to be.

        Raises NotStored at once where too much is waiting already.
        """
        size = len(arrival.payload)
        if self._closing or len(self._open) >= self.bounds.events or self._bytes + size > self.bounds.bytes:
            raise NotStored("busy", "Too much is waiting already")
        waiting = _Waiting(arrival, told, self._loop.time())
        self._open[waiting] = None
        self._bytes += size
        self._queue.put(waiting)

    def put(self, arrival: Arrival) -> asyncio.Future[bool]:
        """The same; the future holds whether it was new, or raises NotStored."""
        stored: asyncio.Future[bool] = self._loop.create_future()

        def told(how: bool | NotStored) -> None:
            if stored.done():  # its client has gone
                return
            if isinstance(how, NotStored):
                stored.set_exception(how)
            else:
                stored.set_result(how)

        self.hand(arrival, told)
        return stored

    def _settle(self, batch: Sequence[_Waiting], new: set[str] | None, error: NotStored | None, seconds: float) -> None:
        """In the loop: tell who waits for a batch that is written. The first of several alike was the new one."""
        if error is None:
            self.metrics.commit_seconds.observe(seconds)
            self.metrics.batch_size.observe(len(batch))
        fresh = set(new or ())
        for waiting in batch:
            del self._open[waiting]
            self._bytes -= len(waiting.arrival.payload)
            was_new = waiting.arrival.id in fresh
            fresh.discard(waiting.arrival.id)
            if was_new:
                self.metrics.stored += 1
                self.metrics.thin += waiting.arrival.thin
            elif error is None:
                self.metrics.duplicates += 1
            waiting.tell(error or was_new)

    def _fail(self, those: Sequence[_Waiting], error: NotStored) -> None:
        for waiting in those:
            waiting.tell(error)

    def _tick(self) -> None:
        """Answer those who have waited too long: a database that hangs says nothing. They stay in line, and count, until it does."""
        late = self._loop.time() - self.bounds.patience
        self._fail(
            [waiting for waiting in self._open if waiting.told and waiting.since < late], NotStored("not_stored", "The database is slow")
        )
        self._ticking = self._loop.call_later(_TICK, self._tick)

    def _write_on(self) -> None:
        """The thread: write batch after batch until told to end."""
        closing = False
        while not closing:
            batch, closing = self._take()
            if batch:
                self._write(batch)
            if self._matched and (closing or time.monotonic() - self._noted >= self.bounds.flush_seconds):
                self._flush()
        self._storing.close()
        self._tell(self._end)

    def _tell(self, what: Callable[..., None], *said: object) -> None:
        with suppress(RuntimeError):  # the loop has not waited for a database that hung
            self._loop.call_soon_threadsafe(what, *said)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Whatever has arrived, or nothing where it is time to note which secrets matched; and whether that was the last."""
        batch: list[_Waiting] = []
        try:
            one = self._queue.get(timeout=self.bounds.flush_seconds if self._matched else None)
            while one is not _CLOSE:
                batch.append(one)
                if len(batch) == self.bounds.batch:
                    return batch, False
                one = self._queue.get_nowait()
        except Empty:
            return batch, False
        return batch, True

    def _write(self, batch: list[_Waiting]) -> None:
        """Store a batch, or what can be stored of it: one event that the database cannot take does not keep the others out."""
        begun, error, new = time.monotonic(), None, set[str]()
        arrivals = [waiting.arrival for waiting in batch]
        try:
            new = self._store(arrivals)
        except Exception as problem:  # noqa: BLE001 (whatever it was: it is not stored, and who waits for it is told so)
            if len(batch) > 1 and not _is_outage(problem):
                self._write(batch[: len(batch) // 2])
                self._write(batch[len(batch) // 2 :])
                return
            error = NotStored("not_stored", "The event could not be stored")
            if not self._failing:
                LOG.warning("Events are not stored, and answered 503 until they can be: %s", translate(problem) or repr(problem))
        else:
            for arrival in arrivals:
                if arrival.source in self.secrets:
                    self._matched[arrival.source] = self._matched.get(arrival.source, 0) + 1
            if self._failing:
                LOG.warning("Events are stored again")
            if new:
                self.on_new()
        self._failing = error is not None
        self._tell(self._settle, batch, new, error, time.monotonic() - begun)

    def _store(self, arrivals: Sequence[Arrival]) -> set[str]:
        """The ids that are new, committed. A connection that had died, or another transaction in the way, is worth a second try."""
        try:
            return self._storing(arrivals)
        except Exception as problem:
            if translate(problem) is None:
                raise
        return self._storing(arrivals)

    def _flush(self) -> None:
        """Note which secrets matched since the last time."""
        self._noted = time.monotonic()
        try:
            with writing(self.engine) as connection:
                note_matches(connection, {label: (self.secrets[label], number) for label, number in self._matched.items()})
        except Exception as problem:  # noqa: BLE001 (it is tried again in a while)
            LOG.debug("Which secrets matched could not be noted: %s", problem)
        else:
            self._matched.clear()


class _Storing:
    """Stores and commits. On PostgreSQL it keeps a connection on which each statement is a transaction: one round trip, not four."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: Connection | None = None

    def __call__(self, arrivals: Sequence[Arrival]) -> set[str]:
        if self._engine.dialect.name == "sqlite":
            with writing(self._engine) as connection:
                return store(connection, arrivals)
        if self._kept is None:
            self._kept = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            return store(self._kept, arrivals)
        except BaseException:
            self._kept.invalidate()
            self.close()
            raise

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None


def note_matches(connection: Connection, matches: Mapping[str, tuple[str, int]]) -> None:
    """Note that secrets, label → (secret, how often), matched until now. A label that got another secret begins anew."""
    t = webhook_secrets
    for label, (secret, number) in sorted(matches.items()):  # in one order, so that two listeners do not wait for each other
        fingerprint = hashlib.sha256(secret.encode()).hexdigest()[:16]
        statement = upsert(connection, t).values(label=label, fingerprint=fingerprint, matched=number)
        same = t.c.fingerprint == statement.excluded.fingerprint
        values = {
            "fingerprint": statement.excluded.fingerprint,
            "first_matched_at": case((same, t.c.first_matched_at), else_=utc_now()),
            "last_matched_at": utc_now(),
            "matched": case((same, t.c.matched), else_=0) + number,
        }
        connection.execute(statement.on_conflict_do_update(index_elements=[t.c.label], set_=values))


def _is_outage(problem: Exception) -> bool:
    """Whether it is the database's fault, and not of one of the events."""
    return translate(problem) is not None or isinstance(problem, NoConnectionFree)
