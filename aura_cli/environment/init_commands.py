"""`aura init`: a file of settings, by asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from aura_cli.errors import UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aura_cli.console import Console
    from aura_cli.environment.initialising import Initialised, Question

NEW = "new"  # the answer that has a key made


def init(
    ctx: typer.Context,
    file: str | None = typer.Option(None, "--file", help="The file to write; default .env.local, with --env NAME .env.NAME.local."),
    everything: bool = typer.Option(False, "--all", help="Ask for what is optional, too."),
    source: str | None = typer.Option(
        None, "--from", metavar="FILE", help="Take the settings of this file (- for standard input); ask nothing."
    ),
) -> None:
    """Write a file of settings by asking for each; what is in it stays, comments included, and only its owner can read it.

    Nothing typed keeps what is there. Answers are looked at before they are taken.

    Example: aura init --env staging
    """
    from aura_cli.environment.initialising import given, place, questions, text_of, write

    runtime: Runtime = ctx.obj
    path = place(runtime.settings, file)
    if source is not None:
        clients = {name for one in runtime.catalogue.providers.values() if one.client for name in (one.client.id, one.client.secret or "")}
        handed = given(_read(runtime, source), clients)
        values = handed.values
        if handed.unknown:
            runtime.console.say(f"Left out, because nothing here reads them: {', '.join(handed.unknown)}")
        if handed.literal:
            runtime.console.say(f"Taken as it stands, though it holds a $NAME that nothing there sets: {', '.join(handed.literal)}")
    else:
        if not runtime.console.is_attended:
            raise UsageError("Nobody is here to ask", "Hand the settings over: aura init --from FILE, or --from - for standard input")
        values = _ask_all(runtime.console, path, questions(text_of(path), everything=everything))
    done = write(path, values, dry_run=runtime.options.dry_run)
    runtime.console.result(done, lambda: _told(done))


def _read(runtime: Runtime, source: str) -> str:
    from pathlib import Path

    from aura_cli.console import LONGEST_SECRET
    from aura_cli.environment.initialising import text_of

    if source == "-":
        return runtime.console.stdin.read(LONGEST_SECRET)
    if not Path(source).exists():
        raise UsageError(f"--from {source}: no such file")
    return text_of(Path(source))


def _ask_all(console: Console, path: Path, asked: list[Question]) -> dict[str, str]:
    """The answers that say something else than the file."""
    console.say(f"For {path}. Enter alone keeps what is there, or leaves it out; Ctrl-C ends this, and nothing is written.")
    answers = ((one, _ask(console, one)) for one in asked)
    return {one.name: answer for one, answer in answers if answer and answer != one.current}


def _ask(console: Console, one: Question) -> str:
    """One answer that can be right, or nothing."""
    from aura_cli.environment.showing import masked
    from aura_cli.environment.variables import wrong_with

    console.say(f"\n{one.purpose}{f' Without it {one.without}.' if one.without else ''}")
    if one.name == "INTEGRATION_ENCRYPTION_KEY" and not one.current:
        console.say(f"It is the web app's; where there is no web app yet, {NEW!r} makes one.")
    held = f" [{masked(one.name, one.current)}]" if one.current else ""
    while True:
        answer = _typed(console, f"{one.name}{held}", secret=one.secret)
        if one.name == "INTEGRATION_ENCRYPTION_KEY" and answer == NEW:
            from secrets import token_urlsafe

            return token_urlsafe(32)
        wrong = wrong_with(one.name, answer) if answer else None
        if not wrong:
            return answer
        console.warn(f"It {wrong}.")


def _typed(console: Console, label: str, *, secret: bool) -> str:
    if not secret:
        return console.ask(label)
    try:
        return console.read_secret(label)
    except UsageError:  # nothing was typed
        return ""


def _told(done: Initialised) -> Iterator[str]:
    verb = "would be written" if done.dry_run else "written"
    if not done.added and not done.changed:
        yield f"{done.file}: nothing to write."
    for what, names in (("new", done.added), ("changed", done.changed)):
        if names:
            yield f"{done.file}: {verb}, {what}: {', '.join(names)}"
    if done.missing:
        yield f"Still missing, though the web app needs it: {', '.join(done.missing)}"
    if not done.ignored_by_git:
        yield "git does not ignore it: add it to .gitignore before you commit anything."
    yield "Check everything with: aura env check"
