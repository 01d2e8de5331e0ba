"""The disk under AURA_HOME: room, and whether what is kept there lasts."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from aura_cli.insight.finding import Finding, fail, ok, warn
from aura_cli.insight.surroundings import Surroundings

WARN_BYTES, FAIL_BYTES = 1 << 30, 100 << 20
PASSING = ("tmpfs", "ramfs", "overlay", "aufs")  # gone with the machine's, or the container's, end
MOUNTS = Path("/proc/self/mounts")


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at the disk that AURA_HOME is, or will be, on."""
    home = about.settings.home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.is_dir())
    yield room(place, shutil.disk_usage(place).free)
    keeps = about.settings.secret("INTEGRATION_ENCRYPTION_KEY") is not None and not about.settings.is_sandbox
    kind = kind_of(place.resolve(), MOUNTS.read_text()) if MOUNTS.exists() else ""
    if keeps and kind in PASSING:
        what = f"{home} is on {kind}, which does not last: a refreshed token that cannot be stored at once is lost with it"
        yield warn("spool", what, "Mount a volume, and set AURA_HOME to it")


def room(place: Path, free: int) -> Finding:
    """Whether so many free bytes are enough."""
    told = f"{free / (1 << 30):,.1f} GiB free at {place}"
    if free < WARN_BYTES:
        judged = fail if free < FAIL_BYTES else warn
        return judged("room", f"only {told}", f"du -xh {quote(str(place))} | sort -h | tail")
    return ok("room", told)


def kind_of(place: Path, mounts: str) -> str:
    """The kind of file system a path is on, by the lines of /proc/mounts (proc(5)); empty where none fits."""
    found = [(fields[1].encode().decode("unicode_escape"), fields[2]) for line in mounts.splitlines() if len(fields := line.split()) > 2]
    fitting = [(len(point), number, kind) for number, (point, kind) in enumerate(found) if place.is_relative_to(point)]
    return max(fitting)[2] if fitting else ""  # of two at one place the later one covers the other
