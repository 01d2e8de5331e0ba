"""Jobs beside a listener: at their minutes, in threads, once among several processes, stopped at a safe point."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest

from aura_cli.console import Console
from aura_cli.cron.beside import Open, beside
from aura_cli.cron.conducting import Conductor
from aura_cli.cron.jobs import JOBS, SINGLE, Job
from aura_cli.cron.limit import Limit
from aura_cli.cron.running import How
from aura_cli.cron.scheduler import Scheduler, scheduled
from aura_cli.cron.tables import job_runs
from aura_cli.cron.work import Done, Surroundings
from aura_cli.db.engine import writing
from aura_cli.runtime import Options, Runtime
from aura_cli.settings import Settings
from tests.cron.conftest import Clockwork, Holding
from tests.parts.listening import serving

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def until(true: Callable[[], object]) -> None:
    """Wait, at most half a minute, for something to be so."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_in_its_minutes() -> None:
    """Over a day every job begins as often as its schedule says, and none twice in a minute."""
    begun: list[tuple[str, datetime]] = []
    minute = NOON
    scheduler = Scheduler(SINGLE, lambda job, stop: begun.append((job.name, minute)), lambda: NOON)
    for number in range(24 * 60):
        minute = NOON + timedelta(minutes=number)
        scheduler.look(minute)
        for thread in threading.enumerate():
            if thread.name.startswith("cron "):
                thread.join()
    counts = {job.name: sum(name == job.name for name, _ in begun) for job in SINGLE}
    expected = {"users-sync": 24, "reconcile": 4, "refresh-tokens": 288, "retry-emails": 144, "backfill-webhooks": 96, "prune": 1}
    assert counts == {**expected, "doctor": 48}
    assert len(set(begun)) == len(begun)


def test_one_that_is_still_at_work() -> None:
    """It is left to it, and begins again the next time."""
    go, begun, minutes = threading.Event(), list[int](), 0

    def start(job: Job, stop: threading.Event) -> None:
        begun.append(minutes)
        go.wait(30)

    scheduler = Scheduler([JOBS["refresh-tokens"]], start, lambda: NOON)
    for minutes in (0, 5, 10):
        scheduler.look(NOON + timedelta(minutes=minutes))
        if minutes == 5:
            go.set()
            scheduler.end()
    assert begun == [0, 10]


def test_the_minute_that_begins_counts() -> None:
    """What was due before it was started is not made up for; a clock that jumps, to either side, starts nothing twice."""
    begun, moments = list[datetime](), iter([NOON + timedelta(seconds=30), *[NOON + timedelta(minutes=m) for m in (1, 5, 5, 3, 4, 5)]])
    last = NOON

    def clock() -> datetime:
        nonlocal last
        last = next(moments, last)
        return last + timedelta(seconds=59.99)

    with scheduled(Scheduler([JOBS["refresh-tokens"]], lambda job, stop: begun.append(last.replace(second=0)), clock)) as scheduler:
        until(lambda: len(begun) == 2)
        scheduler.stop.set()
    assert begun == [NOON + timedelta(minutes=5)] * 2  # once before the clock was set back, and once after


@pytest.fixture
def surroundings(clockwork: Clockwork, tmp_path: Path) -> Iterator[Open]:
    """Those of a job that knows nothing but what a file says."""
    file = tmp_path / ".env.jobs"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in {**clockwork.env, "AURA_HOME": str(tmp_path)}.items()))
    file.chmod(0o600)
    err: TextIO
    with (tmp_path / "err").open("w+") as err:
        yield lambda: Runtime(Options(quiet=True, env_file=str(file)), Console(quiet=True, err=err))


@pytest.fixture
def opened(surroundings: Open, tmp_path: Path) -> Callable[[], Scheduler]:
    """Makes schedulers, as each of several processes has one."""
    settings = Settings.load({}, tmp_path, env_file=tmp_path / ".env.jobs")
    return lambda: beside(settings, surroundings, lambda: datetime.now(UTC))


def test_of_several_one_does_it(clockwork: Clockwork, opened: Callable[[], Scheduler]) -> None:
    """Three processes have the same minute: the job is done once, whatever their clocks say; the next time again."""
    due = JOBS["users-sync"]
    some = [opened() for _ in range(3)]
    for one in some:
        assert [job.name for job in one.jobs] == ["users-sync", "prune", "doctor"]
        one.start(due, one.stop)
    assert clockwork.ends == [("users-sync", 0)]
    with writing(clockwork.engine) as connection:
        connection.execute(job_runs.update().values(started_at=datetime.now(UTC) - timedelta(minutes=5)))
    some[0].start(due, some[0].stop)
    assert clockwork.ends == [("users-sync", 0)] * 2


def test_what_goes_wrong_is_told(clockwork: Clockwork, opened: Callable[[], Scheduler], tmp_path: Path) -> None:
    """In the log of the process, and to whom alerts go."""
    clockwork.privy.replaced[0] = 200, b"<html>"
    one = opened()
    one.start(JOBS["users-sync"], one.stop)
    assert "The job users-sync ended with exit 7: Privy answered" in (tmp_path / "err").read_text()
    assert len(clockwork.chat.said) == 1


def test_it_is_stopped_at_a_safe_point(clockwork: Clockwork, opened: Callable[[], Scheduler]) -> None:
    """No signal reaches a thread: it looks by itself, ends as after SIGTERM, and the next run goes on from there."""
    holding, one = Holding(1), opened()
    clockwork.privy.hold = holding
    thread = threading.Thread(target=one.start, args=(JOBS["users-sync"], one.stop))
    thread.start()
    assert holding.arrived.wait(30)
    one.stop.set()
    holding.go.set()
    thread.join(30)
    assert clockwork.ends == [("users-sync", 143)]
    assert clockwork.chat.said == []
    clockwork.privy.asked.clear()
    assert clockwork("run", "users-sync").exit == 0
    assert clockwork.privy.asked in ([], [2], [1, 2])  # by what had been read when it looked


def test_one_that_hangs(clockwork: Clockwork, surroundings: Open) -> None:
    """No alarm reaches a thread: somebody is told once, long after its time, and no more when it comes to an end after all."""
    go = threading.Event()

    def work(at: Surroundings, limit: Limit) -> Done:
        go.wait(30)
        limit.tick()
        return Done({})

    def start() -> None:
        with surroundings() as at:
            Conductor(replace(JOBS["prune"], work=work), at, How(0.1, beat=0.05, patience=0.2)).run()

    thread = threading.Thread(target=start)
    thread.start()
    until(lambda: clockwork.chat.said)
    time.sleep(0.3)
    go.set()
    thread.join(30)
    assert clockwork.ends == [("prune", 9)]
    assert clockwork.chat.subjects == ["prune hangs, long after its time was over"]


def test_a_slow_clock_skips_nothing(clockwork: Clockwork, surroundings: Open, tmp_path: Path) -> None:
    """When the last run began is asked by the database's clock alone."""
    settings = Settings.load({}, tmp_path, env_file=tmp_path / ".env.jobs")
    slow = beside(settings, surroundings, lambda: datetime.now(UTC) - timedelta(minutes=4))
    for _ in range(2):
        slow.start(JOBS["prune"], slow.stop)
        with writing(clockwork.engine) as connection:
            connection.execute(job_runs.update().values(started_at=datetime.now(UTC) - timedelta(minutes=5)))
    assert clockwork.ends == [("prune", 0)] * 2


def test_beside_the_listener(clockwork: Clockwork) -> None:
    """The program says which jobs it does, receives as ever, and ends at once."""
    with serving(clockwork.aura, clockwork.env["DATABASE_URL"], "--with-jobs") as served:
        assert served.alive()
        begun = time.monotonic()
        served.process.terminate()
        _, err = served.process.communicate(timeout=30)
    assert (served.process.returncode, time.monotonic() - begun < 10) == (143, True)
    assert "Jobs at their times: users-sync, reconcile, refresh-tokens" in err
