"""Who works on what arrived: workers, and carriers of what that sets off, in threads beside a listener or alone."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic

from sqlalchemy import Engine

from aura_cli.outbox.carrying import Carried, Carrier, Deliverer
from aura_cli.reporting import SILENT, Reporter
from aura_cli.transport import Service
from aura_cli.webhooks.batch import Surroundings
from aura_cli.webhooks.inbox import Handled
from aura_cli.webhooks.worker import Worker

LOG = logging.getLogger("aura_cli.webhooks")
_LOOK_SECONDS = 0.02


@dataclass(eq=False)
class Crew:
    """So many workers, and one carrier for each of `deliverers` if there are any. `wake` set: something is there to do.

    `on_handled` is called in the workers' threads.
    """

    engine: Engine
    stripe: Service | None
    surroundings: Surroundings
    size: int
    deliverers: Sequence[Deliverer] = ()
    on_handled: Callable[[Sequence[Handled]], None] = lambda handled: None
    reporter: Reporter = SILENT
    wake: Event = field(default_factory=Event)
    _stop: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to work on whatever comes."""
        self._threads = [
            Thread(target=one.run, args=(self._stop, self.wake), name="webhook-worker", daemon=True) for one in self._workers()
        ]
        for carrier in self._carriers() if self.size else ():
            self._threads.append(Thread(target=carrier.run, args=(self._stop,), name=f"outbox-{carrier.deliverer.kind}", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Let each finish what it has in hand, so many seconds at most: what one holds after that is free when its lease ends."""
        self._stop.set()
        until = monotonic() + seconds
        while (left := [thread for thread in self._threads if thread.is_alive()]) and monotonic() < until:
            self.wake.set()
            left[0].join(_LOOK_SECONDS)
        if left:
            LOG.warning("%d workers had not finished; what they were at is done again when its lease ends", len(left))

    def drain(self) -> dict[str, list[Carried]]:
        """Do all that is due now, then return; by kind, what was carried out. Raises what a worker could not go on for."""
        with ThreadPoolExecutor(self.size) as pool:
            try:
                for done in [pool.submit(self._drain, worker) for worker in self._workers()]:
                    done.result()
            except BaseException:
                self._stop.set()
                raise
        return {carrier.deliverer.kind: carrier.once(self._stop) for carrier in self._carriers()}

    def _drain(self, worker: Worker) -> None:
        while not self._stop.is_set() and worker.once():
            pass

    def _carriers(self) -> list[Carrier]:
        return [Carrier(self.engine, one, reporter=self.reporter) for one in self.deliverers]

    def _workers(self) -> list[Worker]:
        return [
            Worker(self.engine, self.stripe, self.surroundings, on_handled=self.on_handled, reporter=self.reporter)
            for _ in range(self.size)
        ]
