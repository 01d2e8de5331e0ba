"""Everything that is kept about one person as files for them: a page to read, and JSON for another program.

The EU's GDPR calls it access (article 15) and portability (article 20). The folder appears whole or not at all, for its owner alone.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TextIO

from sqlalchemy import Engine

from aura_cli.console import cell, dump
from aura_cli.db.engine import reading
from aura_cli.errors import UsageError
from aura_cli.users.export import private_file
from aura_cli.users.holdings import KEPT_BACK, Room, Row
from aura_cli.users.who import Person
from aura_cli.vault.sealing import looks_sealed

PAGE = "index.html"
_SECRET = re.compile(r"token|secret|passw|credential|authorization|(api|access|private|signing)[_-]?key", re.IGNORECASE)
_ODD = re.compile(r"[^\w.-]")  # in the name of a table that nobody here knows
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:2rem}}table{{border-collapse:collapse;margin:0 0 2rem}}
th,td{{border:1px solid #ccc;padding:.2rem .5rem;text-align:left;vertical-align:top;max-width:40rem;overflow-wrap:anywhere}}
th{{background:#f4f4f4}}</style></head><body>
<h1>{title}</h1>
<p>Everything that is kept about {person}, as it was at {at}. Each table stands in a JSON file beside this page, too.
Passwords, tokens and keys are not among it.</p>
"""


@dataclass(frozen=True)
class Takeout:
    """A folder that was written, or with `dry_run` would be: its files, and how many rows of what are in them."""

    user: str
    folder: str
    files: Sequence[str]
    rows: dict[str, int]
    dry_run: bool


def write(engine: Engine, rooms: Sequence[Room], person: Person, folder: Path, now: datetime, *, dry_run: bool = False) -> Takeout:
    """Write everything that `rooms` keep about a person into `folder`, as of one moment; with `dry_run` it is not left there.

    Raises UsageError for a folder that holds something, or cannot be made.
    """
    _require_room(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            draft = Path(made, "takeout")
            draft.mkdir(mode=0o700)
            with reading(engine) as connection:
                rows = (found for room in rooms for found in room.takeout(connection, person))
                counts = _written(draft, rows, person, now)
            files = sorted(path.name for path in draft.iterdir())
            if not dry_run:
                draft.replace(folder)  # an empty folder gives way
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    return Takeout(person.id, str(folder), files, counts, dry_run)


def _require_room(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already, and not empty", "Name a folder that is to be made")
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"{folder.absolute().parent} is no folder")


def _written(folder: Path, rows: Iterable[tuple[str, Row]], person: Person, now: datetime) -> dict[str, int]:
    counts: dict[str, int] = {}
    with private_file(folder / PAGE) as page:
        who = escape(person.email or person.name or person.id)
        page.write(_HEAD.format(title="Your data", person=who, at=f"{now:%Y-%m-%d %H:%M} UTC"))
        for name, some in groupby(rows, key=lambda found: found[0]):
            label = _ODD.sub("_", name) + (f"-{len(counts)}" if name in counts else "")
            with private_file(folder / f"{label}.json") as out:
                counts[label] = _table(
                    name, ({column: _plain(column, value) for column, value in row.items()} for _, row in some), out, page
                )
        page.write("</body></html>\n")
    return counts


def _table(name: str, rows: Iterator[dict[str, object]], out: TextIO, page: TextIO) -> int:
    """One kind of rows, in its file and on the page; returns how many."""
    count = 0
    for row in rows:
        if not count:
            head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in row)
            page.write(f"<h2>{escape(name.replace('_', ' '))}</h2>\n<table><tr>{head}</tr>\n")
        out.write(("[\n " if not count else ",\n ") + dump(row))
        page.write("<tr>" + "".join(f"<td>{escape(cell(value))}</td>" for value in row.values()) + "</tr>\n")
        count += 1
    out.write("\n]\n")
    page.write("</table>\n")
    return count


def _plain(name: str, value: object) -> object:
    """A value, or what is in it, without what is a secret by its name or its seal, whichever table it stands in."""
    if isinstance(value, Mapping):
        return {inner: _plain(f"{name} {inner}" if _SECRET.search(name) else inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_plain(name, one) for one in value]
    if isinstance(value, bytes | memoryview):
        value = value.hex()
    return KEPT_BACK if isinstance(value, str) and value and (_SECRET.search(name) or looks_sealed(value)) else value
