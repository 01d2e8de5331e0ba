"""`aura sandbox` and `aura demo`: complete surroundings, nothing left behind, and nothing of the person's own touched."""

import json
import os
import pty
import signal
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, Addresses, environment
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.run import STAND_INS
from tests.parts.books import NOW, opened
from tests.parts.program import Aura
from tests.parts.sampling import sample

SMALL = ("sandbox", "--users", "30")


class Canary(socketserver.ThreadingTCPServer):
    """A server that nobody may talk to: it only counts who comes."""

    daemon_threads = True

    def __init__(self) -> None:
        self.visits = 0
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def process_request(self, request: object, client_address: object) -> None:
        self.visits += 1
        request.close()  # type: ignore[attr-defined]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def canary() -> Iterator[Canary]:
    with Canary() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def temporary(aura: Aura) -> dict[str, str]:
    """A temporary folder of the test's own, so that leftovers show."""
    folder = aura.directory / "temporary"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


def left_behind(aura: Aura) -> list[str]:
    return [str(path.relative_to(aura.directory)) for name in ("temporary", "data", "home") for path in (aura.directory / name).rglob("*")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_it_runs_until_it_is_stopped(aura: Aura, number: signal.Signals, code: int) -> None:
    """One line of JSON at once, with all that a process needs; it serves; a signal ends it and everything it made."""
    process = aura.start(*SMALL, "--json", env=temporary(aura))
    assert process.stdout
    said = json.loads(process.stdout.readline())
    variables = said["env"]
    assert said["stand_ins"] == {name: said["stand_ins"][name] for name in STAND_INS}
    assert said["stand_ins"]["stripe"] == variables["STRIPE_API_BASE"]
    assert variables.keys() == environment(Addresses("", ""), Path(), "").keys()
    headers = {"Authorization": f"Bearer {STRIPE_SECRET_KEY}"}
    assert httpx.get(f"{variables['STRIPE_API_BASE']}/v1/account", headers=headers, trust_env=False).status_code == 200
    assert aura("subscriptions", "reconcile", "-q", env=variables).exit == 3
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, "", "The sandbox is closed; everything in it is gone.\n")
    assert left_behind(aura) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(variables["STRIPE_API_BASE"], trust_env=False)


def test_the_environment_can_be_taken_over_by_a_shell(aura: Aura) -> None:
    """Without --json: lines of `export` on standard output, a word to the person on standard error, and where each stand-in listens."""
    process = aura.start(*SMALL, "--users", "0", env=temporary(aura))
    assert process.stdout
    lines = [process.stdout.readline() for _ in environment(Addresses("", ""), Path(), "")]
    shell = subprocess.run(["sh", "-c", "".join(lines) + "\nenv"], capture_output=True, text=True, check=True, env={})
    assert "AURA_ENV=sandbox" in shell.stdout.splitlines()
    process.terminate()
    told = process.communicate(timeout=20)[1]
    assert "people is running" in told
    assert [name for name in STAND_INS.values() if f"  {name} " not in told] == []


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_a_command_s_exit_code_is_the_sandbox_s(aura: Aura, script: str, code: int) -> None:
    """128 + n for signal n, as a shell says it; nothing is left behind whatever the command did."""
    assert aura(*SMALL, "--users", "0", "--", "sh", "-c", script, env=temporary(aura)).exit == code
    assert left_behind(aura) == []


def test_a_command_that_is_not_there(aura: Aura) -> None:
    """A usage error that names it."""
    done = aura(*SMALL, "--users", "0", "--", "no-such-command", env=temporary(aura))
    assert done.exit == 2
    assert "no-such-command" in done.err
    assert left_behind(aura) == []


def test_a_command_sees_the_whole_environment_and_nothing_of_ours(aura: Aura) -> None:
    """The sandbox's variables replace those of the process; other settings and credentials stay out; the rest comes along."""
    mine = {
        "STRIPE_SECRET_KEY": "sk_live_canary0000000000",
        "DATABASE_URL": "postgresql://canary@127.0.0.1/canary",
        "SLACK_CLIENT_SECRET": "canary",
        "AURA_PROVIDERS_DIR": "/canary",
        "EDITOR": "ed",
    }
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = aura(*SMALL, "--users", "0", "--", sys.executable, "-c", script, env={**temporary(aura), **mine}).json
    assert seen["EDITOR"] == "ed"
    assert not [name for name, value in seen.items() if "canary" in value]
    assert seen.keys() >= environment(Addresses("", ""), Path(), "").keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_command(aura: Aura, number: signal.Signals) -> None:
    """It may finish in its own way, and its exit code is the answer."""
    script = f"import signal, sys, time\nsignal.signal({int(number)}, lambda *_: sys.exit(7))\nprint('ready', flush=True)\ntime.sleep(60)"
    process = aura.start(*SMALL, "--users", "0", "--", sys.executable, "-c", script, env=temporary(aura))
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 7
    assert left_behind(aura) == []


def test_ctrl_c_reaches_the_command_once(aura: Aura) -> None:
    """The terminal sends it to every process in the foreground: the sandbox does not send it again."""
    script = (
        "import signal, sys, time\n"
        "heard = []\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
        "print('ready', flush=True)\n"
        "while not heard: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "sys.exit(len(heard))"
    )
    leader, follower = pty.openpty()
    terminal = "import os, sys; [os.dup2(os.open(sys.argv[1], os.O_RDWR), n) for n in (0, 1, 2)]; os.execv(sys.argv[2], sys.argv[2:])"
    command = [sys.executable, "-m", "aura_cli", *SMALL, "--users", "0", "--", sys.executable, "-c", script]
    started = [sys.executable, "-c", terminal, os.ttyname(follower), *command]  # whose own session takes the terminal that it opens
    with subprocess.Popen(started, env={**aura.environment, **temporary(aura)}, start_new_session=True) as process:
        seen = b""
        while b"ready" not in seen:
            seen += os.read(leader, 1024)
        os.write(leader, b"\x03")
        assert process.wait(20) == 1
    os.close(follower)
    os.close(leader)


def test_what_belongs_to_the_person_is_not_touched(aura: Aura) -> None:
    """A `.env.local` beside and variables around that name another database and other services: none is opened, asked or written."""
    with canary() as server:
        file = aura.work / "canary.db"
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE users (id TEXT)")
        database.close()
        before = (file.read_bytes(), file.stat().st_atime_ns, file.stat().st_mtime_ns)
        mine = {
            "DATABASE_URL": f"sqlite:///{file}",
            "STRIPE_SECRET_KEY": "sk_test_canary00000000000000",
            "STRIPE_API_BASE": f"http://{server.address}",
            "PRIVY_API_BASE": f"http://{server.address}",
            "PRIVY_APP_SECRET": "canary-secret",
            "NEXT_PUBLIC_PRIVY_APP_ID": "canaryapp",
            "NEXT_PUBLIC_SENTRY_DSN": f"http://key@{server.address}/1",
            "AURA_HOME": str(aura.directory / "canary-home"),
        }
        (aura.work / ".env.local").write_text("".join(f"{name}={value}\n" for name, value in mine.items()))
        (aura.work / ".env.local").chmod(0o600)
        around = {**temporary(aura), **mine}
        command = (sys.executable, "-m", "aura_cli", "subscriptions", "reconcile", "--apply", "-q")
        assert aura(*SMALL, "--", *command, env=temporary(aura)).exit == 0  # the file alone
        assert aura("demo", env=around, timeout=240).exit == 0
        assert server.visits == 0
        assert (file.read_bytes(), file.stat().st_atime_ns, file.stat().st_mtime_ns) == before
        assert not (aura.directory / "canary-home").exists()
        assert sorted(path.name for path in aura.work.iterdir() if "canary" not in path.name and path.name != ".env.local") == []
        assert left_behind(aura) == []


@pytest.mark.parametrize(
    "foreign",
    [
        {"STRIPE_SECRET_KEY": "sk_test_canary00000000000000"},
        {"PRIVY_APP_SECRET": "canary-secret"},
        {"OPENAI_API_KEY": "sk-canary"},
        {"DATABASE_URL": "postgresql://user:pass@db.example.com/live"},
        {"DATABASE_URL": "sqlite:////tmp/elsewhere.db"},
    ],
    ids=lambda foreign: next(iter(foreign.values()))[:12],
)
def test_something_foreign_inside_the_sandbox_is_refused(aura: Aura, tmp_path: Path, foreign: dict[str, str]) -> None:
    """AURA_ENV=sandbox with a key or a database from elsewhere: exit 4, before anything is asked."""
    with canary() as server:
        address = f"http://{server.address}"
        variables = {**environment(Addresses(address, address), tmp_path, f"sqlite:///{tmp_path}/aura.db"), **foreign}
        done = aura("subscriptions", "reconcile", "--apply", "--yes", env=variables)
        assert done.exit == 4, done.err
        assert "sandbox" in done.err
        assert server.visits == 0


@pytest.mark.parametrize(("users", "seed"), sample([(20, 1), (20, 7), (500, 7), (500, 2), (900, 11), (5_000, 7)], 2, seed=4))
def test_the_stand_ins_and_the_database_agree(database_url: str, tmp_path: Path, users: int, seed: int) -> None:
    """What was planted is found, all of it can be repaired, and nothing else differs."""
    with opened(database_url, build(users, seed, NOW), tmp_path, drift=True) as books:
        planned = books.plan()
        assert planned.counts
        result = books.apply(planned, limit=None)
        assert (result.left, result.skipped) == (0, 0)
        assert books.found() == []


def test_a_killed_sandbox_leaves_no_process(aura: Aura) -> None:
    """kill -9 cannot be heard; the stand-ins live in the same process and go with it."""
    process = aura.start(*SMALL, "--users", "0", "--json", env=temporary(aura))
    assert process.stdout
    base = json.loads(process.stdout.readline())["env"]["STRIPE_API_BASE"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait(20)
    time.sleep(0.1)
    with pytest.raises(httpx.ConnectError):
        httpx.get(base, trust_env=False)
