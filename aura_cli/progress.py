"""How far a long piece of work is, in a line that is written over itself."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TextIO, TypeVar

Item = TypeVar("Item")
QUIET_SECONDS = 2.0  # what is over by then needs no progress
PAUSE = 0.2  # between two lines


@dataclass
class Line:
    """The one line at the foot of a terminal (`file`) that progress is shown on."""

    file: TextIO
    _width: int = 0

    def write(self, text: str) -> None:
        """Write over the last one, cut to the terminal's width, with nothing that a dumb terminal does not know."""
        text = text[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError):  # the terminal is gone; the work goes on
            self.file.write("\r" + text.ljust(self._width))
            self.file.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Take it away again."""
        if self._width:
            self.write("")
            with suppress(OSError):
                self.file.write("\r")
                self.file.flush()


@dataclass
class Progress:
    """Call it with the count so far: on `line` it shows the rate, and of an `expected` end the time left, once two seconds passed."""

    label: str
    expected: int | None
    line: Line
    clock: Callable[[], float] = monotonic
    _begun: float = field(init=False)
    _shown: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self._shown = self.clock()

    def __call__(self, count: int) -> None:
        now = self.clock()
        if now - self._begun >= QUIET_SECONDS and now - self._shown >= PAUSE:
            self._shown = now
            self.line.write(told(self.label, count, now - self._begun, self.expected))


def told(label: str, count: int, seconds: float, expected: int | None) -> str:
    """`label`, how many of how many, how many a second, and how long that leaves."""
    rate = count / seconds
    speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    if not expected:
        return f"{label}: {count:,} ({speed})"
    left = f", {lasting(max(expected - count, 0) / rate)} left" if rate else ""
    return f"{label}: {count:,} of {expected:,} ({speed}{left})"


def lasting(seconds: float) -> str:
    """A time as a person estimates it: seconds below two minutes, minutes below two hours, then hours."""
    for size, unit in ((1, "s"), (60, "min")):
        if seconds < size * 120:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.0f} h"


def ticking(items: Iterable[Item], tick: Callable[[int], None]) -> Iterator[Item]:
    """The items as they are, and a `tick` after each."""
    for number, item in enumerate(items, 1):
        yield item
        tick(number)
