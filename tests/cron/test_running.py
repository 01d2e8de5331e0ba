"""A run of a job through the program: quiet, noted, told of where it fares otherwise than before."""

import json
import signal
import socket
import sys
import time

import pytest

from aura_cli.cron.history import begin
from aura_cli.cron.jobs import JOBS
from aura_cli.db.engine import writing
from aura_cli.db.leases import lease
from tests.cron.conftest import USERS, Clockwork, Holding
from tests.parts.terminal import on_a_terminal

BROKEN = 200, b"<html>Bad gateway</html>"


def test_a_run_that_goes_well(clockwork: Clockwork) -> None:
    """It says nothing at all, even in production, its counts are kept, and nobody is alerted."""
    done = clockwork("run", "users-sync", AURA_ENV="production")
    assert (done.exit, done.out, done.err) == (0, "", "")
    (run,) = clockwork.runs
    assert (run.job, run.exit_code, run.error) == ("users-sync", 0, None)
    assert run.counts == {"scanned": 230, "created": 230, "updated": 0, "unchanged": 0, "missing": 0, "failed": 0}
    assert run.started_at <= run.finished_at
    assert clockwork.chat.said == []


def test_its_result_as_json(clockwork: Clockwork) -> None:
    """With --json the run is one object."""
    found = clockwork("run", "users-sync", "--json").json
    assert (found["job"], found["exit_code"], found["error"], found["steps"]) == ("users-sync", 0, None, [])
    assert found["counts"]["created"] == 230


def test_alerts_come_on_change_alone(clockwork: Clockwork) -> None:
    """A job that fails is told of once, however often it fails alike, and once more when it is well again."""
    clockwork.privy.replaced[1] = BROKEN
    exits = [clockwork("run", "users-sync").exit for _ in range(3)]
    clockwork.privy.replaced.clear()
    exits += [clockwork("run", "users-sync").exit for _ in range(2)]
    assert exits == [7, 7, 7, 0, 0]
    assert [code for _, code in clockwork.ends] == exits
    failed, well = clockwork.chat.subjects
    assert failed.startswith("users-sync failed: Privy")
    assert well == "users-sync is well again"
    assert "Before: exit 7" in clockwork.chat.said[1]["text"]


def test_other_numbers_are_no_change(clockwork: Clockwork) -> None:
    """One user more who is gone at Privy is no second alert; another reason is."""
    assert clockwork("run", "users-sync").exit == 0
    for left in (229, 228):
        clockwork.privy.users = USERS[:left]
        assert clockwork("run", "users-sync").exit == 3
    clockwork.privy.replaced[0] = BROKEN
    assert clockwork("run", "users-sync").exit == 7
    assert [subject.split(":")[0] for subject in clockwork.chat.subjects] == ["users-sync needs attention", "users-sync failed"]


def test_suddenly_nothing_is_a_failure(clockwork: Clockwork) -> None:
    """A list that was never empty and now is means a wrong key, and not that all have left, unless a person says so."""
    assert clockwork("run", "users-sync").exit == 0
    clockwork.privy.users = []
    for _ in range(2):
        done = clockwork("run", "users-sync")
        assert (done.exit, "It handled nothing (scanned: 0), and 230 the last time" in done.err) == (9, True), done.err
    assert clockwork("run", "users-sync", "--nothing-is-right").exit == 3
    assert clockwork("run", "users-sync").exit == 3  # all are gone at Privy, and a person has to say what becomes of them here
    assert len(clockwork.chat.said) == 2


def test_the_first_run_may_handle_nothing(clockwork: Clockwork) -> None:
    """There is nothing to compare it with."""
    clockwork.privy.users = []
    assert clockwork("run", "users-sync").exit == 0


def test_one_at_a_time(clockwork: Clockwork) -> None:
    """Of two runs one works and one ends with 6, without a word to anybody else; with --wait it works afterwards."""
    holding = Holding(0)
    clockwork.privy.hold = holding
    first = clockwork.aura.start("cron", "run", "users-sync", env=clockwork.env)
    assert holding.arrived.wait(30)
    second = clockwork("run", "users-sync")
    assert (second.exit, "'cron users-sync' is being done by process" in second.err) == (6, True), second.err
    waiting = clockwork.aura.start("cron", "run", "users-sync", "--wait", env=clockwork.env)
    time.sleep(1.5)
    assert waiting.poll() is None
    holding.go.set()
    assert (first.wait(30), waiting.wait(30)) == (0, 0)
    assert clockwork.ends == [("users-sync", 0)] * 2
    assert clockwork.chat.said == []


def test_somebody_does_it_by_hand(clockwork: Clockwork) -> None:
    """A person who syncs at this moment is in nobody's way, and the job that finds them there is no failure: exit 6, and no alert."""
    with lease(clockwork.engine, "users sync"):
        done = clockwork("run", "users-sync")
    assert (done.exit, clockwork.runs, clockwork.chat.said) == (6, [], []), done.err
    assert clockwork("run", "users-sync").exit == 0


def test_killed_and_taken_over(clockwork: Clockwork) -> None:
    """After kill -9 the next run begins at once, notes what became of the one before, and tells somebody."""
    holding = Holding(2)
    clockwork.privy.hold = holding
    first = clockwork.aura.start("cron", "run", "users-sync", env=clockwork.env)
    assert holding.arrived.wait(30)
    time.sleep(0.5)  # what was read is written by then
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    clockwork.privy.hold = lambda page: None
    clockwork.privy.asked.clear()
    done = clockwork("run", "users-sync")
    assert (done.exit, done.err, clockwork.privy.asked) == (0, "", [2])
    assert clockwork.ends == [("users-sync", 137), ("users-sync", 0)]
    killed, well = clockwork.chat.subjects
    assert killed.endswith("was killed, or its machine went down")
    assert well == "users-sync is well again"


@pytest.mark.parametrize(("words", "code"), [([], 143), (["--max-runtime", "1s"], 9)])
def test_stopped_while_somebody_is_told(clockwork: Clockwork, words: list[str], code: int) -> None:
    """What is told before the work is part of the run, which has its end as any other: stopped, or in its time."""
    with writing(clockwork.engine) as connection:
        begin(connection, "users-sync", "elsewhere:1:2:3:4")
    clockwork.chat.answers.clear()
    running = clockwork.aura.start("cron", "run", "users-sync", *words, env=clockwork.env)
    deadline = time.monotonic() + 30
    while not clockwork.chat.said:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.terminate() if code == 143 else clockwork.chat.answers.wait(1.2)
    clockwork.chat.answers.set()
    assert running.wait(30) == code
    assert (clockwork.ends, clockwork.privy.asked) == ([("users-sync", 137), ("users-sync", code)], [])


def test_a_silent_stripe_takes_no_longer_than_the_job_may(clockwork: Clockwork) -> None:
    """Whose database this is has to be asked first; that has the same time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stripe = {"STRIPE_SECRET_KEY": "sk_test_sandbox0000000000", "STRIPE_API_BASE": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        begun = time.monotonic()
        done = clockwork("run", "users-sync", "--max-runtime", "1s", **stripe)
    assert (done.exit, "not done after 1 seconds" in done.err, time.monotonic() - begun < 20) == (9, True, True), done.err
    assert clockwork.runs == []


def test_a_limit_stops_it_where_the_next_goes_on(clockwork: Clockwork) -> None:
    """A job that hangs is interrupted in time; what it had read stays, and the next run begins there."""
    holding = Holding(2)
    clockwork.privy.hold = holding
    begun = time.monotonic()
    done = clockwork("run", "users-sync", "--max-runtime", "2s")
    assert (done.exit, time.monotonic() - begun < 20) == (9, True), done.err
    assert "not done after 2 seconds" in done.err
    holding.go.set()
    clockwork.privy.asked.clear()
    assert clockwork("run", "users-sync").exit == 0
    assert clockwork.privy.asked == [2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_no_failure(clockwork: Clockwork, number: signal.Signals, code: int) -> None:
    """A shutdown, or a person, ends it at a safe point: noted, and nobody is alerted."""
    holding = Holding(1)
    clockwork.privy.hold = holding
    running = clockwork.aura.start("cron", "run", "users-sync", env=clockwork.env)
    assert holding.arrived.wait(30)
    running.send_signal(number)
    assert running.wait(30) == code
    assert (clockwork.ends, clockwork.chat.said) == ([("users-sync", code)], [])
    clockwork.privy.hold = lambda page: None
    assert clockwork("run", "users-sync").exit == 0
    assert clockwork.chat.said == []


def test_attention_is_no_crash(clockwork: Clockwork) -> None:
    """With --attention-ok what needs attention ends with 0, and is told of all the same; a failure stays one."""
    assert clockwork("run", "users-sync").exit == 0
    clockwork.privy.users = USERS[:229]
    assert clockwork("run", "users-sync", "--attention-ok").exit == 0
    assert clockwork.ends[-1] == ("users-sync", 3)
    assert len(clockwork.chat.said) == 1
    clockwork.privy.replaced[0] = BROKEN
    assert clockwork("run", "users-sync", "--attention-ok").exit == 7


def test_what_is_not_configured(clockwork: Clockwork) -> None:
    """A job whose settings are missing ends with 4 and names them."""
    done = clockwork("run", "retry-emails")
    assert (done.exit, "RESEND_API_KEY is not set: retry-emails needs it" in done.err) == (4, True), done.err


@pytest.mark.parametrize("words", [["run", "users-synk"], ["run", "users-sync", "-n"], ["run", "users-sync", "--max-runtime", "soon"]])
def test_a_slip(clockwork: Clockwork, words: list[str]) -> None:
    """A job that there is not, a dry run and a length of time that is none end before anything happens, with what to do instead."""
    done = clockwork(*words)
    hints = {"users-synk": "Did you mean users-sync?", "-n": "aura users sync -n", "soon": "Like 90s, 15m or 2h"}
    assert done.exit == (5 if "users-synk" in words else 2)
    assert hints[words[1] if words[1] in hints else words[-1]] in done.err
    assert clockwork.runs == []


def test_maintenance_does_them_all(clockwork: Clockwork) -> None:
    """Each job that is configured here, in order, as a run of its own; what fails keeps no other from its turn."""
    done = clockwork("run", "maintenance", "--json")
    assert [(step["job"], step["exit_code"]) for step in done.json["steps"]] == [("users-sync", 0), ("prune", 0), ("doctor", 3)]
    assert (done.exit, done.json["counts"]) == (3, {"jobs": 3, "failed": 0}), done.err  # this stand-in has no key to be found
    clockwork.privy.replaced[0] = BROKEN
    assert clockwork("run", "maintenance").exit == 9
    needs, failed = clockwork.chat.subjects
    assert needs.startswith("maintenance needs attention: doctor: privy")
    assert failed.startswith("maintenance failed: users-sync: Privy answered with something that is not JSON; doctor: ")
    assert clockwork.ends[-4:] == [("maintenance", 9), ("users-sync", 7), ("prune", 0), ("doctor", 3)]


def test_the_list(clockwork: Clockwork) -> None:
    """Every job with how its last run went."""
    assert clockwork("run", "users-sync").exit == 0
    assert clockwork("run", "retry-emails").exit == 4
    listed = {one["job"]: one for one in clockwork("list", "--json").json}
    assert list(listed) == list(JOBS)
    assert {name: one["state"] for name, one in listed.items() if one["state"] != "new"} == {"users-sync": "ok", "retry-emails": "failed"}
    assert (listed["users-sync"]["exit_code"], listed["users-sync"]["counts"]["scanned"]) == (0, 230)
    assert listed["users-sync"]["last_success"]
    assert json.dumps(listed["refresh-tokens"]["schedule"]) == '"*/5 * * * *"'


def test_on_a_terminal(clockwork: Clockwork) -> None:
    """A person who runs a job sees what it did, and why it failed: nobody is alerted behind their back."""
    env = {**clockwork.aura.environment, **clockwork.env}
    command = [sys.executable, "-m", "aura_cli", "cron", "run", "users-sync"]
    code, shown = on_a_terminal(command, env, clockwork.aura.work)
    assert (code, "users-sync: 230 scanned, 230 created (" in shown) == (0, True), shown
    clockwork.privy.replaced[0] = BROKEN
    code, shown = on_a_terminal(command, env, clockwork.aura.work)
    assert (code, "Error: Privy answered with something that is not JSON" in shown) == (7, True), shown
    assert clockwork.ends == [("users-sync", 0), ("users-sync", 7)]
    assert clockwork.chat.said == []
