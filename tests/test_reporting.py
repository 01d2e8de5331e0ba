"""What Sentry is told, and what it is not: kent keeps what it was sent."""

import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

import pytest

from aura_cli import __version__
from aura_cli.console import Console
from aura_cli.errors import ConfigurationError
from aura_cli.reporting import SILENT, Reporter, rate, scrubbed
from tests.parts.kent import Kent
from tests.parts.program import Aura

CANARY = "sk_live_CanaryCanaryCanary0001"
TOKEN = "ya29x0CanaryOfAProviderCanary42"  # no configured secret, and nothing that a key's prefix gives away


def raised(message: str) -> Exception:
    try:
        local_secret = CANARY
        raise RuntimeError(f"{message} {local_secret}")
    except RuntimeError as error:
        return error


def reporter(kent: Kent, **more: Any) -> Reporter:
    return Reporter(kent.dsn, "staging", Console(secrets=("database-password-1",)).redact, **more)


def test_an_error_arrives_without_its_secrets(kent: Kent) -> None:
    """The report names error, place, release and environment; no secret, address or token of its message, facts or variables is in it."""
    error = raised(f"database-password-1, mina@example.com, {TOKEN} and")
    error.__cause__ = raised(f"because of {TOKEN}")
    telling = reporter(kent)
    telling.error(error, "aura users sync", {"user": "6f1c3b8e-0d52-4d0e-9a60-3f6d0c1f8f11", "mail": "mina@example.com", CANARY: 1})
    telling.close()
    (event,) = kent.received("event")
    assert [one["type"] for one in event["exception"]["values"]] == ["RuntimeError", "RuntimeError"]
    assert (event["environment"], event["release"], event["tags"]) == ("staging", f"aura@{__version__}", {"where": "aura users sync"})
    assert event["contexts"]["facts"]["user"] == "6f1c3b8e-0d52-4d0e-9a60-3f6d0c1f8f11"
    known = kent.text()
    for secret in (CANARY, "database-password-1", "mina@example.com", TOKEN, __file__):
        assert secret not in known


@pytest.mark.parametrize("unit", ["a", "a=", "a.", "1@", "a b1", "@a.", "-", "é"])
def test_what_is_long_is_scrubbed(unit: str) -> None:
    """Whatever a message is made of: with time that grows with the square of its length this would take minutes."""
    assert scrubbed({"value": unit * (300_000 // len(unit))}, Console().redact)["value"]


def test_ids_stay_readable() -> None:
    """What finds the thing again stands in a message as it is; what looks like a token does not, nor does an address."""
    kept = "evt_1SandboxSandbox0000001 of sub_1SandboxSandbox0000001, 6f1c3b8e-0d52-4d0e-9a60-3f6d0c1f8f11, aura@1.2.3, key=short1"
    assert scrubbed({"message": kept}, str) == {"message": kept}
    told = scrubbed({"message": f"token={TOKEN}; mina.okafor+x@mail.example.com wrote {TOKEN}=="}, str)
    assert told == {"message": "token=****; ****@**** wrote ****=="}


def test_an_error_again_and_again_is_one(kent: Kent) -> None:
    """What fails each few seconds does not fill Sentry; another error, or the same elsewhere, is told."""
    telling, error = reporter(kent), raised("x")
    for where in ("worker", "worker", "carrier"):
        telling.error(error, where)
    telling.message("exit 7", "reconcile")
    telling.message("exit 7", "reconcile")
    telling.close()
    assert [one["tags"]["where"] for one in kent.received("event")] == ["worker", "carrier", "reconcile"]


def test_dead_letters_of_a_kind_are_one_issue(kent: Kent) -> None:
    """Keys, number and reasons go along, without what a reason gives away."""
    telling = reporter(kent)
    telling.dead_letters("webhooks", "invoice.paid", {f"evt_1SandboxSandbox{n:08}": f"ServiceError: {TOKEN}" for n in range(30)})
    telling.dead_letters("webhooks", "invoice.paid", {})
    telling.close()
    (event,) = kent.received("event")
    assert (event["message"], event["fingerprint"]) == ("Given up: invoice.paid", ["webhooks", "invoice.paid", "dead"])
    assert event["contexts"]["facts"]["count"] == 30
    assert event["contexts"]["facts"]["keys"][0] == "evt_1SandboxSandbox00000000"
    assert TOKEN not in kent.text()


def test_check_ins_of_a_run(kent: Kent) -> None:
    """Begin and end are one run of one monitor: with its schedule, how long it took, and what it did; both belong to the run's trace."""
    telling = reporter(kent)
    with telling.trace("aura cron run reconcile", "cron") as facts:
        run = telling.check_in("reconcile", "in_progress", schedule="17 * * * *", max_runtime=600)
        facts["rows"] = 12
        assert telling.check_in("reconcile", "ok", id=run, duration=1.5, counts={"rows": 12}) == run
    telling.close()
    first, last = kent.received("check_in")
    (trace,) = kent.received("transaction")
    assert first["check_in_id"] == last["check_in_id"] == run
    assert [one["monitor_slug"] for one in (first, last)] == ["aura-reconcile"] * 2
    assert [one["status"] for one in (first, last)] == ["in_progress", "ok"]
    assert [one["environment"] for one in (first, last)] == ["staging"] * 2
    assert first["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "17 * * * *"}, "timezone": "UTC", "checkin_margin": 10, "max_runtime": 10,
    }  # fmt: skip
    assert (last["duration"], last["contexts"]["counts"]) == (1.5, {"rows": 12})
    traces = {one["contexts"]["trace"]["trace_id"] for one in (first, last, trace)}
    assert len(traces) == 1
    assert (trace["transaction"], trace["contexts"]["trace"]["op"]) == ("aura cron run reconcile", "cron")
    assert trace["contexts"]["trace"]["data"]["rows"] == 12


def test_a_trace_of_what_failed(kent: Kent) -> None:
    """The error goes through, and the trace says that it failed; threads do not mix their traces up."""
    telling = reporter(kent)

    def fail(number: int) -> None:
        with suppress(ZeroDivisionError), telling.trace(f"thread {number}", "queue.process") as facts:
            facts["number"] = number
            _ = 1 / 0

    threads = [threading.Thread(target=fail, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    telling.close()
    found = {one["transaction"]: one["contexts"]["trace"] for one in kent.received("transaction")}
    assert {name: (trace["status"], trace["data"]["number"]) for name, trace in found.items()} == {
        f"thread {number}": ("internal_error", number) for number in range(4)
    }
    assert len({trace["trace_id"] for trace in found.values()}) == 4


def test_the_rate_of_traces(kent: Kent) -> None:
    """With 0 no trace goes, and errors do; what is no share is refused."""
    telling = reporter(kent, rate=0.0)
    with telling.trace("quiet", "cron"):
        telling.error(raised("x"), "quiet")
    telling.close()
    assert (len(kent.received("transaction")), len(kent.received("event"))) == (0, 1)
    assert [rate(None), rate("0"), rate("0.25")] == [1.0, 0.0, 0.25]
    for wrong in ("2", "-1", "often", "nan"):
        with pytest.raises(ConfigurationError):
            rate(wrong)


def test_each_has_a_client_of_its_own(kent: Kent) -> None:
    """A job's beside the listener's: its end ends neither the listener's nor leaves a thread behind; what is told later arrives, too."""
    before, listener = set(threading.enumerate()), reporter(kent)
    listener.message("begin", "listener")
    for number in range(5):
        job = reporter(kent)
        with listener.trace("batch", "queue.process"), job.trace("job", "job"):
            job.check_in(f"job-{number}", "ok")
            job.message("bad end", f"job {number}")
        job.close()
    listener.message("end", "listener")
    listener.close()
    listener.message("later", "listener")
    listener.close()
    deadline = monotonic() + 15
    while (left := {one.name for one in {*threading.enumerate()} - before}) and monotonic() < deadline:
        sleep(0.05)
    assert not left
    assert [one["message"] for one in kent.received("event") if one["tags"]["where"] == "listener"] == ["begin", "end", "later"]
    assert [len(kent.received(kind)) for kind in ("event", "check_in", "transaction")] == [8, 5, 10]


def test_without_an_address_nothing_happens() -> None:
    """No DSN: the SDK is not even loaded; a run's check-in has an id all the same."""
    code = (
        "import sys; from aura_cli.reporting import SILENT as s\n"
        "s.error(ValueError(), 'x'); s.message('x', 'x'); s.dead_letters('x', 'y', {'a': None}); assert s.check_in('x', 'ok')\n"
        "with s.trace('x', 'x') as facts: facts['a'] = 1\n"
        "s.close(); sys.exit('sentry_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert SILENT.check_in("x", "ok", id="given") == "given"


@pytest.mark.parametrize(
    ("more", "named"),
    [({}, "development"), ({"AURA_ENV": "staging"}, "staging"), ({"STRIPE_SECRET_KEY": "sk_live_test000000"}, "production")],
)
def test_the_environment_that_sentry_is_told(aura: Aura, sqlite_database: str, kent: Kent, more: dict[str, str], named: str) -> None:
    """Its name; where it has none, production where a write would be treated as one, else development."""
    script = (
        "import json, sys, typer; from aura_cli import app; app.Root.table['boom'] = 'json:loads'\n"
        "def loads(ctx: typer.Context): raise LookupError('nobody foresaw this')\n"
        "json.loads = loads; sys.exit(app.run(['boom']))"
    )
    env = {**aura.environment, "DATABASE_URL": sqlite_database, "NEXT_PUBLIC_SENTRY_DSN": kent.dsn, **more}
    assert subprocess.run([sys.executable, "-c", script], cwd=aura.work, env=env, capture_output=True, check=False).returncode == 1
    assert [(one["environment"], one["release"]) for one in kent.received("event")] == [(named, f"aura@{__version__}")]


def test_a_run_without_an_error_does_not_pay(aura: Aura, sqlite_database: str) -> None:
    """With a DSN, too: Sentry's SDK is not imported, and an error that is told to the person is nothing to report."""
    env = {**aura.environment, "DATABASE_URL": sqlite_database, "NEXT_PUBLIC_SENTRY_DSN": "http://public@127.0.0.1:9/1"}
    assert aura("db", "upgrade", env=env).exit == 0
    for words, code in ((["users", "list"], 0), (["users", "show", "nobody@example.com"], 5), (["users", "nonsense"], 2)):
        script = f"import sys; from aura_cli import app; assert app.run({words!r}) == {code}; sys.exit('sentry_sdk' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], cwd=aura.work, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_report_that_cannot_be_sent_hides_nothing() -> None:
    """A wrong or unreachable address is passed over in silence: the error itself is what counts."""
    for dsn in ("no address at all", "http://public@127.0.0.1:9/1"):
        telling = Reporter(dsn)
        telling.error(raised("x"), "x")
        assert telling.check_in("x", "ok", id="given") == "given"
        with pytest.raises(ZeroDivisionError), telling.trace("x", "x"):
            _ = 1 / 0
        telling.close()


def test_people_s_data_in_a_broken_constraint(aura: Aura, postgres_database: str, kent: Kent) -> None:
    """PostgreSQL's DETAIL names the row: neither the terminal, with --debug or without, nor Sentry is told of it."""
    script = (
        "import json, sys, typer; from aura_cli import app; app.Root.table['boom'] = 'json:loads'\n"
        "def loads(ctx: typer.Context):\n"
        "    from aura_cli.db.engine import load, writing; from aura_cli.db.shared import users\n"
        "    with writing(ctx.obj.engine) as connection:\n"
        "        for _ in range(2):\n"
        "            if '--copy' in sys.argv: load(connection, users, ('privy_user_id',), [('did:privy:Canary',)])\n"
        "            else: connection.execute(users.insert().values(privy_user_id='did:privy:Canary'))\n"
        "json.loads = loads; sys.exit(app.run([word for word in sys.argv[1:] if word != '--copy']))"
    )
    env = {**aura.environment, "DATABASE_URL": postgres_database, "AURA_ENV": "staging", "NEXT_PUBLIC_SENTRY_DSN": kent.dsn}
    assert aura("db", "upgrade", env=env).exit == 0
    for words in ([], ["--debug"], ["--copy", "--debug"]):
        done = subprocess.run(
            [sys.executable, "-c", script, "boom", *words], cwd=aura.work, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "duplicate key value" in done.stderr
        assert "Canary" not in done.stderr
    received = kent.received("event")
    assert [one["tags"]["where"] for one in received] == ["aura boom"] * 3
    assert [("duplicate key value" in str(one), "Canary" in str(one)) for one in received] == [(True, False)] * 3
