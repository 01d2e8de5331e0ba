"""Showing an answer while it comes: as it is, or as Markdown, each finished block once, the last one as it grows.

What an answer holds cannot drive the terminal: control characters are made visible before anything else is done with it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from aura_cli.console import harmless

if TYPE_CHECKING:
    from rich.markdown import Markdown

LONGEST_BLOCK = 6_000  # characters; a longer one is cut at a line's end, because a growing block is drawn anew each time
FRAME = 1 / 30  # seconds between two drawings, at least
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r" {0,3}([-*+]|\d{1,9}[.)])\s")
_EMPTY = re.compile(r"(\x1b\[[0-9;]*m|\s)*")
_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")


class Writer(Protocol):
    """Where an answer goes, piece by piece; `close` when it has ended, however."""

    def feed(self, text: str) -> None: ...

    def close(self) -> None: ...


class Silent:
    """Nowhere."""

    def feed(self, text: str) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing was."""


@dataclass
class Plain:
    """As it is, harmless, ended with a line feed."""

    out: TextIO
    _last: str = "\n"

    def feed(self, text: str) -> None:
        self.out.write(harmless(text))
        self.out.flush()
        self._last = text[-1:] or self._last

    def close(self) -> None:
        if self._last != "\n":
            self.out.write("\n")
            self.out.flush()


@dataclass
class Blocks:
    """Markdown cut into blocks while it comes: a block is finished once nothing that follows can change it."""

    lines: list[str] = field(default_factory=list)
    partial: str = ""
    _fence: str = ""  # the line that opened the code that we are in
    _blank: bool = False  # an empty line came, which ends a block unless it is a list that goes on
    _size: int = 0

    @property
    def growing(self) -> str:
        """The block that is not finished yet."""
        return "\n".join([*self.lines, *([""] if self._blank else []), self.partial])

    def feed(self, text: str) -> list[str]:
        """The blocks that `text` finishes."""
        *whole, self.partial = (self.partial + text).split("\n")
        finished = [block for line in whole for block in self._line(line)]
        while len(self.partial) > LONGEST_BLOCK:
            place = self.partial.rfind(" ", 0, LONGEST_BLOCK) + 1 or LONGEST_BLOCK
            line, self.partial = self.partial[:place], self.partial[place:]
            finished += self._line(line)
        return finished

    def end(self) -> list[str]:
        """What is left."""
        finished = self._line(self.partial) if self.partial else []
        self.partial = ""
        return [*finished, *self._cut()]

    def _line(self, line: str) -> list[str]:
        if self._fence:
            return self._coded(line)
        if not line.strip():
            self._blank = bool(self.lines)
            return []
        finished = self._cut() if self._ends_before(line) else []
        if self._blank:
            self.lines.append("")
        self._blank = False
        self._add(line)
        if fence := _FENCE.match(line):
            self._fence = fence[1]
        elif _HEADING.match(line) or self._size > LONGEST_BLOCK:
            finished += self._cut()
        return finished

    def _ends_before(self, line: str) -> bool:
        """Whether what came so far is whole, now that this line follows."""
        if not self.lines:
            return False
        in_list = bool(_ITEM.match(self.lines[0]))
        if self._blank:
            return not (in_list and (line.startswith(("  ", "\t")) or _ITEM.match(line)))
        return bool(_HEADING.match(line) or (_FENCE.match(line) and not (in_list and line.startswith("  "))))

    def _coded(self, line: str) -> list[str]:
        """A line within code; too long a block is closed, and opened again."""
        self._add(line)
        closing = line.strip()
        if closing.startswith(self._fence) and not closing.strip(self._fence[0]):
            self._fence = ""
            return [] if _ITEM.match(self.lines[0]) else self._cut()
        if self._size <= LONGEST_BLOCK or not _FENCE.match(self.lines[0]):
            return []
        opening, fence = self.lines[0], self._fence
        self.lines.append(fence)
        finished = self._cut()
        self._fence = fence
        self._add(opening)
        return finished

    def _add(self, line: str) -> None:
        self.lines.append(line)
        self._size += len(line) + 1

    def _cut(self) -> list[str]:
        block = "\n".join(self.lines)
        self.lines, self._size, self._blank, self._fence = [], 0, False, ""
        return [block] if block.strip() else []


@dataclass
class Live:
    """Markdown on a terminal. What stands there is written over line by line, only from where it differs: nothing flickers."""

    out: TextIO
    _blocks: Blocks = field(default_factory=Blocks)
    _drawn: list[str] = field(default_factory=list)  # the growing block as it stands there, the cursor at its end
    _due: float = 0.0
    _first: bool = True

    def feed(self, text: str) -> None:
        finished = self._blocks.feed(harmless(text))
        if finished or monotonic() >= self._due:
            self._show(finished)

    def close(self) -> None:
        self._show(self._blocks.end())

    def _show(self, finished: list[str]) -> None:
        begun = monotonic()
        written = "".join(self._replaced(block) + self._ended() for block in finished)
        if self._blocks.growing.strip():
            written += self._replaced(self._blocks.growing)
        self.out.write(written)
        self.out.flush()
        now = monotonic()
        self._due = now + max(FRAME, 2 * (now - begun))

    def _ended(self) -> str:
        self._drawn, self._first = [], False
        return "\n"

    def _replaced(self, block: str) -> str:
        """What is to be written so that `block` stands where the growing block does."""
        columns, rows = shutil.get_terminal_size()
        new = _rendered(self.out, block, max(columns - 1, 10))
        old, self._drawn = self._drawn, new
        if not old:
            return ("" if self._first else "\n") + "\n".join(new)
        same = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
        if same == len(old):
            return "".join(f"\n{line}" for line in new[same:])
        start = min(same, len(new) - 1)
        if start < len(old) - rows + 1:  # what has scrolled away stays as it was
            start = min(len(old) - rows + 1, len(new) - 1)
        up = min(len(old) - 1 - start, rows - 1)
        return (f"\x1b[{up}A" if up else "") + "\r" + "\x1b[K\n".join(new[start:]) + "\x1b[K" + ("\x1b[J" if len(new) < len(old) else "")


def writer(out: TextIO, *, raw: bool) -> Writer:
    """Markdown where `out` is a terminal that can move its cursor, else the text as it is."""
    if raw or not out.isatty():
        return Plain(out)
    from rich.console import Console as Terminal

    return Plain(out) if Terminal(file=out).is_dumb_terminal else Live(out)


def _rendered(out: TextIO, block: str, width: int) -> list[str]:
    """A block's lines, with colours where the terminal and NO_COLOR let them."""
    from rich.console import Console as Terminal
    from rich.theme import Theme

    looks: dict[str, Any] = {"width": width, "highlight": False, "emoji": False, "markup": False}
    looks["theme"] = Theme({"markdown.code": "cyan", "markdown.code_block": "default"})  # no black boxes on light terminals
    terminal = Terminal(file=out, **looks)
    if terminal.no_color:  # it would still write bold
        terminal = Terminal(file=out, color_system=None, **looks)
    with terminal.capture() as captured:
        terminal.print(_markdown(block))
    return _trimmed(captured.get().split("\n"))


def _markdown(block: str) -> Markdown:
    """HTML in it is text, as it is to whoever asked for `List<int>`; links show where they lead."""
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown

    made = Markdown("", hyperlinks=False, code_theme="ansi_dark")
    made.parsed = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).parse(block)
    made.markup = block
    return made


def _trimmed(lines: list[str]) -> list[str]:
    """Without the empty lines around it and the spaces at the ends."""
    lines = [line.rstrip(" ") for line in lines]
    while lines and _EMPTY.fullmatch(lines[0]):
        del lines[0]
    while lines and _EMPTY.fullmatch(lines[-1]):
        del lines[-1]
    return lines or [""]
