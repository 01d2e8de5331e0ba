"""What `--help` shows: commands in groups, examples that can be copied, wrapped at the terminal's width.

An example stands at the end of a command's docstring, behind `Example: `; a command may have several.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from typer._click import Command, Context
from typer._click.formatting import HelpFormatter

WIDEST = 100  # longer lines are hard to read
NARROWEST = 24
GROUPS: Mapping[str, Sequence[str]] = {
    "At 3 a.m.": ("doctor", "status", "explain"),
    "People and money": ("users", "subscriptions", "balance", "apply"),
    "Events, mail and connections": ("serve-webhooks", "webhooks", "integrations", "chat", "email", "ratelimit", "analytics"),
    "Machine room": ("cron", "db", "env", "keys", "init", "completions"),
    "Without anything of yours": ("demo", "sandbox"),
}
GLOBAL = {  # as they are written → what they do; app.split_arguments takes them anywhere
    "--json": "One JSON object, or an array of a list, and nothing else on stdout.",
    "-q, --quiet": "Say nothing on success.",
    "-y, --yes": "Agree to what would be asked.",
    "-n, --dry-run": "Only say what would be done.",
    "--env NAME": "Which environment's files count: .env.NAME.local and .env.NAME.",
    "--env-file FILE": "Read settings from this file alone.",
    "--debug": "Show where an error comes from.",
}
EXITS = """Exit codes: 0 done, 1 a bug, 2 usage, 3 attention needed, 4 configuration, 5 not found, 6 conflict, 7 service error,
8 unreachable, 9 partly failed, 130 and 143 stopped by a signal."""
_TYPED = {"int": "N", "int range": "N", "float": "NUMBER", "float range": "NUMBER", "str": "TEXT"}  # a type's name → how the help shows it
_NUMBERS = {  # what Click says → in words
    re.compile(r"is not a valid int( range)?\."): "is no whole number.",
    re.compile(r"is not a valid float( range)?\."): "is no number.",
    re.compile(r"is not in the range x>=(\S+)\."): r"is less than \1.",
    re.compile(r"is not in the range (\S+)<=x<=(\S+)\."): r"is not between \1 and \2.",
}
_EXAMPLE = re.compile(r"\s*\bExample: ")
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


class Page(HelpFormatter):
    """A help page. Examples come last, whole: one that is wider than the page goes on behind a backslash."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        super().__init__(indent_increment, width, max_width)
        self._examples: list[str] = []

    def write_text(self, text: str) -> None:
        about, *examples = _EXAMPLE.split(text)
        self._examples += examples
        if about.strip():
            super().write_text(about)

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)

    def getvalue(self) -> str:
        shown = "".join(f"  {line}\n" for example in self._examples for line in continued(example, self.width - 2))
        return super().getvalue() + (f"\nExample{'s' * (len(self._examples) > 1)}:\n{shown}" if shown else "")


class PageContext(Context):
    """Of every command: its help is a Page."""

    formatter_class = Page


def width() -> int:
    """How wide a page is: the terminal's width, within reason."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))


def examples(command: Command) -> list[str]:
    """The examples of a command, each as one line."""
    return [" ".join(example.split()) for example in _EXAMPLE.split(command.help or "")[1:]]


def continued(line: str, width: int) -> Iterator[str]:
    """A line of shell in pieces of at most `width` characters where its words allow that, each but the last with a backslash."""
    piece = ""
    for word in _WORD.findall(line):
        if piece and len(piece) + len(word) + 3 > width:
            yield f"{piece} \\"
            piece = f"  {word}"
        else:
            piece = f"{piece} {word}" if piece else word
    yield piece


def grouped(commands: Mapping[str, str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Command → line, under the headings of GROUPS; those that are in none come last."""
    for heading, names in GROUPS.items():
        if rows := [(name, commands[name]) for name in names if name in commands]:
            yield heading, rows
    if rest := [item for item in commands.items() if item[0] not in chain.from_iterable(GROUPS.values())]:
        yield "More", rest


def in_plain_words(command: Command) -> None:
    """Say of each option what a person types (not `<int range>`), and of each verb its first line whole, whatever the terminal's width."""
    command.context_class = PageContext
    for parameter in command.params:
        parameter.metavar = parameter.metavar or _TYPED.get(parameter.type.name)
    command.short_help = _EXAMPLE.split((command.help or "").partition("\n\n")[0])[0]
    for verb in getattr(command, "commands", {}).values():
        in_plain_words(verb)


def in_numbers(message: str) -> str:
    """Click's message about a number that is none, or out of its range, as a person says it."""
    for pattern, words in _NUMBERS.items():
        message = pattern.sub(words, message)
    return message


def near(word: str, known: Sequence[str]) -> str:
    """` Did you mean …?` where `word` looks like one or two of `known`; else nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=2)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""
