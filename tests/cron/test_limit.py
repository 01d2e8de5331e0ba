"""The time that a job may take."""

import signal
import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import Engine

from aura_cli.cron.limit import Limit, Overrun, Stopped
from aura_cli.cron.running import kept
from aura_cli.db.engine import writing
from aura_cli.db.leases import lease
from aura_cli.db.tables import leases
from aura_cli.errors import ConflictError


def test_an_alarm_interrupts_what_hangs() -> None:
    """In the main thread; afterwards nothing rings any more, and the signal is what it was."""
    before, begun = signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(Overrun), Limit(0.2):
        time.sleep(30)
    assert time.monotonic() - begun < 10
    assert (signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)) == (0.0, before)


def test_one_within_another() -> None:
    """A step's limit ends the step; what is left of the whole one's counts again afterwards."""
    left = list[float]()

    def two() -> None:
        with Limit(0.6) as whole:
            with suppress(Overrun), Limit(0.2):
                time.sleep(30)
            left.append(whole.left)
            time.sleep(30)

    with pytest.raises(Overrun):
        two()
    assert 0 < left[0] < 0.5


def test_a_thread_looks_by_itself() -> None:
    """No alarm reaches it: it ends at the next safe point."""
    seen: list[type[BaseException]] = []

    def work() -> None:
        try:
            with Limit(0.1) as limit:
                limit.tick()
                time.sleep(0.2)
                limit.tick()
        except BaseException as error:  # noqa: BLE001
            seen.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [Overrun]


def test_why_a_tick_ends_it() -> None:
    """The process ends; somebody else took the work over."""
    limit = Limit(60)
    limit.tick(5)
    limit.taken_over = True
    with pytest.raises(ConflictError, match="took this job over"):
        limit.tick()
    limit.stop.set()
    with pytest.raises(Stopped):
        limit.tick()
    assert Stopped.exit_code == 143


def test_a_lease_lives_as_long_as_its_process(engine: Engine) -> None:
    """It is renewed while a job hangs; once somebody else has it, the next safe point ends the work."""
    limit = Limit(60)
    with lease(engine, "cron prune") as own:
        own.renewed -= 1000  # as if it were long ago
        with kept(engine, own, limit, every=0.05):
            time.sleep(0.3)
            assert not limit.taken_over
            with writing(engine) as connection:
                connection.execute(leases.update().values(owner="elsewhere:1:2:3:4"))
            deadline = time.monotonic() + 30
            while not limit.taken_over:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    with pytest.raises(ConflictError):
        limit.tick()
