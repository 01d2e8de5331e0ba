"""Running something on a pseudo-terminal, as a person sees it."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Keys = str | Callable[[str], str]


def on_a_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    keys: str = "",
    timeout: float = 60,
    dialogue: Sequence[tuple[str, Keys]] = (),
) -> tuple[int, str]:
    """Exit code and everything that was shown. `keys` are typed once the program has asked something (`[y/N]`).

    A `dialogue` is typed in turn: each one's keys (or what they make of all that was shown) once its cue was shown, after the one before.
    """
    left: list[tuple[str, Keys]] = [*dialogue] or ([("[y/N]", keys)] if keys else [])
    ours, theirs = pty.openpty()
    shown, read, deadline = b"", 0, time.monotonic() + timeout
    with subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C becomes SIGINT
    ) as process:
        os.close(theirs)
        try:
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 0.1)[0]:
                    continue
                try:
                    part = os.read(ours, 65_536)
                except OSError:  # Linux says so when the last one on the other side has left
                    break
                shown += part
                if not part:
                    break
                if left and (found := shown.find(left[0][0].encode(), read)) >= 0:
                    read = found + len(left[0][0].encode())
                    answer = left.pop(0)[1]
                    os.write(ours, (answer if isinstance(answer, str) else answer(shown.decode(errors="replace"))).encode())
        finally:
            if time.monotonic() >= deadline:
                process.kill()
            os.close(ours)
    return process.returncode, shown.decode(errors="replace").replace("\r\n", "\n")
