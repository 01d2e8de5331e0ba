"""The worker: claims what is due, asks Stripe, does it in one transaction, and comes back to what failed.

It can be killed between any two lines: what it had claimed goes to another when the lease ends, or at once where the process is gone
from this machine, and nothing of an event is written before everything of it is.
"""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy import Connection, Engine

from aura_cli.db.engine import reading, writing
from aura_cli.db.failures import forget_details, translate
from aura_cli.db.leases import identity
from aura_cli.errors import AuraError, NotFoundError, UnreachableError
from aura_cli.reporting import SILENT, Reporter
from aura_cli.subscriptions import customers, keeping
from aura_cli.subscriptions.stripe import Customer
from aura_cli.transport import Service
from aura_cli.webhooks import inbox, persons, subjects
from aura_cli.webhooks.envelope import BadEvent
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.handling import Surroundings, handle
from aura_cli.webhooks.inbox import Event, Handled
from aura_cli.webhooks.subjects import Look, Object

LOG = logging.getLogger("aura_cli.webhooks")
BATCH, ASKING_BATCH = 500, 100  # events at a time (a lock each, in a table that a cluster shares); fewer where Stripe is asked about each
IDLE_SECONDS = 0.5
ROUNDS_SECONDS = 10.0  # how often the dead's claims and the unmatched are looked after
LONGEST_PAUSE = 10.0  # while the database is away


class LeaseLost(AuraError):
    """A lease ended while its events were handled; somebody else has them, and nothing was written."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Worker:
    """One worker. Without `stripe` events are believed, youngest first. `on_handled` is told of every batch that was committed.

    `reporter` gets a trace of each batch, what was given up, and what nobody foresaw.
    """

    engine: Engine
    stripe: Service | None
    surroundings: Surroundings = field(default_factory=Surroundings)
    clock: Callable[[], datetime] = utc_now
    on_handled: Callable[[Sequence[Handled]], None] = lambda handled: None
    reporter: Reporter = SILENT
    owner: str = field(default_factory=identity)
    hold_seconds: float = inbox.LEASE_SECONDS / 4  # how often leases begin anew while Stripe is asked
    _rounds: float = float("-inf")

    def once(self, limit: int | None = None, ids: Sequence[str] = ()) -> list[Handled]:
        """Claim and handle one batch of what is due, or of `ids`; empty when there is nothing."""
        if monotonic() - self._rounds > ROUNDS_SECONDS:
            self._rounds = monotonic()
            with writing(self.engine) as connection:
                inbox.free_the_dead(connection)
                inbox.wake_matched(connection)
        size = limit or (ASKING_BATCH if self.stripe else BATCH)
        with writing(self.engine) as connection:
            events = inbox.claim(connection, self.owner, limit=size, ids=ids)
        if not events:
            return []
        with self.reporter.trace("aura webhooks", "queue.process") as facts:
            handled = self._handle(events)
            facts |= {"events": len(events), **Counter(one.state for one in handled)}
        return handled

    def run(self, stop: threading.Event, wake: threading.Event | None = None) -> None:
        """Work until `stop` is set; idle, look again twice a second or when `wake` is set. What is claimed is finished or given back."""
        pause, owing = IDLE_SECONDS, False
        while not stop.is_set():
            try:
                if owing:  # the database was away when something was to be given back
                    owing = not self._give_back()
                if self.once():
                    pause = IDLE_SECONDS
                    continue
                pause = IDLE_SECONDS
            except Exception as error:  # noqa: BLE001 (a worker outlives whatever happens to one batch)
                LOG.warning("The webhook worker could not go on, and tries again: %s", translate(error) or error)
                self._report(error)
                pause = min(LONGEST_PAUSE, pause * 2)
                owing = not self._give_back()
            if wake is not None and pause == IDLE_SECONDS:
                wake.wait(pause)
                wake.clear()
            else:
                stop.wait(pause)
        self._give_back()

    def drain(self, tick: Callable[[int], None] = lambda count: None) -> int:
        """Handle everything that is due now; returns how many events."""
        count = 0
        while handled := self.once():
            count += len(handled)
            tick(count)
        return count

    def _handle(self, events: Sequence[Event]) -> list[Handled]:
        """Handle claimed events together, or one by one where together they fail, so that a bad one spoils no other."""
        try:
            handled, again = self._together(events)
        except Exception as error:
            reason = translate(error) if not isinstance(error, AuraError) else error
            if isinstance(reason, UnreachableError) or isinstance(error, LeaseLost):
                raise  # the database is away, or the events are somebody else's: nothing can be noted about them
            if len(events) > 1:
                return [one for event in events for one in self._handle([event])]
            handled = [inbox.failed(events[0], f"{type(error).__name__}: {reason or error}")]
            with writing(self.engine) as connection:
                inbox.settle(connection, self.owner, handled)
            again = []
        self.on_handled(handled)
        self._report_dead(handled)
        return [*handled, *(self._handle(again) if again else ())]  # somebody wrote meanwhile: what Stripe said may be older than that

    def _together(self, events: Sequence[Event]) -> tuple[list[Handled], list[Event]]:
        with self._holding(events):
            view = look(self.engine, self.stripe, events, self.clock)
        with writing(self.engine) as connection:
            handled, again = view.handle(connection, self.surroundings, self.clock())
            if not inbox.settle(connection, self.owner, handled):
                raise LeaseLost("A lease ended while its events were handled", "Nothing was written; whoever has them handles them")
        return handled, again

    @contextmanager
    def _holding(self, events: Sequence[Event]) -> Iterator[None]:
        """However long Stripe takes: no lease ends meanwhile, or idle workers would take the events from each other for ever."""
        done = threading.Event()

        def hold() -> None:
            while not done.wait(self.hold_seconds):
                with suppress(Exception), writing(self.engine) as connection:
                    inbox.hold(connection, self.owner, events)

        holding = threading.Thread(target=hold, name="webhook-leases", daemon=True)
        if self.stripe is not None:
            holding.start()
        try:
            yield
        finally:
            done.set()
            if self.stripe is not None:
                holding.join()

    def _report(self, error: Exception) -> None:
        if not isinstance(error, AuraError) and translate(error) is None:
            forget_details(error)
            self.reporter.error(error, "aura webhooks")

    def _report_dead(self, handled: Sequence[Handled]) -> None:
        dead: dict[str, dict[str, str | None]] = defaultdict(dict)
        for one in handled:
            if one.state == "dead":
                dead[one.event.type][one.event.id] = one.note
        for kind, notes in dead.items():
            self.reporter.dead_letters("aura webhooks", kind, notes)

    def _give_back(self) -> bool:
        """Let others have what is claimed and not finished; False where that failed: the leases end by themselves."""
        try:
            with writing(self.engine) as connection:
                inbox.give_back(connection, self.owner)
        except Exception as error:  # noqa: BLE001 (it may be tried again)
            LOG.debug("Claimed events could not be given back: %s", error)
            return False
        return True


@dataclass(frozen=True)
class View:
    """A batch of events as Stripe sees them; `erased` are of erased people. `versions` is None where Stripe was not asked."""

    looks: Sequence[Look]
    others: Sequence[Event]
    bad: Sequence[Handled]
    erased: Sequence[Event]
    fresh: dict[str, Customer]
    versions: dict[str, int] | None

    def handle(self, connection: Connection, surroundings: Surroundings, now: datetime) -> tuple[list[Handled], list[Event]]:
        handled, again = handle(connection, self.looks, self.others, self.fresh, self.versions, surroundings, now)
        return [*handled, *persons.ignored(connection, self.erased), *self.bad], again


def look(engine: Engine, stripe: Service | None, events: Sequence[Event], clock: Callable[[], datetime]) -> View:
    """Read the events and, with a key, ask Stripe about them; the newest states from before the asking are remembered."""
    said: dict[Event, Object] = {}
    others, bad = [], []
    with reading(engine) as connection:
        erased = persons.erased_among(connection, events)
    for event in events:
        if event in erased:
            continue
        if event.thin or event.account or event.type not in HANDLED:
            others.append(event)
            continue
        try:
            said[event] = subjects.say(event)
        except BadEvent as error:
            bad.append(inbox.failed(event, error.message, final=True))
    if stripe is None:
        return View(subjects.believe(said), others, bad, erased, {}, None)
    subscriptions = {subscription for one in said.values() if (subscription := subjects.subscription_of(one))}
    with writing(engine) as connection:
        versions = {name: state.number for name, state in keeping.states(connection, subscriptions).items()}
    looks = subjects.ask(stripe, said, lambda: int(clock().timestamp()))
    wanted = {customer for one in looks if (customer := one.customer)}
    with writing(engine) as connection:
        unknown = wanted - customers.owners(connection, wanted).keys()
    return View(looks, others, bad, erased, subjects.customers(stripe, unknown), versions)


def rehearse(
    engine: Engine, stripe: Service | None, ids: Sequence[str], surroundings: Surroundings, clock: Callable[[], datetime] = utc_now
) -> list[Handled]:
    """What handling these events now would do and change, in a transaction that is rolled back. Raises NotFoundError for unknown ids."""
    with writing(engine) as connection:
        events = inbox.read(connection, ids)
    if unknown := sorted(set(ids) - {event.id for event in events}):
        raise NotFoundError(f"No such event here: {', '.join(unknown[:5])}", "See what there is: aura webhooks list")
    view = look(engine, stripe, events, clock)
    with writing(engine) as connection:
        handled, _ = view.handle(connection, surroundings, clock())
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    return handled
