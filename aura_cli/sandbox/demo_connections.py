"""The tour's last part: a provider is connected, and the power fails just when it has given a new token for the old one."""

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx

from aura_cli.errors import AuraError
from aura_cli.integrations.spool import DRAFT, FOLDER
from aura_cli.sandbox.demo_steps import Tour
from aura_cli.sandbox.population import Person

PROVIDER = "github"  # each of its refresh tokens is good once
PATIENCE = 30.0  # seconds for a process to come to where it is waited for
_SLOWLY = 1.0  # seconds that the provider takes to answer, so that there is time to come between


def tour(going: Tour, base: str, person: Person) -> None:
    """Connect `person` at the stand-in at `base`. Raises AuraError at the first step that is not what it must be."""
    who = person.email or person.uuid
    with httpx.Client(base_url=base, trust_env=False) as browser:
        _connect(going, browser, who)
        going.step("Their connections.", "integrations", "list", who, shows=PROVIDER)
        going.console.emit(
            "\n# GitHub gives a new refresh token for each old one, which is then worth nothing. Its answer arrives,\n"
            "# but the database is busy, and now the power fails: kill -9."
        )
        _lose_power(going, browser, who)
        going.step("Power is back: what had arrived was on the disk.", "integrations", "refresh", who, shows="1 stored")
        going.step("Is the connection well? The provider says.", "integrations", "verify", who, shows="good")
        going.step("And the new token can be renewed again.", "integrations", "refresh", who, "--force", shows="1 refreshed")
        going.step(
            "The end: revoked at the provider, deleted here.", "integrations", "disconnect", PROVIDER, "--user", who, shows="revoked"
        )


def _connect(going: Tour, browser: httpx.Client, who: str) -> None:
    """Consent as a person would: open the printed address, press Allow, land on our page."""
    why = "Somebody connects GitHub: consent in a browser, whose part the tour plays."
    with _running(going, why, "connect", PROVIDER, "--user", who, "--no-browser") as process:
        assert process.stderr
        address = ""
        for line in process.stderr:
            going.console.emit(f"  {line.rstrip()}")
            if found := re.match(r"\s*(http://\S+)$", line):
                address = found[1]
                break
        sent = browser.post(address, data={"decision": "allow"}) if address else None
        if sent is None or "location" not in sent.headers:
            raise AuraError("The tour broke: no consent was asked for")
        browser.get(sent.headers["location"])
        out, err = process.communicate(timeout=PATIENCE)
        for line in (err + out).splitlines():
            going.console.emit(f"  {line}")
        if process.returncode:
            raise AuraError(f"The tour broke: connecting ended with exit {process.returncode}")


def _lose_power(going: Tour, browser: httpx.Client, who: str) -> None:
    """Refresh, hold the database as soon as the provider was asked, and kill the refresh once the answer is on the disk."""
    spool, database = going.home / FOLDER, going.variables["DATABASE_URL"].removeprefix("sqlite:///")
    browser.post(
        "/_sandbox/mishaps", json={"provider": PROVIDER, "request": "refresh", "kind": "slow", "value": _SLOWLY}
    ).raise_for_status()
    with _running(going, "", "refresh", who, "--force") as process, closing(sqlite3.connect(database, isolation_level=None)) as other:
        _await(lambda: any(one["request"] == "refresh" for one in browser.get("/_sandbox/requests").json()), "the provider was not asked")
        other.execute("BEGIN IMMEDIATE")
        _await(lambda: _answers(spool), "the answer did not reach the disk")
        process.kill()
        process.wait(PATIENCE)
        other.execute("ROLLBACK")


def _answers(spool: Path) -> bool:
    return spool.is_dir() and any(path.suffix != DRAFT for path in spool.iterdir())


def _await(arrived: Callable[[], bool], otherwise: str) -> None:
    late = time.monotonic() + PATIENCE
    while not arrived():
        if time.monotonic() > late:
            raise AuraError(f"The tour broke: {otherwise}")
        time.sleep(0.02)


@contextmanager
def _running(going: Tour, why: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command of `aura integrations` in a process of its own, told of like every step."""
    going.console.emit((f"\n# {why}\n" if why else "") + f"$ aura integrations {' '.join(words)}")
    with subprocess.Popen(  # noqa: S603 (this program)
        [sys.executable, "-m", "aura_cli", "integrations", *words],
        env=going.environment,
        cwd=going.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
