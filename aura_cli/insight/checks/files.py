"""The settings: who can read the files that hold them, and what of them does not count."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from aura_cli.insight.finding import Finding, ok, warn
from aura_cli.insight.surroundings import Surroundings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at the `.env` files that count, and at the data directory."""
    settings = about.settings
    files = [Path(name) for name in settings.looked_in if Path(name).is_file()]
    for file in files:
        if (mode := _mode(file)) & _OTHERS:
            yield warn("permissions", f"{file} can be read by others ({mode:04o})", f"chmod 600 {quote(str(file))}")
    if settings.home.is_dir() and not settings.is_sandbox and (mode := _mode(settings.home)) & _OTHERS:
        yield warn("permissions", f"{settings.home} is open to others ({mode:04o})", f"chmod 700 {quote(str(settings.home))}")
    if settings.ignored:
        names = ", ".join(settings.ignored)
        yield warn("ignored", f"{names} {'do' if settings.ignored[1:] else 'does'} not count: not from where the credential comes from")
    read = ", ".join(map(str, files)) or "the environment alone"
    yield ok("settings", f"read from {read}")


def _mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 (follows links, as reading does)
