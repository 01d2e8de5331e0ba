"""What 10,000 mails take to be made, against Jinja2 alone filling the same strings in, both in one run, medians of interleaved rounds."""

import gc
import html
from collections import deque
from collections.abc import Iterator

import jinja2

from aura_cli.mail.rendering import TEMPLATES, Template, render
from aura_cli.mail.variables import Kind
from tests.benchmarks.figures import Figure, interleaved, show

MAILS, ROUNDS = 10_000, 5
APP = "https://aura.example.com"


def people(template: Template) -> list[dict[str, object]]:
    """Data for so many mails, each with texts of its own, a few of which HTML has to be kept out of."""
    texts = [name for name, variable in template.variables.items() if variable.kind is Kind.TEXT and not variable.choices]
    ends = ("Okafor", "O'Neil & Sons", "<Ltd>", "لوي")
    return [
        {**template.sample, **{name: f"{name} {number} {ends[number % 4]}" for name in texts}} for number in range(MAILS // len(TEMPLATES))
    ]


def plain(template: Template) -> tuple[jinja2.Template, ...]:
    """Subject, HTML and text as Jinja2 templates with nothing to decide: a finished mail in which the texts are variables again."""
    marks = {
        name: f"mark-of-{name.replace('_', '-')}" for name, one in template.variables.items() if one.kind is Kind.TEXT and not one.choices
    }
    made = render(template.name, {**template.sample, **marks}, app_url=APP)
    filled = []
    for part, escapes in ((made.subject, False), (made.html, True), (made.text, False)):
        for name, mark in marks.items():
            part = part.replace(html.escape(mark) if escapes else mark, f"{{{{ {name} }}}}")
        filled.append(jinja2.Environment(autoescape=escapes, keep_trailing_newline=True).from_string(part))
    return tuple(filled)


def test_rendering() -> None:
    """Checked, shown in a reader's form, in three parts: against three plain templates that get their texts ready-made."""
    wanted = {name: people(template) for name, template in TEMPLATES.items()}
    fillers = {name: plain(template) for name, template in TEMPLATES.items()}

    def least() -> Iterator[tuple[str, ...]]:
        return (tuple(one.render(data) for one in fillers[name]) for name, some in wanted.items() for data in some)

    def ours() -> Iterator[tuple[str, ...]]:
        made = (render(name, data, app_url=APP) for name, some in wanted.items() for data in some)
        return ((one.subject, one.html, one.text) for one in made)

    assert all(one == other for one, other in zip(least(), ours(), strict=True))
    gc.collect()
    taken = interleaved({"least": lambda: deque(least(), 0), "ours": lambda: deque(ours(), 0)}, ROUNDS)
    told = {name: f"{found * 1000:,.0f} ms" for name, found in taken.items()}
    show(Figure(f"rendering {MAILS:,} mails", f"{told['least']} (Jinja2 alone)", told["ours"], taken["ours"] / taken["least"], "≤ 2"))
