"""Makes a plain Jinja2 template of a mail template's definition, once: the HTML frame is filled, styles are written into its tags.

The frame has brackets of its own (`[[ ]]`, `[% %]`), so that what comes out is a template still, with `{{ }}` where a mail's values go.
A definition's words are escaped here, values by Jinja2 when a mail is made: nothing of a value is ever read as HTML, Jinja2 or `**`.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import escape

from aura_cli.mail.rendering import BETWEEN

if TYPE_CHECKING:
    from aura_cli.mail.rendering import Block, Definition

FOLDER = Path(__file__).with_name("templates")
PHONE = 480  # pixels, up to which the styles for a phone hold
_VALUE = re.compile(r"(\{\{.*?\}\}|\{%.*?%\})")
_STRONG = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True)
class Look:
    """Every style by its name, in one tone: what it is, and what changes in the dark and on a phone."""

    tone: dict[str, str]
    styles: dict[str, dict[str, str]]

    def __call__(self, *names: str) -> str:
        """The attributes that give a tag these styles: inlined, and a class for what the head says of the dark and of phones."""
        inlined = ";".join(self._of(name, "usual") for name in names if "usual" in self.styles[name])
        classes = " ".join(name for name in names if self.styles[name].keys() & {"dark", "phone"})
        return (f'class="{classes}" ' if classes else "") + f'style="{inlined}"'

    @property
    def sheet(self) -> str:
        """What cannot be inlined. The second form of the dark is that of Outlook's apps, which mark the document instead."""
        dark, phone = list(self._rules("dark")), list(self._rules("phone"))
        outlook = "\n".join(f"[data-ogsc] {rule}" for rule in dark)
        media = "@media (prefers-color-scheme: dark) {{\n{}\n}}\n@media (max-width: {}px) {{\n{}\n}}"
        return ":root { color-scheme: light dark; }\n" + media.format("\n".join(dark), PHONE, "\n".join(phone)) + f"\n{outlook}"

    def _rules(self, part: str) -> Iterator[str]:
        for name, parts in self.styles.items():
            if part in parts:
                # what is inlined is stronger than a rule without this
                yield f".{name} {{ {'; '.join(f'{each} !important' for each in self._of(name, part).split(';'))} }}"

    def _of(self, name: str, part: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: self.tone[found[1]], self.styles[name][part])


def compose(definition: "Definition", texts: Collection[str]) -> jinja2.Template:
    """A definition as one template of subject, text version and HTML, with BETWEEN between: three would take twice the time to set up.

    `texts` are the names of its variables that hold people's own words.
    """
    look = _look(definition.tone)

    def marked(words: str) -> str:
        return _STRONG.sub(rf"<strong {look('strong')}>\1</strong>", _escaped(words, texts))

    frame = _frame().get_template("frame.html")
    html = frame.render(mail=definition, look=look, html=marked, bare=_escaped)
    plain = f"{definition.subject}{BETWEEN}{_text(definition)}{BETWEEN}"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(f"{{% autoescape false %}}{plain}{{% endautoescape %}}" + re.sub(r"\n\s+", "\n", html))


def _escaped(words: str, isolated: Collection[str] = ()) -> str:
    """A definition's words as HTML, its `{{ }}` and `{% %}` left alone.

    People's own words keep their writing direction to themselves: https://www.w3.org/International/questions/qa-bidi-unicode-controls
    """
    pieces = _VALUE.split(words)
    pieces[::2] = [str(escape(piece)) for piece in pieces[::2]]
    pieces[1::2] = [f"<bdi>{piece}</bdi>" if piece.strip("{} ") in isolated else piece for piece in pieces[1::2]]
    return "".join(pieces)


def _text(definition: "Definition") -> str:
    """The text version, as a Jinja2 template."""
    parts = [definition.heading]
    parts += [_conditional(block.when, "\n\n" + _block(block)) for block in definition.body]
    foot = f"\n\n-- \nAURA · {{{{ app_url }}}}\n{definition.why}\n"
    return _STRONG.sub(r"\1", "".join(parts)) + foot


def _block(block: "Block") -> str:
    if block.steps:
        return "\n".join(f"{number}. {step}" for number, step in enumerate(block.steps, 1))
    if block.facts:
        width = max(len(row.name) for row in block.facts) + 2
        lines = [("\n" if number else "") + f"{row.name}:".ljust(width) + row.value for number, row in enumerate(block.facts)]
        return "".join(_conditional(row.when, line) for row, line in zip(block.facts, lines, strict=True))
    if block.button:
        return f"{block.button}:\n{block.to}"
    return block.text or block.note or ""


def _conditional(when: str | None, text: str) -> str:
    return f"{{% if {when} %}}{text}{{% endif %}}" if when else text


@cache
def _frame() -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701 (words go through `html` and `bare`)
        loader=jinja2.FileSystemLoader(FOLDER),
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _look(tone: str) -> Look:
    look: dict[str, Any] = tomllib.loads((FOLDER / "look.toml").read_text(encoding="utf-8"))
    return Look({**look["colours"], **look["tones"][tone]}, look["styles"])
