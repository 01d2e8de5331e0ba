"""`aura email templates` and `render`: which mails there are, and what one looks like. Nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format
from aura_cli.errors import UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = ("name", "purpose", "variables")
VARIABLE_COLUMNS = ("variable", "kind", "required", "purpose", "sample")
MADE_UP_URL = "https://aura.example.com"
LONGEST_DATA = 1_000_000  # bytes


@dataclass(frozen=True)
class Listed:
    """A template in the list; optional variables stand in brackets."""

    name: str
    purpose: str
    variables: str


@dataclass(frozen=True)
class ListedVariable:
    """A variable in the list of one template."""

    variable: str
    kind: str
    required: bool
    purpose: str
    sample: object
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """A mail as it would be sent; `file` is where the HTML was written to be looked at."""

    template: str
    subject: str
    html: str
    text: str
    file: str | None = None


def templates(
    ctx: typer.Context,
    template: str | None = typer.Argument(None, metavar="[TEMPLATE]", help="List the variables of this one."),
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
) -> None:
    """List the mail templates, or the variables that one takes.

    Example: aura email templates team-invite
    """
    from aura_cli.mail.rendering import TEMPLATES, find

    console = ctx.obj.console
    if template is None:
        rows = [Listed(one.name, one.purpose, one.takes) for one in TEMPLATES.values()]
        console.listing(rows, COLUMNS, form=form, chosen=columns)
        return
    variables = [
        ListedVariable(one.name, one.kind, one.required, one.purpose, one.sample, one.choices) for one in find(template).variables.values()
    ]
    console.listing(variables, VARIABLE_COLUMNS, form=form, chosen=columns)


def render(
    ctx: typer.Context,
    template: str = typer.Argument(metavar="TEMPLATE", help="Its name, as `aura email templates` lists it."),
    data: str | None = typer.Option(
        None, "--data", metavar="FILE", help="Its variables, a JSON object; - is standard input. Else made-up ones."
    ),
    text: bool = typer.Option(False, "--text", help="Print the text version alone."),
    html: bool = typer.Option(False, "--html", help="Print the HTML alone."),
    show: bool = typer.Option(False, "--open", help="Write the HTML to a file and open it in a browser."),
) -> None:
    """Show what a template makes of its variables.

    Example: aura email render team-invite --open
    """
    from aura_cli.mail.rendering import find
    from aura_cli.mail.rendering import render as rendered

    runtime: Runtime = ctx.obj
    if text + html + show > 1:
        raise UsageError("One of --text, --html and --open")
    known, console = find(template), runtime.console
    given = known.sample if data is None else given_data(runtime, data)
    mail = rendered(template, given, app_url=runtime.settings.get("NEXT_PUBLIC_APP_URL") or MADE_UP_URL)
    if data is None:
        console.say("With made-up data; --data FILE takes yours.")
    file = _written(runtime.settings.home, template, mail.html) if show else None
    preview = Preview(template, mail.subject, mail.html, mail.text, str(file) if file else None)
    if html and not console.as_json:
        console.raw(mail.html.encode())
    else:
        console.result(preview, lambda: _lines(preview, alone=text), asked=True)
    if file:
        _open(runtime, file)


def _lines(preview: Preview, *, alone: bool) -> Iterator[str]:
    if preview.file:
        yield preview.file
        return
    if not alone:
        yield f"Subject: {preview.subject}"
        yield ""
    yield preview.text.removesuffix("\n")


def given_data(runtime: Runtime, source: str) -> dict[str, object]:
    """The variables out of a file or standard input. Raises UsageError."""
    from pathlib import Path

    import msgspec

    try:
        if source == "-":
            content = runtime.console.stdin.read(LONGEST_DATA).encode(errors="surrogateescape")
        else:
            with Path(source).open("rb") as file:
                content = file.read(LONGEST_DATA)
        return msgspec.json.decode(content, type=dict[str, object])
    except OSError as error:
        raise UsageError(f"--data {source} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--data {source} is no JSON object: {error}", 'Such as: {"name": "Mina"}') from None


def _written(home: Path, template: str, html: str) -> Path:
    """The HTML in a file that only its owner can read: it may hold a real person's data."""
    import os

    folder = home / "previews"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{template}.html"
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(html)
    return path


def _open(runtime: Runtime, file: Path) -> None:
    from aura_cli.integrations.browser import Screen, opened
    from aura_cli.settings import foreign_environment, screen

    here = Screen(screen())
    why_not = here.why_not()
    command = None if why_not else here.launcher()
    if not command or not opened(command, file.as_uri(), foreign_environment()):
        runtime.console.say(f"No browser was opened: {why_not or ('none could be started' if command else 'none is installed')}.")
