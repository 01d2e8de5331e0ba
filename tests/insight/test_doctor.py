"""`aura doctor` on a stack that is well, and on one where something is wrong with every system."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from aura_cli.console import SHORTEST_SECRET
from aura_cli.insight.finding import State, System
from aura_cli.insight.surroundings import DEADLINE
from aura_cli.settings import Settings
from tests.insight.stack import ENDPOINT, FAULTS, Stack, stack, wrong
from tests.parts.kent import Kent, kent  # noqa: F401 (a fixture)
from tests.parts.program import Aura
from tests.parts.service import free_port
from tests.parts.terminal import on_a_terminal

FIELDS = ["healthy", "checked_at", "took_ms", "failed", "warned", "findings"]


@pytest.fixture(params=["sqlite", "postgresql"])
def well(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that is well, on each kind of database."""
    with stack(str(request.getfixturevalue("postgres_database")) if request.param == "postgresql" else "") as found:
        yield found


@pytest.fixture
def small() -> Iterator[Stack]:
    """The same on SQLite alone."""
    with stack() as found:
        yield found


def test_a_stack_that_is_well(well: Stack) -> None:
    """Every system is looked at and none has anything wrong; services tell how long their answers took."""
    report = well.examine()
    assert (report.healthy, wrong(report)) == (True, [])
    assert {one.system for one in report.findings} == {*System}
    services = {*System} - {System.WEBHOOKS, System.VAULT, System.CONNECTIONS, System.FILES, System.DISK, System.TLS, System.CLOCK}
    assert {one.system for one in report.findings if one.latency_ms is not None} == services
    assert report.took_ms < DEADLINE * 1000


def test_a_fault_of_every_system_is_named_and_nothing_else(well: Stack) -> None:
    """One in each system: each is told once, with its cause, and every other system is well."""
    for plant, _, _ in FAULTS.values():
        plant(well)
    found = wrong(well.examine())
    assert [(one.system, one.state) for one in found] == [(system, state) for system, (_, state, _) in FAULTS.items()]
    for one, (_, _, words) in zip(found, FAULTS.values(), strict=True):
        assert words in one.detail, one


@pytest.mark.parametrize("system", FAULTS)
def test_each_fault_alone(small: Stack, system: System) -> None:
    """Only its system is named, and what it told has the way to mend it."""
    plant, state, words = FAULTS[system]
    plant(small)
    assert small.troubles() == {system: state}
    ((_, detail, fix),) = small.told(system)
    assert words in detail
    assert fix


def test_the_command(aura: Aura, small: Stack) -> None:
    """A line for each system, exit 0; what is not configured is one folded line."""
    del small.env["NEXT_PUBLIC_SENTRY_DSN"], small.env["RESEND_API_KEY"]
    told = aura("doctor", env=small.env)
    assert (told.exit, told.err) == (0, "")
    lines = told.out.splitlines()
    assert [line.split()[1] for line in lines[:-2]] == [system for system in System if system not in (System.SENTRY, System.RESEND)]
    assert all(line.startswith("ok    ") for line in lines[:-2])
    assert lines[-2].startswith("Not configured: resend (RESEND_API_KEY; no mail is sent), sentry (NEXT_PUBLIC_SENTRY_DSN")
    assert lines[-1].startswith("14 well, in ")


def test_the_command_where_something_failed(aura: Aura, small: Stack) -> None:
    """Exit 3, each trouble with a fix to paste, and the way to look again; a warning alone is exit 0."""
    FAULTS[System.STRIPE][0](small)
    FAULTS[System.CONNECTIONS][0](small)
    (endpoint,) = small.stripe("GET", "/v1/webhook_endpoints")["data"]
    told = aura("doctor", env=small.env)
    assert told.exit == 3
    assert f"fix: aura webhooks endpoints enable {endpoint['id']}\n" in told.out
    assert "fix: aura integrations list --health needs_consent\n" in told.out
    assert told.err == "Error: 1 system failed: stripe\n  Look again: aura doctor --only stripe\n"
    mended = aura(*f"webhooks endpoints enable {endpoint['id']}".split(), env=small.env)
    assert mended.exit == 0, mended.err
    again = aura("doctor", "--only", "stripe,connections", env=small.env)
    assert (again.exit, again.err) == (0, "")
    assert again.out.splitlines()[-1].startswith("1 well, 1 to look at, in ")


def test_as_json(aura: Aura, small: Stack) -> None:
    """One object on standard output, a whole one where something failed, too; -q says nothing where all is well."""
    well = aura("doctor", "--json", env=small.env)
    assert (well.exit, list(well.json), well.json["healthy"], well.json["failed"]) == (0, FIELDS, True, [])
    assert list(well.json["findings"][0]) == ["name", "state", "detail", "fix", "latency_ms", "system"]
    assert (quiet := aura("doctor", "-q", env=small.env)).exit == 0
    assert quiet.out + quiet.err == ""
    FAULTS[System.PRIVY][0](small)
    failed = aura("doctor", "--json", env=small.env)
    assert (failed.exit, failed.json["failed"]) == (3, ["privy"])
    assert json.loads(failed.err)["error"]["message"] == "1 system failed: privy"


def test_no_secret_is_told(aura: Aura, small: Stack) -> None:
    """Whatever is wrong, and whatever a service quotes of what it got; with --debug too."""
    for plant, _, _ in FAULTS.values():
        plant(small)
    settings = Settings.load(small.env)
    secrets = {text for text in settings.secret_values() if len(text) >= SHORTEST_SECRET and "://" not in text}
    assert len(secrets) > 50
    for words in ([], ["--json"], ["--debug"]):
        told = aura("doctor", *words, env=small.env)
        assert told.exit == 3
        assert [text for text in secrets if text in told.out + told.err] == []


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal(aura: Aura, small: Stack, columns: int) -> None:
    """Wrapped at any width, plain; what is to be copied (a command, an address) is in one piece."""
    FAULTS[System.STRIPE][0](small)
    env = {**aura.environment, **small.env, "COLUMNS": str(columns)}
    code, shown = on_a_terminal([sys.executable, "-m", "aura_cli", "doctor"], env, aura.work)
    assert code == 3
    assert "\x1b" not in shown
    assert f" {ENDPOINT}" in shown
    table = shown[: shown.index("Error: ")].splitlines()
    assert [line for line in table if len(line) > columns and " " in line[19:] and "fix: " not in line] == []
    assert columns < 200 or max(map(len, table)) > 100


@pytest.mark.parametrize("lacking", ["HOME", "LANG", "PATH"])
def test_where_things_are_missing(aura: Aura, small: Stack, lacking: str) -> None:
    """No home, no UTF-8, nothing on the PATH: it looks all the same."""
    told = aura("doctor", env={**small.env, lacking: "C" if lacking == "LANG" else ""})
    assert (told.exit, told.err) == (0, "")


def test_a_reader_who_has_read_enough(aura: Aura, small: Stack) -> None:
    """`| head -1` breaks nothing: the exit code tells all the same."""
    FAULTS[System.PRIVY][0](small)
    command = f"{sys.executable} -m aura_cli doctor | head -1; exit ${{PIPESTATUS[0]}}"
    env = {**aura.environment, **small.env}
    done = subprocess.run(["bash", "-c", command], env=env, cwd=aura.work, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (3, 1)
    assert done.stderr.startswith("Error: 1 system failed: privy\n")


def test_only_some_systems(aura: Aura, small: Stack) -> None:
    """The others are not looked at; a name that is none is exit 2 with what was meant."""
    told = aura("doctor", "--only", "privy, vault", "--json", env=small.env)
    assert {one["system"] for one in told.json["findings"]} == {"privy", "vault"}
    assert [one.system for one in small.examine(System.CLOCK).findings] == ["clock"]
    wrong = aura("doctor", "--only", "strip", env=small.env)
    assert (wrong.exit, wrong.out) == (2, "")
    assert "Did you mean stripe?" in wrong.err


def test_what_was_left_out_is_told_with_its_reason(aura: Aura, small: Stack) -> None:
    """Systems that share a reason share its words; where nothing is left that could be looked at, that is said."""
    told = aura("doctor", "--only", "stripe,vercel", "--offline", env=small.env)
    left_out, summary = told.out.splitlines()
    assert (told.exit, left_out) == (0, "Not looked at: stripe, vercel (--offline asks nobody outside this machine)")
    assert summary.startswith("Nothing was looked at, in ")


def test_nothing_is_configured(aura: Aura) -> None:
    """A newcomer: what there is to configure, and no failure; nothing is written, not even a folder."""
    home = aura.work / "no home yet"
    told = aura("doctor", env={"AURA_HOME": str(home)})
    assert (told.exit, home.exists()) == (0, False), told
    assert "Not configured: database (DATABASE_URL; the embedded database is empty), stripe (STRIPE_SECRET_KEY)" in told.out


def test_a_database_that_is_not_there(aura: Aura) -> None:
    """A file that was never made, or is elsewhere: it is said, and not made."""
    file = aura.work / "aura.db"
    told = aura("doctor", "--only", "database", "--json", env={"DATABASE_URL": f"sqlite:///{file}"})
    assert (told.exit, told.json["failed"], file.exists()) == (3, ["database"], False)
    (found,) = told.json["findings"]
    assert (found["detail"], found["fix"]) == (f"the database is not there: {file}", "aura db upgrade")


def test_a_database_is_left_as_it_is(aura: Aura, migrated: None, sqlite_database: str) -> None:
    """Not even its journal becomes another: somebody may copy that file, or have it on a disk that cannot keep another."""
    file = Path(sqlite_database.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    before = file.read_bytes()
    told = aura("doctor", "--only", "database,webhooks,connections,vault", env={"DATABASE_URL": sqlite_database})
    assert "writable" in told.out, told
    assert ([one.name for one in file.parent.glob(f"{file.name}*")], file.read_bytes() == before) == ([file.name], True)


def test_what_to_paste_is_of_the_environment_that_was_looked_at(aura: Aura) -> None:
    """With --env or --env-file each command of ours has them, too; another's has not."""
    file = aura.work / "of mine.env"
    file.write_text(f"DATABASE_URL=sqlite:///{aura.work / 'aura.db'}\nNEXT_PUBLIC_APP_URL=https://127.0.0.1:{free_port()}\n")
    file.chmod(0o600)
    told = aura("doctor", "--only", "database,tls", "--env", "staging", "--env-file", file.name)
    assert told.exit == 3
    assert "fix: aura --env staging --env-file 'of mine.env' db upgrade\n" in told.out
    assert "fix: curl -sSI https://127.0.0.1" in told.out
    assert "Look again: aura --env staging --env-file 'of mine.env' doctor --only database,tls\n" in told.err


def test_a_clock_that_is_wrong(small: Stack) -> None:
    """Ten minutes off: this machine's, say all who were asked; two minutes are worth a look."""
    ((state, detail, fix),) = [(one.state, one.detail, one.fix) for one in small.examine(ahead=timedelta(minutes=-10)).findings if one.fix]
    assert (state, fix) == (State.FAIL, "sudo timedatectl set-ntp true")
    assert detail.startswith("this machine's clock is 10 min slow, say ")
    assert "Stripe" in detail
    assert small.troubles(ahead=timedelta(minutes=2)) == {"clock": "warn"}


def test_kent_takes_what_sentry_is_asked(kent: Kent, small: Stack) -> None:  # noqa: F811
    """A Sentry that others wrote accepts the envelope, and has no event of it."""
    assert small.troubles(System.SENTRY, env={"NEXT_PUBLIC_SENTRY_DSN": kent.dsn}) == {}
    assert kent.received() == []
