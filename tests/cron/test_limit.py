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


def test_it_is_handed_on() -> None:
    """Work that knows no tick is stopped when its time is over, or the process ends; not before, nor after its end."""
    for limit, over in ((Limit(0.05), True), (Limit(60), False)):
        to = threading.Event()
        with limit.handed_on(to):
            assert to.wait(30 if over else 0.5) == over
    stop = threading.Event()
    with Limit(60, stop).handed_on(to):
        stop.set()
        assert to.wait(30)


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
        with kept(engine, own, limit, lambda: None, every=0.05):
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


def test_a_lease_is_not_kept_for_what_hangs(engine: Engine) -> None:
    """Long after its time a job that comes to no safe point is told of, once, and somebody else may have it."""
    told = list[float]()
    limit = Limit(0.1)
    with lease(engine, "cron prune") as own, kept(engine, own, limit, lambda: told.append(limit.left), every=0.05, patience=0.2):
        time.sleep(0.6)
        renewed, own.renewed = own.renewed, own.renewed - 1000
        time.sleep(0.2)
        assert own.renewed == renewed - 1000
    (left,) = told
    assert left < -0.2
