"""The jobs at their times in threads of one process, beside whatever else it does: for a single container, in which no cron runs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic

from aura_cli.cron.jobs import Job

GRACE = 10.0  # seconds in which a job comes to a safe point, once all has to end
_LOOK_SECONDS = 20.0  # a clock that is set, and a machine that slept, are noticed by then
_MINUTE = timedelta(minutes=1)

Start = Callable[[Job, threading.Event], None]


@dataclass
class Scheduler:
    """Starts each of `jobs` in its minutes: `start` does one, in a thread of its own, until what it is given stops it.

    A job that is still at work when it is due again is left to it. Nothing that was missed is made up for.
    """

    jobs: Sequence[Job]
    start: Start
    clock: Callable[[], datetime]
    stop: threading.Event = field(default_factory=threading.Event)
    _at_work: dict[str, threading.Thread] = field(default_factory=dict)

    def look(self, minute: datetime) -> None:
        """Start what is due in this minute."""
        for job in self.jobs:
            busy = self._at_work.get(job.name)
            if job.schedule.takes(minute) and not (busy and busy.is_alive()):
                thread = threading.Thread(target=self.start, args=(job, self.stop), name=f"cron {job.name}", daemon=True)
                self._at_work[job.name] = thread
                thread.start()

    def run(self) -> None:
        """Look at every minute that begins, until stopped."""
        seen = self.clock().replace(second=0, microsecond=0)
        while not self.stop.is_set():
            now = self.clock()
            minute = now.replace(second=0, microsecond=0)
            if minute > seen:
                self.look(minute)
            seen = minute  # a clock that was set back begins anew
            self.stop.wait(min(_LOOK_SECONDS, (minute + _MINUTE - now).total_seconds()))

    def end(self, grace: float = GRACE) -> None:
        """Let every job come to a safe point; what does not within `grace` seconds ends with the process, as after kill -9."""
        self.stop.set()
        until = monotonic() + grace
        for thread in self._at_work.values():
            thread.join(max(0.0, until - monotonic()))


@contextmanager
def scheduled(scheduler: Scheduler) -> Iterator[Scheduler]:
    """The scheduler at work for the length of the block."""
    thread = threading.Thread(target=scheduler.run, name="cron", daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.end()
        thread.join(1)
