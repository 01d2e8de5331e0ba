"""A conversation in a pseudo terminal: what a person sees of it, types into it, and does to its window."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.parts.program import Aura

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[=>()][A-Z0-9]?")


@dataclass
class Terminal:
    """`seen` is all that was written to it, escapes included."""

    process: "subprocess.Popen[bytes]"
    ours: int
    seen: str = ""
    _read: int = 0

    @property
    def text(self) -> str:
        """What was written, without escapes."""
        return plain(self.seen)

    def wait(self, cue: str, timeout: float = 30) -> None:
        """Until `cue` is written after the last one that was waited for."""
        until = time.monotonic() + timeout
        while cue not in plain(self.seen[self._read :]):
            assert time.monotonic() < until, f"{cue!r} did not come: {self.seen[-2000:]!r}"
            assert self.hear(0.2), f"{cue!r} did not come before the end: {self.seen[-2000:]!r}"
        ends = range(self._read, len(self.seen))  # no further than the cue: what came with it is for the next one
        self._read += bisect_left(ends, True, key=lambda end: cue in plain(self.seen[self._read : end]))

    def hear(self, timeout: float) -> bool:
        """Take in what comes within `timeout` seconds; False once the program is gone."""
        if not select.select([self.ours], [], [], timeout)[0]:
            return True
        try:
            part = os.read(self.ours, 65_536)
        except OSError:  # Linux says so when the last one on the other side has left
            return False
        if b"\x1b[6n" in part:  # asks where the cursor is
            os.write(self.ours, b"\x1b[1;1R")
        self.seen += part.decode(errors="replace")
        return bool(part)

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """As a person who pulls at the window's corner: the program is told by the terminal."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self, timeout: float = 30) -> int:
        """The exit code, once it has ended by itself."""
        until = time.monotonic() + timeout
        while self.hear(0.1) and self.process.poll() is None:
            assert time.monotonic() < until, f"it goes on: {self.seen[-500:]!r}"
        return self.process.wait(timeout)


def plain(text: str) -> str:
    """Without escapes and carriage returns."""
    return _ESCAPES.sub("", text).replace("\r", "")


@contextmanager
def terminal(aura: Aura, *arguments: str, env: Mapping[str, str], rows: int = 24, columns: int = 80) -> Iterator[Terminal]:
    """The program on a terminal of its own, which is its controlling one; it is gone when the block ends."""
    ours, theirs = pty.openpty()
    environment = {name: text for name, text in aura.environment.items() if name != "COLUMNS"} | {"TERM": "xterm-256color", **env}
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "aura_cli", *arguments],
        env=environment,
        cwd=aura.work,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        found = Terminal(process, ours)
        try:
            yield found
        finally:
            process.kill()
            os.close(ours)
