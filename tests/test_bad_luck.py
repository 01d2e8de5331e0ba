"""Surroundings that nobody wishes for: no UTF-8, 40 columns, no home or one that is read-only, streams that are closed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from tests.parts.program import Aura
from tests.parts.sampling import sample
from tests.parts.terminal import on_a_terminal

ASCII = {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LOOKS = (  # commands that look and change nothing
    "users list",
    "subscriptions list",
    "subscriptions stats",
    "integrations providers",
    "integrations providers slack",
    "email templates",
    "cron list",
    "doctor --offline",
    "status",
    "db status",
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Aura, Mapping[str, str]]]:
    """A small sandbox that runs, and its environment."""
    aura = Aura(tmp_path_factory.mktemp("luck"))
    for name in ("home", "data", "work"):
        (aura.directory / name).mkdir()
    with aura.start("sandbox", "--users", "30", "--json") as process:
        assert process.stdout
        yield aura, json.loads(process.stdout.readline())["env"]
        process.terminate()


@pytest.mark.parametrize("words", sample(LOOKS, 5))
def test_no_utf_8(sandbox: tuple[Aura, Mapping[str, str]], words: str) -> None:
    """In the C locale nothing breaks off: a character that the terminal lacks becomes a mark, and the exit code is the same."""
    aura, env = sandbox
    usual = aura(*words.split(), env=env)
    poor = {**aura.environment, **env, **ASCII}
    done = subprocess.run([sys.executable, "-m", "aura_cli", *words.split()], cwd=aura.work, env=poor, capture_output=True, check=False)
    assert done.returncode == usual.exit, done.stderr
    assert done.stdout.isascii()
    assert b"Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == len(usual.out.splitlines())


@pytest.mark.parametrize(("columns", "lines"), [(40, 24), (80, 24), (200, 50)])
@pytest.mark.parametrize("words", sample(LOOKS, 5))
def test_narrow_and_wide(sandbox: tuple[Aura, Mapping[str, str]], words: str, columns: int, lines: int) -> None:
    """However wide the terminal: tables leave out what has no room, no line of theirs is wider, the exit code is what it is."""
    aura, env = sandbox
    usual = aura(*words.split(), env=env)
    size = {**aura.environment, **env, "COLUMNS": str(columns), "LINES": str(lines)}
    code, shown = on_a_terminal([sys.executable, "-m", "aura_cli", *words.split()], size, aura.work, timeout=60)
    assert code == usual.exit
    if words.endswith("list"):
        tables = [line for line in shown.splitlines() if line.startswith(("id", "subscription", " ─", "─"))]
        assert all(len(line) <= columns for line in tables)


@pytest.mark.parametrize("home", ["", "/nonexistent"])
def test_no_home(aura: Aura, home: str) -> None:
    """Without a home directory, or with one that is not there, the embedded database finds another place, or a line says which."""
    env = {"HOME": home, "AURA_HOME": "", "XDG_DATA_HOME": "", "TMPDIR": str(aura.work), "USERPROFILE": ""}
    for words in ("--version", "users --help", "integrations providers", "completions show bash"):
        assert aura(*words.split(), env=env).exit == 0, words
    done = aura("db", "upgrade", env=env)
    assert done.exit in (0, 4), done.err
    assert "Traceback" not in done.err


def test_a_home_that_cannot_be_written(aura: Aura) -> None:
    """Looking works; a command that must write there says so in a line (4), names the place, and leaves nothing."""
    (aura.work / "file").touch()
    env = {"AURA_HOME": str(aura.work / "file" / "data"), "HOME": str(aura.work / "file")}
    assert aura("integrations", "providers", env=env).exit == 0
    assert aura("email", "templates", env=env).exit == 0
    for words in ("db upgrade", "completions install fish"):
        done = aura(*words.split(), env=env)
        assert done.exit == 4, done.err
        assert str(aura.work / "file") in done.err


def test_a_read_only_home(aura: Aura) -> None:
    """The same where the folder is there and nobody, root included, can make anything in it."""
    for place in ("/sys", "/proc"):
        done = aura("db", "upgrade", env={"AURA_HOME": f"{place}/aura"})
        assert (done.exit, place in done.err) == (4, True), done.err
        assert aura("users", "list", env={"HOME": place, "AURA_HOME": ""}).exit == 4


@pytest.mark.parametrize("words", sample(LOOKS, 4))
@pytest.mark.parametrize("redirect", ["<&-", ">&-", "| head -c 1 >/dev/null"])
def test_streams_that_are_gone(sandbox: tuple[Aura, Mapping[str, str]], words: str, redirect: str) -> None:
    """Standard input or output closed, or a reader who leaves: the exit code is what was found, and nobody hears of a broken pipe."""
    aura, env = sandbox
    usual = aura(*words.split(), env=env)
    line = f"{sys.executable} -m aura_cli {words} {redirect}; exit ${{PIPESTATUS[0]}}"
    everything = {**aura.environment, **env}
    done = subprocess.run(["bash", "-c", line], cwd=aura.work, env=everything, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == usual.exit, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Broken pipe" not in done.stderr


ELSEWHERE = """
import os, sys
for name in "getuid geteuid getgid getegid fchown chown fork mkfifo getpgid setsid killpg getlogin".split():
    if hasattr(os, name): delattr(os, name)
sys.modules.update(dict.fromkeys("fcntl pwd grp termios tty pty resource curses readline".split()))
from aura_cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def test_where_posix_ends(aura: Aura) -> None:
    """What only POSIX has is not needed to start, to read a `.env` file, to work on the embedded database, and to install completion."""
    (aura.work / ".env.local").write_text("AURA_ENV=development\nDATABASE_URL=sqlite:///mine.db\n")
    (aura.work / ".env.local").chmod(0o666)  # as every file is on Windows
    env = {**aura.environment, "HOME": "", "USERPROFILE": str(aura.directory / "home"), "AURA_HOME": ""}
    for words in (
        "--help",
        "db upgrade",
        "users list",
        "integrations providers slack",
        "completions install powershell",
        "doctor --offline",
    ):
        command = [sys.executable, "-c", ELSEWHERE, *words.split()]
        done = subprocess.run(command, cwd=aura.work, env=env, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), (words, done.stderr)
    assert (aura.directory / "home" / ".config" / "powershell" / "aura.ps1").is_file()
