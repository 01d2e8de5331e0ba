"""The program as a whole: options anywhere, errors as exit codes, signals, closed pipes, and a start that loads little."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from aura_cli import __version__
from aura_cli.app import COMMANDS, split_arguments
from aura_cli.db.migrate import HEAD
from aura_cli.errors import UsageError
from tests.parts.program import Aura
from tests.parts.terminal import on_a_terminal

HEAVY = {
    "sqlalchemy",
    "alembic",
    "httpx",
    "psycopg",
    "rich",
    "aiohttp",
    "msgspec",
    "sentry_sdk",
    "cryptography",
    "jwt",
    "pydantic",
    "asyncio",
}


def imported(*args: str, tmp_path: Path) -> set[str]:
    """The modules that a command line loads, by their full names."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aura_cli", *args],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parents[1]), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_version_loads_nothing(tmp_path: Path) -> None:
    """`--version` and `-V` answer before anything of the program is loaded, Typer included."""
    for option in ("--version", "-V"):
        modules = imported(option, tmp_path=tmp_path)
        assert {name for name in modules if name.startswith("aura_cli")} <= {"aura_cli", "aura_cli.__main__"}
        assert not modules & {"typer", "dataclasses", "logging", "re", "json"}


def test_help_loads_no_room(tmp_path: Path) -> None:
    """The help of the program imports no command module, and that of a group only its own; neither anything heavy."""
    modules = imported("--help", tmp_path=tmp_path)
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("aura_cli.") and name.count(".") > 1}
    for group in COMMANDS:
        modules = imported(group, "--help", tmp_path=tmp_path)
        assert not modules & HEAVY, group


def test_version_among_others(aura: Aura) -> None:
    """The version is told wherever it is asked for."""
    for words in (["--version"], ["-V"], ["--json", "--version"]):
        done = aura(*words)
        assert (done.exit, done.out, done.err) == (0, f"aura {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        (["db", "status"], {}, ["db", "status"]),
        (["--json", "db", "-q", "status", "--debug"], {"as_json": True, "quiet": True, "debug": True}, ["db", "status"]),
        (["db", "-yn"], {"yes": True, "dry_run": True}, ["db"]),
        (["db", "--env", "staging"], {"environment": "staging"}, ["db"]),
        (["--env=staging", "db"], {"environment": "staging"}, ["db"]),
        (["--env-file=a=b", "db"], {"env_file": "a=b"}, ["db"]),
        (["sandbox", "-q", "--", "cmd", "--json", "-n"], {"quiet": True}, ["sandbox", "--", "cmd", "--json", "-n"]),
        (["x", "-", "--yesterday", "-x", "-nope"], {}, ["x", "-", "--yesterday", "-x", "-nope"]),
        ([], {}, []),
    ],
)
def test_global_options_anywhere(words: list[str], options: dict[str, object], rest: list[str]) -> None:
    """They count before and after the verb, and never behind `--`."""
    found = split_arguments(words)
    assert (found.options, found.rest) == (options, rest)


@pytest.mark.parametrize("words", [["--env"], ["--env="], ["db", "--env-file"], ["--env", "--json"]])
def test_options_without_a_value(words: list[str]) -> None:
    """A value that is missing is usage."""
    with pytest.raises(UsageError, match="needs a value"):
        split_arguments(words)


@pytest.mark.parametrize("words", [["nope"], ["db", "nope"], ["db", "status", "--nope"], ["db", "status", "extra"], ["apply"], ["--env"]])
def test_usage_errors(aura: Aura, words: list[str]) -> None:
    """They end with 2: words and a next step on stderr, with --json one object there; stdout stays empty."""
    if words == ["nope"]:
        done = aura(*words)
        assert (done.exit, done.out) == (2, "")
        assert done.err == "Error: No such command 'nope'.\n  See: aura --help\n"
        assert "Did you mean 'users'?" in aura("user", "list").err
    done = aura("--json", *words)
    assert (done.exit, done.out) == (2, "")
    assert json.loads(done.err)["error"]["kind"] == "usage"


def test_help_without_a_command(aura: Aura) -> None:
    """Called with nothing, the program and its groups show their help and end with 2."""
    for words in ([], ["db"]):
        done = aura(*words)
        assert done.exit == 2
        assert done.out.startswith("Usage: aura")


def test_a_configuration_error(aura: Aura) -> None:
    """An error of ours is a message and a hint, as one object with --json; --debug shows where, without the secret."""
    env = {"DATABASE_URL": "postgresql://u:pass-w0rd@127.0.0.1:1/db"}
    done = aura("db", "status", env=env)
    assert (done.exit, done.out) == (8, "")
    assert done.err.splitlines()[-1] == "  Trying again is safe"
    error = json.loads(aura("db", "status", "--json", env=env).err)["error"]
    assert set(error) == {"kind", "message", "hint"}
    assert error["kind"] == "unreachable"
    done = aura("db", "status", "--debug", env=env)
    assert done.exit == 8
    assert "Traceback" in done.err
    assert "pass-w0rd" not in done.err


def test_a_bug_is_told_as_one(aura: Aura) -> None:
    """What nobody foresaw ends with 1, in a line; --debug shows where."""
    script = (
        "import sys; from aura_cli import app; app.Root.table['boom'] = 'json:loads'; import json\n"
        "def loads(): raise KeyError('sk_test_abcdefgh')\n"
        "json.loads = loads; sys.exit(app.run(sys.argv[1:]))"
    )
    for debug in (False, True):
        command = [sys.executable, "-c", script, "boom", *["--debug"] * debug]
        done = subprocess.run(command, cwd=aura.work, env=aura.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Error: Unforeseen: KeyError: 'sk_test_****'" in done.stderr
        assert ("Traceback" in done.stderr) is debug
        assert "abcdefgh" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(aura: Aura, postgres_database: str, number: int, code: int) -> None:
    """SIGTERM and SIGINT stop a command at a safe point: here an upgrade that waits for another one; nothing is left of it."""
    assert aura("db", "upgrade", env={"DATABASE_URL": postgres_database}).exit == 0
    with psycopg.connect(postgres_database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [0x61757261])
        process = aura.start("db", "upgrade", env={"DATABASE_URL": postgres_database})
        deadline = time.monotonic() + 20
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
        while holder.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert "safe point" in err
    assert "Traceback" not in err


def test_helps_are_written_for_people(aura: Aura) -> None:
    """No type of the parser's where something is to be typed, and no line cut off, however narrow the terminal."""
    for words in (("users",), ("users", "sync"), ("sandbox",), ("subscriptions", "reconcile"), ("balance", "grant")):
        text = aura(*words, "--help", env={"COLUMNS": "60", "TERMINAL_WIDTH": "60"}).out
        assert not re.search(r"<(int|float|str)\b", text), words
        assert not re.search(r"\w\.\.\.$", text, re.MULTILINE), words


def test_a_closed_pipe_is_quiet(aura: Aura) -> None:
    """`aura … | head` ends with 0 and without a word; so does a reader of stderr that leaves."""
    for redirect in ("| true", "2>&1 | true", "2>/dev/full | cat >/dev/null"):
        command = f"set -o pipefail; sleep 0.1; {sys.executable} -m aura_cli --help {redirect}; echo ${{PIPESTATUS[0]}} >&2"
        done = subprocess.run(["bash", "-c", command], cwd=aura.work, env=aura.environment, capture_output=True, text=True, check=False)
        assert done.stderr.strip() == "0", redirect


def test_a_reader_who_has_read_enough_changes_no_exit_code(aura: Aura) -> None:
    """What was found is known by then: a check that failed ends with 3, whoever reads it."""
    read, write = os.pipe()
    os.close(read)
    command, env = [sys.executable, "-m", "aura_cli", "db", "check"], {**aura.environment, "DATABASE_URL": f"sqlite:///{aura.work}/x.db"}
    done = subprocess.run(command, cwd=aura.work, env=env, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_full_disk(aura: Aura) -> None:
    """A result that cannot be written is told as such (8)."""
    command = f"{sys.executable} -m aura_cli db upgrade >/dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=aura.work, env=aura.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert "no room to write" in done.stderr


def test_streams_that_the_caller_closed(aura: Aura) -> None:
    """Closed stdin, stdout and stderr (`<&- >&- 2>&-`) are no reason to fail."""
    for redirect in ("2>&-", "<&- >&- 2>&-"):
        command = f"{sys.executable} -m aura_cli db upgrade {redirect}"
        done = subprocess.run(["bash", "-c", command], cwd=aura.work, env=aura.environment, capture_output=True, check=False)
        assert done.returncode == 0, redirect
        assert b"Traceback" not in done.stderr


def test_a_working_directory_that_is_gone(aura: Aura) -> None:
    """It is configuration, not a bug."""
    command = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m aura_cli db status"
    done = subprocess.run(["bash", "-c", command], cwd=aura.work, env=aura.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "working directory" in done.stderr


PRODUCTION = {"AURA_ENV": "production"}


def test_production_asks_first(aura: Aura) -> None:
    """Without a terminal and without --yes a write to production is a conflict (6), and nothing is made; a dry run asks nothing."""
    url = f"sqlite:///{aura.directory / 'production.db'}"
    env = {**PRODUCTION, "DATABASE_URL": url}
    done = aura("db", "upgrade", env=env)
    assert (done.exit, done.out) == (6, "")
    assert "production · database production.db · Stripe no key" in done.err
    assert aura("db", "upgrade", "-n", env=env).exit == 0
    assert aura("db", "status", env=env).exit == 4
    assert aura("db", "upgrade", "--yes", env=env).exit == 0
    assert aura("db", "downgrade", env=env).exit == 6
    assert aura("db", "status", env=env).exit == 0


@pytest.mark.parametrize(("keys", "code"), [("\n", 6), ("y\n", 0), ("\x03", 130)])
def test_production_asks_a_person(aura: Aura, keys: str, code: int) -> None:
    """On a terminal the person is asked, and the answer is no unless it is yes."""
    env = {**aura.environment, **PRODUCTION, "DATABASE_URL": f"sqlite:///{aura.directory / 'production.db'}"}
    found, shown = on_a_terminal([sys.executable, "-m", "aura_cli", "db", "upgrade"], env, aura.work, keys)
    assert found == code, shown
    assert "Write to production? [y/N]" in shown
    assert aura("db", "status", env=env).exit == (0 if code == 0 else 4)


def test_another_environments_keys(aura: Aura) -> None:
    """The first write is remembered; with other settings the next one stops with 4, naming what differs, before a plan is read."""
    env = {"DATABASE_URL": f"sqlite:///{aura.directory / 'x.db'}", "AURA_ENV": "staging"}
    assert aura("db", "upgrade", env=env).exit == 0
    script = (
        "import sys; from aura_cli.runtime import Options, Runtime; from aura_cli.console import Console\n"
        "with Runtime(Options(), Console(yes=True)) as runtime: runtime.authorise(1)"
    )
    for own, code in (({}, 0), ({"AURA_ENV": "development"}, 1)):
        command = [sys.executable, "-c", script]
        full = {**aura.environment, **env, **own}
        done = subprocess.run(command, cwd=aura.work, env=full, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    refused = aura("apply", "nothing", env={**env, "AURA_ENV": "development"})
    assert refused.exit == 4
    assert "environment: bound to staging, configured development" in refused.err
    for words in (("db", "downgrade", "--discard"), ("balance", "grant", "cus_x", "1", "--reason", "test", "-n")):
        assert aura(*words, env={**env, "AURA_ENV": "development"}).exit == 4, words


def test_a_dry_run_changes_no_schema(aura: Aura) -> None:
    """`-n` says what an upgrade or downgrade would do, drops nothing even with --discard, and asks nobody."""
    env = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{aura.directory / 'kept.db'}"}
    assert f"Schema would be brought from nothing to {HEAD}" in aura("db", "upgrade", "-n", env=env).out
    assert aura("db", "upgrade", "--yes", env=env).exit == 0
    done = aura("db", "downgrade", "--discard", "-n", env=env)
    assert (done.exit, done.out) == (0, f"Schema would go back from {HEAD} to {int(HEAD) - 1:04}.\n")
    assert aura("db", "status", env=env).exit == 0
