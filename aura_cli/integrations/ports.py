"""Who listens on a port of this machine, as far as Linux shows it (proc(5): /proc/net/tcp, /proc/PID/fd)."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTENS = "0A"
_TABLES = "/proc/net/tcp", "/proc/net/tcp6"


def holder(port: int) -> str | None:
    """Name and number of the process that listens on `port`; None where that cannot be seen: another user's, or no Linux."""
    wanted = {f"socket:[{inode}]" for table in _TABLES for inode in _inodes(Path(table), port)}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(_leads_to(descriptor) in wanted for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _inodes(table: Path, port: int) -> Iterator[str]:
    """The sockets that listen on it: columns local_address, st and inode."""
    with suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENS and re.fullmatch(rf"[0-9A-F]+:{port:04X}", columns[1]):
                yield columns[9]


def _leads_to(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""
