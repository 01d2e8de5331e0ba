"""Keeping connections alive: what is due, many at once, stopped at a safe point, nothing that reached us lost.

A turn: lease and intent on record → row read anew → request → answer on the disk → row written where it still holds what was
sent → the answer's file deleted. Turns are taken, and outcomes put down, many in a transaction; the requests go out one a thread.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from time import sleep

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from aura_cli.db.leases import identity
from aura_cli.errors import UnreachableError
from aura_cli.integrations.asking import Asker
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.claims import LEASE_SECONDS, Claim, Wanted, claim, prolong, release
from aura_cli.integrations.settling import Book, Settled
from aura_cli.integrations.strikes import ALIKE
from aura_cli.integrations.verdicts import Outcome, Result

AT_ONCE = 32
TURNS = 16  # are taken in one transaction
SETTLED_AT_ONCE = 100
_GATHERING = 0.05  # seconds in which outcomes come together for one transaction: the answers are on the disk
_PATIENCE = 0.2  # seconds between two looks whether to stop


class AnswersWait(UnreachableError):
    """The database went away after providers had answered. The answers are kept, and stored by the next run."""


@dataclass
class Refresher:
    """Refreshes the connections that it is given; made for one run. `told` hears of every outcome as it is put down."""

    engine: Engine
    catalogue: Catalogue
    asker: Asker
    book: Book
    wanted: Wanted
    clock: Callable[[], datetime]
    told: Callable[[Settled], None]
    at_once: int = AT_ONCE
    beat: float = LEASE_SECONDS / 3  # seconds after which turns that are under way are prolonged
    owner: str = field(default_factory=identity)
    busy: int = 0  # turns that were somebody else's, or not needed any more
    spared: int = 0  # turns not used, their provider having been stopped
    changed: dict[str, bool] = field(default_factory=dict)  # provider → stopped (True), or well again
    _strikes: Counter[str] = field(default_factory=Counter)
    _pending: set[str] = field(default_factory=set)
    _outcomes: "SimpleQueue[Outcome | None]" = field(default_factory=SimpleQueue)
    _places: threading.Semaphore = field(init=False)
    _over: threading.Event = field(default_factory=threading.Event)
    _broken: Exception | None = None  # why nothing can be put down any more: the database, or a bug
    _unstored: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = threading.Semaphore(2 * self.at_once)

    def run(self, ids: Sequence[str]) -> None:
        """Refresh these connections. On Ctrl-C and SIGTERM what is on its way is waited for and stored; a second one does not wait.

        Raises AnswersWait where the database goes away meanwhile.
        """
        settler = threading.Thread(target=self._settle_all, daemon=True)
        settler.start()
        threading.Thread(target=self._hold, daemon=True).start()
        pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="refresh")  # no more: what is lost by a power cut is in their hands
        try:
            for some in _batched(ids, min(TURNS, self.at_once)):
                if not self._take_places(len(some)):
                    break
                for turn in self._claimed(some):
                    pool.submit(self._work, turn)
        except BaseException:
            self.asker.wire.stop.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=self.asker.wire.stop.is_set())
            self._outcomes.put(None)
            settler.join()
            self._over.set()
            self._give_back()
        if isinstance(self._broken, DBAPIError):
            raise self._answers_wait() from self._broken
        if self._broken:
            raise self._broken

    def _take_places(self, count: int) -> bool:
        """Wait until so many more may be on their way. False where none are to be, or the database is gone."""
        for _ in range(count):
            while not self._places.acquire(timeout=_PATIENCE):
                if self._ends:
                    return False
        return not self._ends

    @property
    def _ends(self) -> bool:
        return self._broken is not None or self.asker.wire.stop.is_set()

    def _claimed(self, ids: Sequence[str]) -> list[Claim]:
        self._pending.update(ids)  # before it is so: a signal may fall between a turn that was taken and the word of it
        turns = claim(self.engine, self.book.vault, self.catalogue, ids, self.owner, self.wanted, self.clock())
        self._pending.difference_update({*ids} - {turn.id for turn in turns})
        self.busy += len(ids) - len(turns)
        self._places.release(len(ids) - len(turns)) if len(turns) < len(ids) else None
        return turns

    def _work(self, turn: Claim) -> None:
        """One turn, in a thread of its own."""
        if self._ends or self._strikes[turn.provider.id] >= ALIKE:
            self.spared += 1
            self._places.release()
            return
        if turn.is_taken_over and self.asker.spool.holds(turn.id):  # the provider may have rotated: the next run stores the answer
            self.busy += 1
            self._places.release()
            return
        try:
            outcome = self.asker.ask(turn)
        except UnreachableError:  # stopped before it was sent
            self._places.release()
            return
        except Exception as error:  # noqa: BLE001 (raised again by `run`, once what is on its way has come)
            self._broken = self._broken or error
            self._places.release()
            return
        self._strikes[turn.provider.id] = self._strikes[turn.provider.id] + 1 if outcome.is_at_fault else 0
        self._outcomes.put(outcome)

    def _settle_all(self) -> None:
        while (first := self._outcomes.get()) is not None:
            if len(self._pending) > 1:
                sleep(_GATHERING)
            outcomes, ended = self._drained(first)
            self._settle(outcomes)
            if ended:
                return

    def _drained(self, first: Outcome) -> tuple[list[Outcome], bool]:
        """What has come in meanwhile; True: nothing more will."""
        outcomes = [first]
        with suppress(Empty):
            while len(outcomes) < SETTLED_AT_ONCE:
                if (outcome := self._outcomes.get_nowait()) is None:
                    return outcomes, True
                outcomes.append(outcome)
        return outcomes, False

    def _settle(self, outcomes: list[Outcome]) -> None:
        try:
            if self._broken:
                raise self._broken
            settled, changed = self.book.settle(outcomes, self.clock())
        except Exception as error:  # noqa: BLE001 (raised again by `run`; the answers stay in the spool)
            self._broken = error
            self._unstored += [outcome for outcome in outcomes if outcome.grant]
        else:
            self.changed |= changed
            for one in settled:
                if one.outcome.spooled and one.result is not Result.SHUT:
                    self.asker.spool.forget(one.outcome.spooled)
                self._pending.discard(one.outcome.integration_id)
                self.told(one)
        self._places.release(len(outcomes))

    def _hold(self) -> None:
        while not self._over.wait(self.beat):
            with suppress(DBAPIError):  # they are a courtesy: what is stored is compared
                prolong(self.engine, self.owner, list(self._pending))

    def _give_back(self) -> None:
        with suppress(DBAPIError):  # they end by themselves
            if self._pending:
                release(self.engine, self.owner, list(self._pending))

    def _answers_wait(self) -> AnswersWait:
        kept, lost = sum(one.spooled is not None for one in self._unstored), sum(one.spooled is None for one in self._unstored)
        said = (
            f"The database went away; {kept:,} answers of providers are kept in {self.asker.spool.folder}, and the next refresh stores them"
        )
        if lost:
            said += f"; {lost:,} could be kept nowhere: those have to be connected again"
        return AnswersWait(said, "Run it again once the database is back")


def _batched(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
