"""How long a job may take: it is asked at every safe point, and in a process of its own an alarm interrupts whatever hangs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import ClassVar, NoReturn, Self

from aura_cli.errors import ConflictError

_SOONEST = 0.001
_AGAIN = 30.0  # seconds after which the alarm rings once more: putting things away may hang, too
_LOOK_SECONDS = 0.2


class Overrun(KeyboardInterrupt):
    """A job's time is over: unwinds as Ctrl-C does, to a safe point."""


class Stopped(KeyboardInterrupt):
    """The process is about to end: the same, for a job in a thread, which no signal reaches."""

    exit_code: ClassVar[int] = 143


class Limit:
    """`seconds` for the length of the block; `tick` raises once they are over, `stop` is set, or the work was taken over.

    In the main thread SIGALRM interrupts what never comes to a `tick`.
    """

    def __init__(self, seconds: float, stop: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.stop = stop or threading.Event()
        self.taken_over = False
        self._until = monotonic() + seconds
        self._before: object = None
        self._entered = self._outer = 0.0  # seconds that an alarm around this one had left

    def __enter__(self) -> Self:
        if self._alarms:
            self._before = signal.signal(signal.SIGALRM, _ring)
            self._entered = monotonic()
            self._outer, _ = signal.setitimer(signal.ITIMER_REAL, max(self.left, _SOONEST), _AGAIN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._alarms:
            left = max(self._outer - (monotonic() - self._entered), _SOONEST) if self._outer else 0.0
            signal.setitimer(signal.ITIMER_REAL, left, _AGAIN)
            signal.signal(signal.SIGALRM, self._before)  # type: ignore[arg-type]

    def tick(self, count: int = 0) -> None:
        """A safe point; `count` is of no matter. Raises Overrun, Stopped, ConflictError."""
        del count
        if self.stop.is_set():
            raise Stopped
        if self.taken_over:
            raise ConflictError("Somebody else took this job over", "This process could not reach the database for too long")
        if self.left <= 0:
            raise Overrun

    @contextmanager
    def handed_on(self, to: threading.Event) -> Iterator[None]:
        """Set `to` once a `tick` would raise, for work that never comes to one."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK_SECONDS):
                try:
                    self.tick()
                except (KeyboardInterrupt, ConflictError):
                    to.set()
                    return

        thread = threading.Thread(target=watch, name="limit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._until - monotonic()

    @property
    def _alarms(self) -> bool:
        return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def _ring(number: int, frame: FrameType | None) -> NoReturn:
    raise Overrun
