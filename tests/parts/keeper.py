"""Keeps one service running for as long as the process that started it, however that one ends.

    python keeper.py DIRECTORY USER COMMAND…

Runs COMMAND as USER (empty: as it is) in DIRECTORY, its output in DIRECTORY/log, until standard input ends; then interrupts
it, kills it after ten seconds, and deletes DIRECTORY. Standard input ends even where the parent is killed, so nothing
outlives a test run. A service that ends by itself has its log shown on stderr.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path


def keep(directory: Path, user: str, command: list[str]) -> int:
    """Run `command` until standard input or the command itself ends, and return its exit code; the directory is gone afterwards."""
    log = directory / "log"
    with log.open("wb") as output:
        service = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **identity(user))  # type: ignore[call-overload]
    asked_to_stop = threading.Event()

    def stop_with_parent() -> None:
        os.read(0, 1)
        asked_to_stop.set()
        service.send_signal(signal.SIGINT)
        grace = threading.Timer(10, service.kill)
        grace.daemon = True
        grace.start()

    threading.Thread(target=stop_with_parent, daemon=True).start()
    code: int = service.wait()
    if not asked_to_stop.is_set():
        sys.stderr.write(log.read_text(errors="replace"))
    shutil.rmtree(directory, ignore_errors=True)
    return code


def identity(user: str) -> dict[str, object]:
    """What `subprocess` needs to run something as `user`; nothing for an empty name."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
