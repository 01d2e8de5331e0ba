"""Running the real program as a person's shell would, knowing nothing of the machine it runs on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.parts.sampling import WHOLE
from tests.parts.warm import Forked, Warm

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Completed:
    """One finished run: exit code (negative: the signal that ended it), standard output and standard error."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)


@dataclass
class Aura:
    """`aura(*args)` runs the program to its end; `aura.start(*args)` leaves it running until the test ends.

    It sees an empty home, an empty data directory and an empty working directory, all under `directory`, and no other
    environment than what `env` adds; its standard input is `input`, or nothing. Unless it is to be `fresh` it is forked off a
    process that has imported what others wrote.
    """

    directory: Path
    fresh: bool = WHOLE
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """The working directory, for a test that puts a `.env` file there."""
        return self.directory / "work"

    @property
    def environment(self) -> dict[str, str]:
        """All that the program sees of the environment."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.directory / "home"),
            "AURA_HOME": str(self.directory / "data"),
            "TERM": "dumb",
            "COLUMNS": "100",
            "LANG": "C.UTF-8",
        }

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Completed:
        """Run to the end. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        with self._process(args, env, cwd, subprocess.DEVNULL if input is None else subprocess.PIPE) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        return Completed(process.returncode, out, err)

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start it and return at once; standard output and error are pipes. Whatever still runs when the test ends is killed."""
        self.started.append(self._process(args, env, cwd, stdin))
        return self.started[-1]

    def _process(self, arguments: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, stdin: int) -> "subprocess.Popen[str]":
        environment = {**self.environment, **(env or {})}
        how: dict[str, Any] = {"cwd": cwd or self.work, "env": environment, "stdin": stdin, "stdout": subprocess.PIPE}
        how |= {"stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        if not self.fresh and _warm().takes(arguments, environment):
            return Forked(_warm(), arguments, **how)
        return subprocess.Popen([sys.executable, "-m", "aura_cli", *arguments], **how)


@cache
def _warm() -> Warm:
    """The process that runs are forked off, one for each worker."""
    return Warm(Aura(Path("/")).environment)


@pytest.fixture
def aura(tmp_path: Path) -> Iterator[Aura]:
    """The real program, in an environment that holds nothing of this machine's."""
    program = Aura(tmp_path)
    for name in ("home", "data", "work"):
        (tmp_path / name).mkdir()
    yield program
    for process in program.started:
        with process:  # closes its pipes
            process.kill()
