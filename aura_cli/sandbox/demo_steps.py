"""The tour's steps: the commands that a person would type, each a process of its own, with its real output."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aura_cli.console import Console
from aura_cli.errors import AuraError
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
        self.console.emit(f"\n# {why}\n$ aura {shlex.join(words)}")
        done = self._run(words)
        lines = (done.stderr + done.stdout).splitlines()
        shown = lines if len(lines) <= LINES else [*lines[: LINES - 6], f"… {len(lines) - LINES} more lines …", *lines[-6:]]
        for line in shown:
            self.console.emit(f"  {line}")
        if done.returncode != exits or shows not in done.stdout:
            raise AuraError(f"The tour broke at: aura {' '.join(words)}: exit {done.returncode}, expected {exits} and {shows!r}")
        return done.stdout

    def ask(self, *words: str) -> Any:
        """A command's JSON, not shown: what the tour itself checks."""
        return json.loads(self._run((*words, "--json")).stdout)

    @property
    def environment(self) -> dict[str, str]:
        """All that its commands see of the environment."""
        itself = str(Path(__file__).parents[2])  # the same program, wherever it was started from
        return {**foreign_environment(), **self.variables, "COLUMNS": "120", "PYTHONUTF8": "1", "PYTHONPATH": itself}

    def _run(self, words: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 (this program)
            [sys.executable, "-m", "aura_cli", *words],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
