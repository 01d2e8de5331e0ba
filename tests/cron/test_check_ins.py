"""What Sentry's cron monitors hear of a run, as kent keeps it."""

import signal
from typing import Any

import pytest

from aura_cli.db.leases import lease
from tests.cron.conftest import USERS, Clockwork, Holding
from tests.parts.kent import Kent
from tests.parts.service import free_port

BROKEN = 200, b"<html>Bad gateway</html>"


@pytest.fixture
def told(clockwork: Clockwork, kent: Kent) -> Clockwork:
    """The same, with a Sentry to check in at."""
    clockwork.env["NEXT_PUBLIC_SENTRY_DSN"] = kent.dsn
    return clockwork


def statuses(kent: Kent) -> list[str]:
    return [one["status"] for one in kent.received("check_in")]


def test_a_run_that_goes_well(told: Clockwork, kent: Kent) -> None:
    """Two check-ins of one id, the second with how long it took and what was handled; both describe the monitor."""
    assert told("run", "users-sync").exit == 0
    begun, ended = kent.received("check_in")
    assert (begun["status"], ended["status"], begun["check_in_id"]) == ("in_progress", "ok", ended["check_in_id"])
    assert begun["monitor_slug"] == ended["monitor_slug"] == "aura-users-sync"
    monitor = {"schedule": {"type": "crontab", "value": "7 * * * *"}, "timezone": "UTC", "max_runtime": 50}
    for one in (begun, ended):
        assert monitor.items() <= one["monitor_config"].items()
        assert one["environment"] == "development"
    assert ended["contexts"]["counts"] == {"scanned": 230, "created": 230, "updated": 0, "unchanged": 0, "missing": 0, "failed": 0}
    assert 0 < ended["duration"] < 60
    assert kent.received("event") == []
    (trace,) = kent.received("transaction")
    assert trace["transaction"] == "aura cron users-sync"


def test_every_exit_code_has_its_status(told: Clockwork, kent: Kent) -> None:
    """0 and 3 did their work; what did not is an error, and an event; nobody who was not needed (6) says anything."""

    def run(*words: str, **env: str) -> int:
        return told("run", *words, **env).exit

    ends: list[tuple[int, str | None]] = [(run("users-sync"), "ok")]
    told.privy.users = USERS[:229]
    ends.append((run("users-sync"), "ok"))
    with lease(told.engine, "users sync"):
        ends.append((run("users-sync"), None))
    ends.append((run("retry-emails"), "error"))
    told.privy.replaced[0] = BROKEN
    ends.append((run("users-sync"), "error"))
    told.privy.replaced[0] = 401, b"{}"
    ends.append((run("users-sync"), "error"))
    told.privy.users, told.privy.replaced = [], {}
    ends.append((run("users-sync"), "error"))
    assert [code for code, _ in ends] == [0, 3, 6, 4, 7, 4, 9]
    expected: list[Any] = [word for _, status in ends if status for word in ("in_progress", status)]
    assert statuses(kent) == expected
    events = [(one["tags"]["where"], one["contexts"]["facts"]["why"]) for one in kent.received("event")]
    assert [where for where, _ in events] == ["aura cron retry-emails", *["aura cron users-sync"] * 3]
    assert "RESEND_API_KEY is not set" in events[0][1]


def test_two_at_once(told: Clockwork, kent: Kent) -> None:
    """Only the run that works checks in."""
    holding = Holding(0)
    told.privy.hold = holding
    first = told.aura.start("cron", "run", "users-sync", env=told.env)
    assert holding.arrived.wait(30)
    assert told("run", "users-sync").exit == 6
    holding.go.set()
    assert first.wait(30) == 0
    assert statuses(kent) == ["in_progress", "ok"]


def test_killed(told: Clockwork, kent: Kent) -> None:
    """What was killed leaves its check-in open, for Sentry to call it timed out; the next run has one of its own."""
    holding = Holding(1)
    told.privy.hold = holding
    first = told.aura.start("cron", "run", "users-sync", env=told.env)
    assert holding.arrived.wait(30)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    assert told("run", "users-sync").exit == 0
    lost, begun, ended = kent.received("check_in")
    assert [one["status"] for one in (lost, begun, ended)] == ["in_progress", "in_progress", "ok"]
    assert lost["check_in_id"] != begun["check_in_id"] == ended["check_in_id"]


@pytest.mark.parametrize("how", ["stopped", "too long"])
def test_broken_off(told: Clockwork, kent: Kent, how: str) -> None:
    """A job that was stopped did not do its work, whoever stopped it."""
    holding = Holding(1)
    told.privy.hold = holding
    limit = ["--max-runtime", "2s"] if how == "too long" else []
    running = told.aura.start("cron", "run", "users-sync", *limit, env=told.env)
    assert holding.arrived.wait(30)
    if how == "stopped":
        running.send_signal(signal.SIGTERM)
    assert running.wait(30) == (9 if limit else 143)
    assert statuses(kent) == ["in_progress", "error"]


def test_the_database_is_away(told: Clockwork, kent: Kent) -> None:
    """A job that cannot begin is an error at Sentry, and one alert, however often; and one more once it is well again."""
    away = f"postgresql://aura@127.0.0.1:{free_port()}/aura"
    assert [told("run", "users-sync", DATABASE_URL=away).exit for _ in range(2)] == [8, 8]
    assert [told("run", "users-sync").exit for _ in range(2)] == [0, 0]
    assert statuses(kent) == ["error", "error", "in_progress", "ok", "in_progress", "ok"]
    failed, well = told.chat.subjects
    assert failed.startswith("users-sync failed: The database could not be reached")
    assert well == "users-sync is well again"


def test_maintenance_is_one_monitor(told: Clockwork, kent: Kent) -> None:
    """Its steps are no monitors of their own: nothing would check in for them at their times."""
    assert told("run", "maintenance").exit == 3
    assert [(one["monitor_slug"], one["status"]) for one in kent.received("check_in")] == [
        ("aura-maintenance", "in_progress"),
        ("aura-maintenance", "ok"),
    ]
