"""Workers as threads beside a listener: woken by what arrives, counted in its metrics, ended with it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

from sqlalchemy import Engine

from aura_cli.transport import Service
from aura_cli.webhooks.batch import Surroundings
from aura_cli.webhooks.inbox import Handled
from aura_cli.webhooks.metrics import Metrics
from aura_cli.webhooks.worker import Worker

LOG = logging.getLogger("aura_cli.webhooks")
_LOOK_SECONDS = 0.02


@dataclass
class Crew:
    """So many workers. `wake` set: something is there to do."""

    engine: Engine
    stripe: Service | None
    surroundings: Surroundings
    metrics: Metrics
    size: int
    wake: Event = field(default_factory=Event)
    _stop: Event = field(default_factory=Event)
    _threads: Sequence[Thread] = ()

    def start(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()
        workers = [Worker(self.engine, self.stripe, self.surroundings, on_handled=self._count) for _ in range(self.size)]
        self._threads = [Thread(target=one.run, args=(self._stop, self.wake), name="webhook-worker", daemon=True) for one in workers]
        for thread in self._threads:
            thread.start()

    async def stop(self, until: float) -> None:
        """Let each finish its batch, until a moment (loop time): what a worker holds after that comes back when its lease ends."""
        self._stop.set()
        while any(thread.is_alive() for thread in self._threads) and self._loop.time() < until:
            self.wake.set()
            await asyncio.sleep(_LOOK_SECONDS)
        if left := sum(thread.is_alive() for thread in self._threads):
            LOG.warning("%d workers had not finished; what they were at is done again when its lease ends", left)

    def _count(self, handled: Sequence[Handled]) -> None:
        """From a worker's thread."""
        outcomes = Counter(one.outcome if one.state == "done" else one.state for one in handled)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.metrics.handled.update, outcomes)
