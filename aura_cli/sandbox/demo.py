"""The tour: what goes wrong between Privy, Stripe and the database, and how it is found and mended.

Every step is the command that a person would type, run as a process of its own, with its real output; and each is held
to what it must find, so that the tour fails loudly where the program does.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aura_cli.console import Console
from aura_cli.errors import AuraError
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.run import Sandbox, fill_database, opened
from aura_cli.settings import foreign_environment

LINES = 30  # of one command's output; the rest is counted


@dataclass(frozen=True)
class Tour:
    """A tour under way: where its commands run, in which environment, and who is told."""

    console: Console
    variables: Mapping[str, str]
    home: Path

    def step(self, why: str, *words: str, exits: int = 0, shows: str = "") -> str:
        """Run one `aura` command and show it. Raises AuraError where it does not exit as it must or lacks `shows`."""
        self.console.emit(f"\n# {why}\n$ aura {' '.join(words)}")
        done = self._run(words)
        lines = (done.stderr + done.stdout).splitlines()
        for line in lines[:LINES]:
            self.console.emit(f"  {line}")
        if len(lines) > LINES:
            self.console.emit(f"  … {len(lines) - LINES} more lines")
        if done.returncode != exits or shows not in done.stdout:
            raise AuraError(f"The tour broke at: aura {' '.join(words)}: exit {done.returncode}, expected {exits} and {shows!r}")
        return done.stdout

    def ask(self, *words: str) -> dict[str, object]:
        """A command's JSON, not shown: what the tour itself checks."""
        found: dict[str, object] = json.loads(self._run((*words, "--json")).stdout)
        return found

    def _run(self, words: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        environment = {**foreign_environment(), **self.variables, "COLUMNS": "120", "PYTHONUTF8": "1"}
        return subprocess.run(  # noqa: S603 (this program)
            [sys.executable, "-m", "aura_cli", *words],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def tour(users: int, seed: int, now: int, console: Console) -> None:
    """The whole tour. Raises AuraError (exit 1) at the first step that is not what it must be."""
    console.emit(f"A sandbox of Stripe and Privy with {users} people, and an empty database; nothing of yours is touched.")
    with opened(Sandbox(users, seed, now), fill=False) as (variables, population, _):
        going = Tour(console, variables, Path(variables["AURA_HOME"]))
        going.step("The database gets its tables.", "db", "upgrade", shows="0002")
        going.step("Everybody who signed in through Privy.", "users", "sync", shows=f"{users:,}")
        planted = fill_database(variables["DATABASE_URL"], population, people=False)
        ways = ", ".join(f"{count} {kind}" for kind, count in sorted(planted.items()))
        console.emit(f"\n# Meanwhile the web app has booked what Stripe told it, and got {len(planted)} things wrong: {ways}.")
        going.step("What is wrong? This only looks.", "subscriptions", "reconcile", exits=3, shows="repair it with --apply")
        _require(going, planted)
        going.step("Repair it: each row only if it still is as it was seen.", "subscriptions", "reconcile", "--apply", shows=" 0 left")
        going.step("And now?", "subscriptions", "reconcile", shows="no drift")
        going.step("What the business looks like.", "subscriptions", "stats", shows="Monthly recurring revenue")
        going.step("One of the people who were locked out.", "users", "show", _payer(population), shows="sub_")
    console.emit("\nThat was the tour: found, shown, repaired, and nothing left. Start with: aura --help")


def _require(going: Tour, planted: Mapping[str, int]) -> None:
    found = going.ask("subscriptions", "reconcile")["counts"]
    if found != dict(sorted(planted.items())):
        raise AuraError(f"The tour broke: planted {dict(sorted(planted.items()))}, found {found}")


def _payer(population: Population) -> str:
    return next(p.email for p in population.people if p.email and p.contracts and p.contracts[-1].status == "active")
