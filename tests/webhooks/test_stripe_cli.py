"""The Stripe CLI as a child, played by a script of its name: found, asked for its secret, started, ended."""

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aura_cli.errors import ConfigurationError
from aura_cli.settings import Settings
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.stripe_cli import StripeCli
from tests.parts.waiting import until

KEY = "sk_test_sandbox_cli"
SCRIPT = """#!{python}
import json, os, pathlib, signal, sys, time
notes = pathlib.Path(__file__).with_suffix(".log")
with notes.open("a") as file:
    file.write(json.dumps({{"args": sys.argv[1:], "key": os.environ.get("STRIPE_API_KEY"), "pid": os.getpid()}}) + "\\n")
if "--print-secret" in sys.argv:
    {secret}
    sys.exit()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sys.stderr.write("Ready! You are using Stripe API Version\\n")
sys.stderr.flush()
{then}
"""
WAIT, LEAVE, STUBBORN = "time.sleep(60)", "sys.exit(3)", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`install(…)` puts a `stripe` on the PATH and gives its notes."""

    def put(then: str = WAIT, secret: str = "print('whsec_fromthecli')") -> Path:
        program = tmp_path / "stripe"
        program.write_text(SCRIPT.format(python=sys.executable, then=then, secret=secret))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program.with_suffix(".log")

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    return put


def settings(tmp_path: Path, key: str = KEY) -> Settings:
    return Settings.load({"STRIPE_SECRET_KEY": key}, tmp_path)


def gone(process: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_listens_for_as_long_as_we_do(tmp_path: Path, install: Callable[..., Path]) -> None:
    """It is asked for the secret, then forwards the handled events; its key is in its environment, never on its command line."""
    notes = install()
    cli = StripeCli.find(settings(tmp_path))
    assert cli.secret() == "whsec_fromthecli"
    said: list[str] = []
    with cli.forwarding("http://127.0.0.1:8787/hook", said.append):
        until(lambda: bool(said))
        asked, listening = map(json.loads, notes.read_text().splitlines())
        assert not gone(listening["pid"])
    assert gone(listening["pid"])
    assert said == ["stripe: Ready! You are using Stripe API Version"]
    assert asked["args"] == ["listen", "--print-secret"]
    assert listening["args"] == ["listen", "--forward-to", "http://127.0.0.1:8787/hook", "--events", ",".join(HANDLED)]
    assert asked["key"] == listening["key"] == KEY
    assert KEY not in repr(cli)


def test_its_own_end_is_told(tmp_path: Path, install: Callable[..., Path]) -> None:
    """Nothing is forwarded any more: the person should know."""
    install(LEAVE)
    said: list[str] = []
    with StripeCli.find(settings(tmp_path)).forwarding("http://127.0.0.1:8787/hook", said.append):
        until(lambda: len(said) == 2)
    assert "ended by itself with 3" in said[1]


def test_one_that_does_not_end_is_killed(tmp_path: Path, install: Callable[..., Path]) -> None:
    """It does not outlive us."""
    notes = install(STUBBORN)
    said: list[str] = []
    with replace(StripeCli.find(settings(tmp_path)), grace=0.3).forwarding("http://127.0.0.1:8787/hook", said.append):
        until(lambda: bool(said))
        time.sleep(0.2)
    assert gone(json.loads(notes.read_text())["pid"])


def test_without_it_there_is_a_hint(tmp_path: Path, install: Callable[..., Path]) -> None:
    """Where to get it, and how to do without."""
    with pytest.raises(ConfigurationError) as refused:
        StripeCli.find(settings(tmp_path))
    assert "tail" in refused.value.hint


def test_live_keys_are_refused(tmp_path: Path, install: Callable[..., Path]) -> None:
    """It is for test mode."""
    install()
    with pytest.raises(ConfigurationError, match="live"):
        StripeCli.find(settings(tmp_path, "sk_live_x"))


@pytest.mark.parametrize("secret", ["print('nothing')", "sys.exit('Invalid API key')"])
def test_no_secret(tmp_path: Path, install: Callable[..., Path], secret: str) -> None:
    """What the CLI said last is passed on."""
    install(secret=secret)
    with pytest.raises(ConfigurationError, match="signing secret"):
        StripeCli.find(settings(tmp_path)).secret()
