"""Effects carried out of the outbox: claimed, delivered, settled, by a thread beside a listener or by a command.

At least once: one that dies between the receiver's answer and the note of it leaves a claim that ends, at once where its process is
gone from this machine, and the effect is delivered again. A deliverer gives the receiver what tells a repetition from a second effect.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from sqlalchemy import Connection, Engine

from aura_cli.db.engine import writing
from aura_cli.db.failures import translate
from aura_cli.db.leases import identity
from aura_cli.errors import AuraError
from aura_cli.outbox import queue
from aura_cli.outbox.queue import Effect
from aura_cli.reporting import SILENT, Reporter

LOG = logging.getLogger("aura_cli.outbox")
IDLE_SECONDS = 1.0
LONGEST_PAUSE = 10.0  # while the database is away
_ROUNDS_SECONDS = 10.0  # how often the dead's claims are looked for
_TOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """How the delivery of one effect went: done, or `error`.

    What failed is tried again after `wait` seconds (None: as long as the outbox waits), unless it is `final`. `halts` says why nothing
    more of its kind is to be tried before that; such a try is not counted. `note` is written in the transaction that settles it.
    """

    effect: Effect
    error: str | None = None
    final: bool = False
    wait: float | None = None
    halts: AuraError | None = None
    note: Callable[[Connection], None] | None = None


class Deliverer(Protocol):
    """Who delivers effects of one kind, at most `most` at a time; entered before the first and left after the last."""

    @property
    def kind(self) -> str: ...

    @property
    def most(self) -> int: ...

    @property
    def to(self) -> str:
        """Who gets them, as the log says it."""

    def opened(self) -> AbstractContextManager[object]:
        """What is open while there may be something to deliver."""

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterable[Outcome]:
        """Deliver what was claimed; an outcome for each, as it comes. One that has none is delivered when its claim ends.

        What it raises says nothing about the effects: they are tried again; where nobody foresaw it, the try counts.
        """


@dataclass(frozen=True)
class Carried:
    """What became of one effect: `state` is done, pending (tried again later) or dead. `halts` and `wait` as in `Outcome`."""

    key: str
    state: str
    error: str | None
    halts: AuraError | None = None
    wait: float | None = None


@dataclass(eq=False)
class Carrier:
    """Takes what is due out of the outbox to one deliverer. Several may run at once, in threads and on machines.

    `keys` are the only ones to take, where they are given. `reporter` is told of what is given up.
    """

    engine: Engine
    deliverer: Deliverer
    keys: Sequence[str] = ()
    reporter: Reporter = SILENT
    owner: str = field(default_factory=identity)
    _told: float = float("-inf")
    _rounds: float = float("-inf")

    def once(self, stop: threading.Event | None = None, on_carried: Callable[[Carried], None] = lambda one: None) -> list[Carried]:
        """Carry out what is due now, until there is nothing, the deliverer halts, or `stop` is set."""
        self._rounds = float("-inf")
        with self.deliverer.opened():
            return self._all_due(stop or threading.Event(), on_carried)

    def run(self, stop: threading.Event) -> None:
        """Carry out what becomes due, until `stop` is set."""
        pause = IDLE_SECONDS
        while not stop.is_set():
            try:
                with self.deliverer.opened():
                    self._keep_at_it(stop)
            except Exception as error:  # noqa: BLE001 (whatever happened: it is due again)
                LOG.warning(
                    "What is for %s could not be carried there, which is tried again: %s", self.deliverer.to, translate(error) or error
                )
                pause = min(LONGEST_PAUSE, pause * 2)
                stop.wait(pause)

    def _keep_at_it(self, stop: threading.Event) -> None:
        while not stop.is_set():
            halted = next((one for one in self._all_due(stop, self._tell) if one.halts), None)
            stop.wait(halted.wait or LONGEST_PAUSE if halted else IDLE_SECONDS)

    def _all_due(self, stop: threading.Event, on_carried: Callable[[Carried], None]) -> list[Carried]:
        done: list[Carried] = []
        while not stop.is_set() and (effects := self._claim()):
            for outcome in self._delivered(effects, stop):
                done.append(self._settle(outcome))
                on_carried(done[-1])
                if done[-1].state == "dead":
                    self.reporter.dead_letters("aura outbox", self.deliverer.kind, {done[-1].key: done[-1].error})
            if done and done[-1].halts:
                break
        return done

    def _delivered(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        """The outcomes; where nobody foresaw what the deliverer raises, tries that count: what always breaks it would be first for ever."""
        left = {effect.id: effect for effect in effects}
        try:
            for outcome in self.deliverer.deliver(effects, stop):
                left.pop(outcome.effect.id, None)
                yield outcome
        except Exception as error:
            if translate(error) is None and not isinstance(error, AuraError):
                yield from (Outcome(effect, f"It broke off ({type(error).__name__})") for effect in left.values())
            raise

    def _claim(self) -> list[Effect]:
        kinds = (self.deliverer.kind,)
        with writing(self.engine) as connection:
            if monotonic() - self._rounds > _ROUNDS_SECONDS:
                self._rounds = monotonic()
                queue.free_the_dead(connection, kinds)
            return queue.claim(connection, self.owner, limit=self.deliverer.most, kinds=kinds, keys=self.keys)

    def _settle(self, outcome: Outcome) -> Carried:
        effect, error, final = outcome.effect, outcome.error, outcome.final
        counts = outcome.halts is None
        with writing(self.engine) as connection:
            mine = queue.settle(connection, self.owner, effect, error, final=final, wait=outcome.wait, counts=counts)
            if mine and outcome.note:
                outcome.note(connection)
        dead = final or (counts and effect.attempt >= queue.ATTEMPTS)
        return Carried(effect.key, "dead" if error and dead else "pending" if error else "done", error, outcome.halts, outcome.wait)

    def _tell(self, one: Carried) -> None:
        """Log what failed: what is given up, and of the rest one a minute."""
        dead = one.state == "dead"
        if one.error and (dead or monotonic() - self._told > _TOLD_SECONDS):
            self._told = monotonic()
            LOG.warning("%s did not get %s (%s)%s", self.deliverer.to, one.key, one.error, "; given up" if dead else "; tried again later")
