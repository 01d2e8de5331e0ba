"""Starting a real service on loopback in a directory of its own, with nothing left of it afterwards."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import NoReturn

import pytest

from tests.parts import keeper

_ANY = SystemRandom()  # tests of other processes would draw the same

_MEMORY = Path("/dev/shm")

# Database servers refuse to run as root; root runs them as the user that owns nothing.
UNPRIVILEGED = "nobody" if os.geteuid() == 0 else ""


def missing(part: str, package: str) -> NoReturn:
    """Skip the test, naming the part that this machine lacks and the Debian package that brings it; in CI that is a failure."""
    pytest.skip(f"{part} is missing: apt-get install {package}")


def program(name: str, package: str) -> str:
    """The path of an installed program; where it is missing the test is skipped visibly."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")
    return found or missing(name, package)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago, and that no outgoing connection is given.

    Linux gives those 32768 and above: a server that is killed would find its port taken when it comes back, even by a client of its
    own, whose connection may have met itself.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", _ANY.randrange(10_000, 32_768)))
            return int(probe.getsockname()[1])


def service_directory(name: str, *, lasting: bool = True) -> Path:
    """A new directory that the service's user owns, with a path short enough for a Unix socket (107 bytes).

    What need not be `lasting` is in memory, where there is room: making and dropping a database is all files, and ten times as fast there.
    """
    base = _MEMORY if not lasting and _has_room(_MEMORY) else Path(tempfile.gettempdir()).resolve()
    closed = UNPRIVILEGED and any(not parent.stat().st_mode & 0o001 for parent in (base, *base.parents))
    directory = Path(tempfile.mkdtemp(prefix=f"aura-{name}-", dir="/tmp" if closed or len(str(base)) > 60 else base))
    if UNPRIVILEGED:
        shutil.chown(directory, UNPRIVILEGED)
    return directory


def _has_room(memory: Path) -> bool:
    """Whether two gigabytes are free, and programs may be run there (a server's are copied where its user cannot go to them)."""
    if not os.access(memory, os.W_OK):
        return False
    about = os.statvfs(memory)
    return about.f_bavail * about.f_frsize > 2e9 and not about.f_flag & os.ST_NOEXEC


def run_unprivileged(*command: str, cwd: Path) -> None:
    """Run a command to its end as the user that services run as; raises with its output if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **keeper.identity(UNPRIVILEGED))  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")


@contextmanager
def running(command: list[str], directory: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """`command` runs inside the block, once `ready()` is true; afterwards it and `directory` are gone, even if this process is killed.

    Raises RuntimeError with the service's log if it ends, or is not ready within 30 seconds.
    """
    with subprocess.Popen(
        [sys.executable, str(Path(keeper.__file__)), str(directory), UNPRIVILEGED, *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C must not reach it before the tests have put away what they use
    ) as kept:
        assert kept.stdin
        assert kept.stderr
        try:
            deadline = time.monotonic() + 30
            while not ready():
                if kept.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended with {kept.returncode}: {kept.stderr.read()}")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} was not ready within 30 seconds: {(directory / 'log').read_text()}")
                time.sleep(0.02)
            yield
        finally:
            kept.stdin.close()
            kept.wait(30)
