"""Long lists on a terminal: through the pager that a person chose, from the first row to the last, and never anywhere else."""

import sys
from pathlib import Path

import pytest

from aura_cli.paging import Pager
from tests.parts.program import REPOSITORY
from tests.parts.terminal import on_a_terminal

LIST = """
import sys
from dataclasses import dataclass
from aura_cli.console import Console, Format
from aura_cli.paging import Pager
from aura_cli.settings import surroundings
@dataclass
class Row:
    name: str
console = Console(pager=Pager.of(surroundings()))
console.listing((Row(f"row{n}") for n in range(int(sys.argv[1]))), ("name",), form=Format(sys.argv[2]))
print("afterwards")
"""


def shown(folder: Path, rows: int, keys: str = "", form: str = "table", **env: str) -> tuple[int, str]:
    """A list on a terminal of 24 lines; `keys` are typed once the pager waits."""
    base = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "80", "LINES": "24"}
    dialogue = [("\n:", keys)] if keys else []
    return on_a_terminal([sys.executable, "-c", LIST, str(rows), form], {**base, **env}, folder, dialogue=dialogue, timeout=30)


@pytest.mark.parametrize(
    ("environ", "command"),
    [
        ({"TERM": "xterm"}, ("less",)),
        ({"TERM": "xterm", "PAGER": "more -s"}, ("more", "-s")),
        ({"TERM": "xterm", "PAGER": "more", "AURA_PAGER": "less -S"}, ("less", "-S")),
        ({"TERM": "xterm", "PAGER": "less", "AURA_PAGER": "cat"}, None),
        ({"TERM": "xterm", "PAGER": ""}, None),
        ({"TERM": "xterm", "PAGER": "less 'x"}, None),
        ({"TERM": "dumb"}, None),
        ({}, None),
    ],
)
def test_which_pager(environ: dict[str, str], command: tuple[str, ...] | None) -> None:
    """AURA_PAGER, PAGER, less, in this order; `cat`, an empty one and a dumb terminal mean none. LESS stays what the person set."""
    found = Pager.of({**environ, "LESS": "M"})
    assert (found.command if found else None) == command
    assert found is None or found.environment["LESS"] == "M"


def test_a_long_list_stops_at_the_screens_foot(tmp_path: Path) -> None:
    """less shows the first screen and waits; whoever leaves is back in the command, which goes on."""
    code, text = shown(tmp_path, 45, keys="q")
    assert code == 0
    assert "row5" in text
    assert "row44" not in text
    assert "afterwards" in text


def test_a_reader_gets_everything(tmp_path: Path) -> None:
    """The pager gets every row, once, and may leave before it has read them."""
    sink = tmp_path / "pager"
    sink.write_text('#!/bin/sh\necho "PAGED"; exec cat\n')
    sink.chmod(0o700)
    code, text = shown(tmp_path, 45, PAGER=str(sink))
    assert (code, text.count("PAGED"), text.count("row")) == (0, 1, 45)
    code, text = shown(tmp_path, 45, PAGER="true")
    assert (code, "row" in text, "afterwards" in text) == (0, False, True)


def test_no_pager_where_none_is_due(tmp_path: Path) -> None:
    """What fits the screen, CSV, and a pager that is not installed: the list as it is."""
    for rows, form, pager in ((5, "table", "false"), (45, "csv", "false"), (45, "table", "no-such-pager")):
        code, text = shown(tmp_path, rows, form=form, PAGER=pager)
        assert (code, text.count("row")) == (0, rows)
