"""What an answer looks like while it comes."""

import io
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.chat.rendering import LONGEST_BLOCK, Blocks, Live, Plain, writer
from tests.chat.screen import Screen

TEXT = """# A title

A paragraph with **bold** words, `code`, and List<int> in it
that goes on in a second line.

- one
- two

  still two

- three

1. first
2. second

```python
def one() -> int:

    return 1
```

| a | b |
|---|---|
| 1 | 2 |

The end: [link](https://example.com/x).
"""
PARTS = [
    "word ",
    "\n",
    "\n\n",
    "# ",
    "- ",
    "1. ",
    "```",
    "```py\n",
    "~~~\n",
    "  ",
    "|a|b|\n|-|-|\n",
    "**",
    "`",
    "> ",
    "<b>",
    "x" * 50,
    "漢字",
    "👩👧",  # not joined: terminals differ in how wide they show those
]


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 24 lines and 80 columns, with colours."""
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def pieces(text: str, seed: int, most: int = 6) -> Iterator[str]:
    """`text` in pieces, as a model's come."""
    luck, place = random.Random(seed), 0
    while place < len(text):
        step = luck.randint(1, most)
        yield text[place : place + step]
        place += step


def shown(text: str, seed: int | None, *, every: bool = True, rows: int = 24) -> Screen:
    """A screen on which `text` was shown, in one piece or many; `every` piece was drawn."""
    screen: Any = Screen(rows, 80)
    live = Live(screen)
    for piece in [text] if seed is None else pieces(text, seed):
        live.feed(piece)
        if every:
            live._due = 0.0
    live.close()
    found: Screen = screen
    return found


@pytest.mark.parametrize("seed", range(5))
def test_growing_ends_as_written_at_once(seed: int) -> None:
    """However it comes, the same stands there in the end; HTML in it is text."""
    whole = shown(TEXT, None).text
    assert shown(TEXT, seed, rows=60).text == whole
    assert shown(TEXT, seed, every=False, rows=60).text == whole
    assert all(part in whole for part in ("A title", "bold words", "List<int>", "still two", "return 1", "https://example.com/x"))
    assert "**" not in whole


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join), st.integers(0, 99))
def test_no_text_breaks_it(text: str, seed: int) -> None:
    """Whatever a model writes: no line too long, the cursor where it can go, no word lost but a fence's language."""
    screen = shown(text, seed, rows=10)
    assert re.sub("```.*", "", text).count("word ") <= screen.text.count("word")


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join), st.integers(0, 99))
def test_blocks_lose_nothing(text: str, seed: int) -> None:
    """The blocks are the text's lines that are not empty, in their order."""
    blocks = Blocks()
    finished = [block for piece in pieces(text, seed) for block in blocks.feed(piece)] + blocks.end()
    lines = [line for block in finished for line in block.split("\n") if line.strip()]
    assert lines == [line for line in text.split("\n") if line.strip()]


def test_finished_blocks_are_left_alone() -> None:
    """A finished block is written once: what comes after it never moves the cursor back into it, and little is written twice."""
    text = "\n\n".join(f"Paragraph {number} " + "of some words " * 12 for number in range(40))
    screen = shown(text, 1, every=False)
    assert screen.text.count("Paragraph 7 ") == 1
    assert screen.written < 12 * len(text)


def test_code_keeps_its_lines() -> None:
    """An empty line within code ends no block, and too long a code is cut into two that both are code."""
    blocks = Blocks()
    code = "```python\n" + "value = 'text'\n\n" * (LONGEST_BLOCK // 12) + "```\n"
    finished = blocks.feed(code) + blocks.end()
    assert len(finished) > 1
    assert all(block.startswith("```python\n") and block.endswith("```") for block in finished)


def test_a_line_without_end() -> None:
    """200,000 characters without a line feed are shown, in reasonable time, a part at a time."""
    begun = time.process_time()
    screen = shown("x" * 200_000, 3, every=False)
    assert screen.text.count("x") == 200_000
    assert time.process_time() - begun < 30


def test_plain() -> None:
    """Where there is no terminal, or --raw, the text comes as it is, harmless, and ends its line."""
    out = io.StringIO()
    plain = Plain(out)
    for piece in ("**a**\x1b[31m", "b\r", "\u202e"):
        plain.feed(piece)
    plain.close()
    assert out.getvalue() == "**a**�[31mb��\n"
    assert isinstance(writer(out, raw=False), Plain)


def test_which_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets Markdown unless it is dumb or --raw was asked for; NO_COLOR takes the colours."""
    screen: Any = Screen(24, 80)
    screen.fileno = lambda: os.open(os.devnull, os.O_RDONLY)
    assert isinstance(writer(screen, raw=False), Live)
    assert isinstance(writer(screen, raw=True), Plain)
    monkeypatch.setenv("NO_COLOR", "1")
    out: Any = io.StringIO()
    out.isatty = lambda: True
    live = Live(out)
    live.feed("some **bold** and `code`\n\nmore")
    live.close()
    assert not re.search(r"\x1b\[[0-9;]*m", out.getvalue())
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(writer(screen, raw=False), Plain)
