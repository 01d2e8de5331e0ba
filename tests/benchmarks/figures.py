"""How the benchmarks time things, and the table that they print."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WHOLE = bool(os.environ.get("AURA_TEST_WHOLE"))  # the long ones too
HEADER = ("work", "limit", "measured", "ratio", "must hold")
WIDTHS = (50, 30, 14, 6, 9)


@dataclass(frozen=True)
class Figure:
    """One line: `measured` and `limit` are told as text, `ratio` is the one to the other, `hold` what it must be, such as `≤ 1.5`."""

    work: str
    limit: str
    measured: str
    ratio: float
    hold: str = ""

    @property
    def holds(self) -> bool:
        """Whether the ratio is what it must be; a line without `hold` is there for its information."""
        if not self.hold:
            return True
        bound = float(self.hold[1:])
        return self.ratio <= bound if self.hold[0] == "≤" else self.ratio >= bound


@dataclass(frozen=True)
class Ran:
    """A finished run of a program: exit code, standard error, seconds, and the most memory it ever had, in bytes."""

    exit: int
    err: str
    seconds: float
    peak: int


def show(*figures: Figure) -> None:
    """Print the lines as a table, with a mark at those that do not hold."""
    lines = [HEADER, *((f.work, f.limit, f.measured, f"{f.ratio:.2f}", f.hold + ("" if f.holds else " MISSED")) for f in figures)]
    text = "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, WIDTHS, strict=True)).rstrip() for line in lines)
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each, taken in turns, so that what else the machine does falls on all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(found) for name, found in taken.items()}


def run(*command: str, env: Mapping[str, str], out: IO[bytes] | int = subprocess.DEVNULL) -> Ran:
    """Run a program to its end and tell what it took.

    Its peak is read from its own high-water mark (proc(5), VmHWM), because what wait(2) tells begins with the size of the parent.
    """
    begun, peak = time.perf_counter(), 0
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE) as process:
        assert process.stderr
        while process.poll() is None:
            peak = max(peak, _high_water(process.pid))
            time.sleep(0.01)
        return Ran(process.returncode, process.stderr.read().decode(), time.perf_counter() - begun, peak)


def _high_water(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
