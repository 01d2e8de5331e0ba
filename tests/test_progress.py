"""Progress: quiet for two seconds, then how far, how fast and how long still, in one line that fits the terminal."""

import io
from collections.abc import Iterator

import pytest

from aura_cli.progress import Line, Progress, lasting, ticking, told


@pytest.mark.parametrize(
    ("count", "seconds", "expected", "text"),
    [
        (1200, 4.0, None, "Read: 1,200 (300/s)"),
        (1200, 4.0, 4800, "Read: 1,200 of 4,800 (300/s, 12 s left)"),
        (3, 2.0, 3600, "Read: 3 of 3,600 (1.5/s, 40 min left)"),
        (0, 2.0, 10, "Read: 0 of 10 (0.0/s)"),
        (12, 2.0, 10, "Read: 12 of 10 (6.0/s, 0 s left)"),
    ],
)
def test_how_far(count: int, seconds: float, expected: int | None, text: str) -> None:
    """Rate and time left are those of all the work so far; where nothing was done yet, nothing is promised."""
    assert told("Read", count, seconds, expected) == text


def test_how_long() -> None:
    """Seconds, minutes, hours."""
    assert [lasting(seconds) for seconds in (0.4, 119, 121, 7100, 7300)] == ["0 s", "119 s", "2 min", "118 min", "2 h"]


def test_nothing_for_two_seconds_and_then_not_too_often() -> None:
    """A line at two seconds, the next a fifth of a second later, whatever comes between."""

    def times() -> Iterator[float]:
        yield from (0.0, 1.0, 1.9, 2.0, 2.1, 2.15, 2.3)

    moments, file = times(), io.StringIO()
    progress = Progress("Read", 100, Line(file), lambda: next(moments))
    for count in range(1, 7):
        progress(count)
    assert file.getvalue().count("\r") == 2
    assert "Read: 3 of 100" in file.getvalue()
    assert "Read: 6 of 100" in file.getvalue()


def test_the_line_fits_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut below 40 columns, for a line that wraps cannot be written over; nothing of it stays."""
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    line = Line(file)
    line.write("x" * 60)
    line.write("short")
    line.clear()
    written = file.getvalue().split("\r")
    assert [len(part) for part in written] == [0, 39, 39, 5, 0]
    assert written[3].strip() == ""


def test_counting_changes_nothing() -> None:
    """What is counted comes as it is, one by one, and each is told of once it was used."""
    heard: list[int] = []
    for number, item in enumerate(ticking(iter("abc"), heard.append)):
        assert (item, heard) == ("abc"[number], [*range(1, number + 1)])
    assert heard == [1, 2, 3]
