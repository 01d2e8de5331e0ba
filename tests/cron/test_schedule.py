"""When jobs are due, in three tongues."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from aura_cli.cron.jobs import JOBS, SINGLE
from aura_cli.cron.schedule import Schedule
from tests.parts.service import program

NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("schedule", "cron", "calendar", "minutes"),
    [
        (Schedule("*/5"), "*/5 * * * *", "*-*-* *:00/5:00 UTC", 5),
        (Schedule("7"), "7 * * * *", "*-*-* *:07:00 UTC", 7),
        (Schedule("4,14"), "4,14 * * * *", "*-*-* *:04,14:00 UTC", 4),
        (Schedule("17", "*/6"), "17 */6 * * *", "*-*-* 00/6:17:00 UTC", 17),
        (Schedule("43", "3"), "43 3 * * *", "*-*-* 03:43:00 UTC", 15 * 60 + 43),
        (Schedule("0", "0", "0,3"), "0 0 * * 0,3", "Sun,Wed *-*-* 00:00:00 UTC", 60 * (12 + 48)),
    ],
)
def test_its_words(schedule: Schedule, cron: str, calendar: str, minutes: int) -> None:
    """As cron and systemd write it, and when it comes next."""
    assert (schedule.cron, schedule.calendar) == (cron, calendar)
    assert schedule.following(NOON) == NOON.replace(second=0) + timedelta(minutes=minutes)
    assert schedule.takes(schedule.following(NOON))
    assert not schedule.takes(schedule.following(NOON) - timedelta(minutes=1))


def test_one_that_never_comes() -> None:
    """It is an error, and no endless search."""
    with pytest.raises(ValueError, match="never comes"):
        Schedule("61").following(NOON)


@pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))
def test_systemd_means_the_same(job: object) -> None:
    """What systemd makes of a calendar is the minute that we wait for."""
    schedule = JOBS[getattr(job, "name", "")].schedule
    base = f"{NOON:%Y-%m-%d %H:%M:%S} UTC"
    command = [program("systemd-analyze", "systemd"), "calendar", f"--base-time={base}", schedule.calendar]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C"})
    told = next(line for line in done.stdout.splitlines() if "Next elapse" in line)
    assert f"{schedule.following(NOON):%Y-%m-%d %H:%M:%S} UTC" in told


def test_no_two_jobs_begin_at_the_same_minute_by_chance() -> None:
    """Those that come once an hour or less have minutes of their own, and none is on the hour, when everybody's begin."""
    rare = [job.schedule.minute for job in JOBS.values() if not job.schedule.minute.startswith("*")]
    minutes = [minute for words in rare for minute in words.split(",")]
    assert len(set(minutes)) == len(minutes)
    assert "0" not in minutes
    assert all(job.work for job in SINGLE)
