"""The only writer to the terminal: results on stdout, everything said to a person on stderr, secrets on neither."""

import csv
import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice
from typing import Any, TextIO
from urllib.parse import quote, quote_plus

from aura_cli.errors import AuraError, ConflictError, UsageError
from aura_cli.paging import Pager
from aura_cli.progress import Line, Progress

MASK = "****"
ROWS_ON_A_TERMINAL = 50
LEAST_OF_A_SENTENCE = 16  # characters; with fewer a column is left out
SHORTEST_SECRET = 6  # shorter ones stand in ordinary words too
LONGEST_SECRET = 1_000_000  # characters
_SHAPES = re.compile(
    r"((?<!\w)(?:(?:sk|rk)_(?:live|test)_|whsec_|re_|sk-))[A-Za-z0-9_\-+/=.]{6,}"  # keys by their prefix
    r"|(?<=Bearer )\S{16,}|(?<=Basic )\S{16,}"
    r"|(?<=://)[^/\s:@]{0,256}:\S{1,256}(?=@)"  # user:password of an address; bounded, or a long line of addresses takes minutes
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"  # JSON web tokens
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # terminals obey these; direction marks deceive readers
_BREAKS = str.maketrans("\t\n", "  ")


class Format(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def json_ready(value: object) -> object:
    """What `json` cannot write by itself: dataclasses by their fields, aware times as RFC 3339 in UTC with `Z`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Iterator):
        return list(value)
    return str(value)


def rfc3339(time: datetime) -> str:
    """An aware time as RFC 3339 text in UTC, `2026-11-22T10:00:00Z`."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclasses.dataclass
class Console:
    """Where a command writes. `as_json`, `quiet` and `yes` are the global options."""

    as_json: bool = False
    quiet: bool = False
    yes: bool = False
    out: TextIO = dataclasses.field(default_factory=lambda: sys.stdout)
    err: TextIO = dataclasses.field(default_factory=lambda: sys.stderr)
    stdin: TextIO = dataclasses.field(default_factory=lambda: sys.stdin)
    secrets: tuple[str, ...] = ()
    pager: Pager | None = None
    line: Line = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.line = Line(self.err)

    @property
    def is_terminal(self) -> bool:
        return self.out.isatty()

    @property
    def width(self) -> int | None:
        """How many characters a line of the terminal has; None where the result goes elsewhere."""
        return shutil.get_terminal_size().columns if self.is_terminal else None

    def redact(self, text: str) -> str:
        """`text` without the configured secrets and without anything that has a credential's shape."""
        for secret in _spellings(self.secrets):
            text = text.replace(secret, MASK)
        return _SHAPES.sub(lambda found: (found[1] or "") + MASK, text)

    def say(self, text: str) -> None:
        """A line for the person (stderr), unless `-q`."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A line for the person that even `-q` does not silence."""
        self.end_progress()
        with suppress(OSError):  # nobody listens, or no room to write it down; the work goes on
            print(harmless(self.redact(text)), file=self.err, flush=True)

    def error(self, error: AuraError) -> None:
        """An error and its hint, as text or, with --json, as one object on stderr."""
        if self.as_json:
            content = {"kind": error.kind, "message": self.redact(error.message), "hint": self.redact(error.hint)}
            self.warn(dump({"error": content}))
            return
        self.warn(f"Error: {error.message}")
        if error.hint:
            self.warn(f"  {error.hint}")

    def raw(self, content: bytes) -> None:
        """A result that is written byte for byte."""
        self.out.flush()
        self.out.buffer.write(content)
        self.out.buffer.flush()

    def emit(self, line: str) -> None:
        """One line of a result that comes as it happens."""
        self.out.write(line + "\n")
        self.out.flush()

    def result(self, value: object, text: Callable[[], Iterable[str]], *, asked: bool = False) -> None:
        """A command's one result: the object with --json, else the lines of `text`; with `-q` only what was `asked` to be shown."""
        with self._while_read():
            if self.as_json:
                self._write_object(value)
            elif asked or not self.quiet:
                for line in text():
                    self.out.write(harmless(line) + "\n")
            self.out.flush()

    def listing(
        self,
        rows: Iterable[object],
        columns: Sequence[str],
        *,
        form: Format | None = None,
        chosen: str | None = None,
        total: Callable[[], int] | None = None,
    ) -> None:
        """A list, streamed: `rows` are dataclasses, `columns` what a table shows, `chosen` the value of --columns.

        A table on a terminal stops after 50 rows and says how many there are (`total`). Raises UsageError for an unknown column.
        """
        with self._while_read():
            self._list(rows, columns, form or (Format.JSON if self.as_json else Format.TABLE), chosen, total)
            self.out.flush()

    def drop_output(self) -> None:
        """What is still buffered goes nowhere, without a complaint at exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())

    @contextmanager
    def _while_read(self) -> Iterator[None]:
        """A reader who has read enough (`| head`) ends the writing, and not the command: its exit code stays what it is."""
        try:
            yield
        except BrokenPipeError:
            self.drop_output()

    def _list(
        self, rows: Iterable[object], columns: Sequence[str], form: Format, chosen: str | None, total: Callable[[], int] | None
    ) -> None:
        if chosen:
            columns = [name.strip() for name in chosen.split(",")]
        remaining = iter(rows)
        first = list(islice(remaining, 1))
        _require_columns(first, columns)
        everything = not chosen and form in (Format.JSON, Format.JSONL)
        names = _names(first[0]) if first and everything else columns
        records = ({name: getattr(row, name) for name in names} for row in chain(first, remaining))
        match form:
            case Format.JSON:
                self._write_array(records)
            case Format.JSONL:
                for record in records:
                    self.out.write(dump(record) + "\n")
            case Format.CSV:
                writer = csv.writer(self.out, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows([cell(record[name]) for name in columns] for record in records)
            case Format.TABLE:
                self._write_table(records, columns, total)

    def confirm(self, question: str) -> None:
        """Return if the person agrees; ConflictError if they do not or nobody is there to ask. `--yes` agrees."""
        if self.yes:
            return
        if not self.is_attended:
            raise ConflictError(f"{question} Nobody is here to confirm", "Add --yes once you are sure")
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        if self.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConflictError("Not confirmed; nothing was changed")

    @property
    def is_attended(self) -> bool:
        """Whether somebody is there to be asked."""
        return self.stdin.isatty() and self.err.isatty()

    def show(self, line: str) -> None:
        """A line for the person (stderr) exactly as it is, `-q` or not: an address to open, which redaction might break."""
        self.end_progress()
        print(harmless(line), file=self.err, flush=True)

    def ask(self, label: str, default: str = "") -> str:
        """What a person types at a visible prompt, trimmed; nothing typed is `default`. Raises UsageError where nobody is there."""
        if not self.is_attended:
            raise UsageError(f"{label} is missing, and nobody is here to ask")
        self.err.write(f"{label}{f' [{default}]' if default else ''}: ")
        self.err.flush()
        return self.stdin.readline().strip() or default

    def read_secret(self, label: str) -> str:
        """A secret: typed at a hidden prompt where standard input is a terminal, else all of standard input, trimmed.

        Raises UsageError where there is none.
        """
        text = ""
        if self.stdin.isatty():
            from getpass import getpass

            with suppress(EOFError):  # Ctrl-D
                text = getpass(f"{label}: ", self.err)
        else:
            text = self.stdin.read(LONGEST_SECRET)
        if not text.strip():
            raise UsageError(f"{label}: nothing on standard input", "Give it on standard input, or run this on a terminal and type it")
        return text.strip()

    def progress(self, label: str, expected: int | None = None) -> Callable[[int], None]:
        """A function to call with the count so far; it shows the rate (and time left) on a terminal once two seconds passed."""
        if self.quiet or not self.err.isatty():
            return lambda count: None
        return Progress(label, expected, self.line)

    def end_progress(self) -> None:
        """Take the progress line away again."""
        self.line.clear()

    def _write_array(self, records: Iterator[Mapping[str, Any]]) -> None:
        self.out.write("[")
        for index, record in enumerate(records):
            self.out.write((",\n " if index else "\n ") + dump(record))
        self.out.write("\n]\n")

    def _write_object(self, value: object) -> None:
        """Write an object field by field, so that a field which is an iterator is streamed, not held in memory."""
        fields = json_ready(value) if dataclasses.is_dataclass(value) else value
        if not isinstance(fields, Mapping):
            self.out.write(dump(value) + "\n")
            return
        self.out.write("{")
        for index, (name, content) in enumerate(fields.items()):
            self.out.write((",\n " if index else "\n ") + json.dumps(name) + ": ")
            if isinstance(content, Iterator):
                self.out.write("[")
                for number, element in enumerate(content):
                    self.out.write((",\n  " if number else "\n  ") + dump(element))
                self.out.write("]")
            else:
                self.out.write(dump(content))
        self.out.write("\n}\n")

    def _write_screens(self, text: str) -> None:
        """Through the pager, where there is one and the screen is shorter than `text`."""
        fits = text.count("\n") < shutil.get_terminal_size().lines
        self.out.flush()
        if fits or self.pager is None or not self.pager.show(text):
            self.out.write(text)

    def _write_table(self, records: Iterator[Mapping[str, Any]], columns: Sequence[str], total: Callable[[], int] | None) -> None:
        if not self.is_terminal:
            for record in records:
                self.out.write("\t".join(_in_a_line(record[name]) for name in columns) + "\n")
            return
        from rich import box
        from rich.console import Console as Terminal
        from rich.table import Table
        from rich.text import Text

        shown = list(islice(records, ROWS_ON_A_TERMINAL))
        if not shown:
            self.say("Nothing to list.")
            return
        terminal = Terminal(file=self.out, highlight=False)
        if terminal.no_color:  # it would still write bold
            terminal = Terminal(file=self.out, highlight=False, color_system=None)
        fitting, room = _fitting(columns, shown, terminal.width)
        table = Table(*fitting, box=box.SIMPLE_HEAD, pad_edge=False)
        for record in shown:
            cells = [Text(brief(record[name])) for name in fitting]
            cells[-1].truncate(room, overflow="ellipsis")
            table.add_row(*cells)
        with terminal.capture() as drawn:
            terminal.print(table)
        self._write_screens(drawn.get())
        if left_out := columns[len(fitting) :]:
            self.say(f"No room for {', '.join(left_out)}: choose with --columns, or see all with --format csv")
        if len(shown) == ROWS_ON_A_TERMINAL:
            count = total() if total else ROWS_ON_A_TERMINAL + sum(1 for _ in records)
            if count > len(shown):
                self.say(f"{len(shown)} of {count:,}; all of them with --format jsonl, or in a pipe")


@lru_cache(maxsize=4)
def _spellings(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets as they are and as addresses, JSON and Python write them, the longest first."""
    found = {
        written
        for secret in secrets
        if len(secret) >= SHORTEST_SECRET
        for written in (
            secret,
            quote(secret, errors="replace"),
            quote(secret, safe="", errors="replace"),
            quote_plus(secret, errors="replace"),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        )
    }
    return tuple(sorted(found, key=len, reverse=True))


def _fitting(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], width: int) -> tuple[Sequence[str], int]:
    """As many of the first `columns` as `width` characters hold, and never none, and how many the last of them has.

    Only a sentence is cut, and only as the last one: half an id cannot be copied.
    """
    room = width + 1  # three characters between two columns, and one at each end
    for number, name in enumerate(columns):
        needed = max(len(name), *(len(brief(row[name])) for row in rows))
        room -= needed + 3
        if room < 0 and number:
            cut = room + needed >= LEAST_OF_A_SENTENCE and any(isinstance(row[name], str) and " " in row[name] for row in rows)
            return columns[: number + cut], room + needed if cut else width
    return columns, width


def brief(value: object) -> str:
    """A value as a person reads it: times to the minute (UTC), numbers in groups of three, yes and no."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _in_a_line(value)


def described(facts: Mapping[str, object]) -> Iterator[str]:
    """What is known of one thing, a line each: names and values in two columns, without what is empty."""
    known = {name.replace("_", " "): shown for name, value in facts.items() if (shown := brief(value))}
    width = max(map(len, known), default=0)
    return (f"{name:<{width}}  {shown}" for name, shown in known.items())


def bar(number: float, widest: float, width: int = 40) -> str:
    """A bar in eighths of a cell, as long as `number` is of `widest`."""
    eighths = round(number / max(widest, 1) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _names(row: object) -> list[str]:
    return [field.name for field in dataclasses.fields(row)]  # type: ignore[arg-type]


def _require_columns(first: Sequence[object], columns: Sequence[str]) -> None:
    for row in first:
        if unknown := [name for name in columns if name not in _names(row)]:
            raise UsageError(f"No column {', '.join(unknown)}", f"There are: {', '.join(_names(row))}")


def dump(value: object) -> str:
    """`value` as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, default=json_ready)


def cell(value: object) -> str:
    """A value as a table or CSV shows it: nothing for None, JSON for what has parts."""
    if value is None:
        return ""
    if isinstance(value, (dict, list, tuple)):
        return dump(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(json_ready(value)) if isinstance(value, datetime) else str(value)


def _in_a_line(value: object) -> str:
    return harmless(cell(value).translate(_BREAKS))


def harmless(text: str) -> str:
    """Text without control characters (tab and line feed stay), so that stored data cannot drive a terminal."""
    return _CONTROL.sub("�", text)
