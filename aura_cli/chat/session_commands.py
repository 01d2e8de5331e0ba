"""`aura chat list | show | search | export | delete | prune`: what was said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.chat.export import ExportFormat
from aura_cli.console import Format, brief
from aura_cli.errors import UsageError
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from aura_cli.chat.pruning import Deleted, Pruned

COLUMNS = ("id", "title", "turns", "last_at", "model", "tokens", "cost")
FOUND = ("session", "title", "number", "role", "created_at", "snippet")
WHICH = typer.Argument(..., metavar="SESSION", help="The beginning of its id, or its title.")
FORM = typer.Option(None, "--format", help="How to write the list.")
CHOSEN = typer.Option(None, "--columns", metavar="A,B", help="Which columns.")
LIMIT = typer.Option(None, "--limit", min=1, help="At most so many.")
SINCE = typer.Option(None, "--since", metavar="WHEN", help="Only from then on: 30m, 2h, 7d ago, a date or time (UTC).")


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the group."""
    app.command("list")(list_)
    app.command()(show)
    words = {"ignore_unknown_options": True, "help_option_names": ["--help"]}  # -test is a word that is not wanted, and -health no -h
    app.command(context_settings=words)(search)
    for command in (export, delete, prune):
        app.command()(command)


def list_(
    ctx: typer.Context,
    user: str | None = typer.Option(None, "--user", metavar="WHO", help="Only those about this person."),
    operator: str | None = typer.Option(None, "--operator", metavar="NAME", help="Only this operator's."),
    since: str | None = SINCE,
    limit: int | None = LIMIT,
    form: Format | None = FORM,
    columns: str | None = CHOSEN,
) -> None:
    """List sessions, the one talked in last first: turns, model, tokens, cost.

    Example: aura chat list --since 7d
    """
    from aura_cli.chat import looking
    from aura_cli.db.engine import reading
    from aura_cli.users.who import resolve

    runtime: Runtime = ctx.obj
    user_id = None
    if user:
        with reading(runtime.engine) as connection:
            user_id = resolve(connection, user).id
    chosen = looking.Filter(user_id, operator, _moment(runtime, since))
    rows = looking.rows(runtime.engine, chosen, limit)
    if runtime.console.is_terminal and not columns and (form or runtime.options.as_json or Format.TABLE) is Format.TABLE:
        rows = map(looking.shortened, rows)
    most = (limit,) if limit is not None else ()
    runtime.console.listing(rows, COLUMNS, form=form, chosen=columns, total=lambda: min((looking.count(runtime.engine, chosen), *most)))


def show(ctx: typer.Context, session: str = WHICH) -> None:
    """Show everything that was said in a session.

    Example: aura chat show 3f2a
    """
    from aura_cli.chat import sessions
    from aura_cli.chat.export import Transcript, markdown
    from aura_cli.db.engine import reading

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        chosen = sessions.find(connection, session)
        found = Transcript(chosen, sessions.messages(connection, chosen.id))
        runtime.console.result(found, lambda: markdown(found), asked=True)


def search(
    ctx: typer.Context,
    words: list[str] = typer.Argument(..., metavar="WORDS...", help='Words that must be there, "a phrase", -unwanted, OR.'),
    since: str | None = SINCE,
    limit: int | None = LIMIT,
    form: Format | None = FORM,
    columns: str | None = CHOSEN,
) -> None:
    """Look for words in everything that was said, the newest first; what was found stands between » and «.

    Example: aura chat search refund -test --since 30d
    """
    from aura_cli.chat import search as work

    runtime: Runtime = ctx.obj
    rows = work.search(runtime.engine, " ".join(words), _moment(runtime, since), limit)
    runtime.console.listing(rows, FOUND, form=form, chosen=columns)


def export(
    ctx: typer.Context,
    session: str = WHICH,
    form: ExportFormat = typer.Option(ExportFormat.MARKDOWN, "--format", help="How to write it."),
    out: Path | None = typer.Option(None, "-o", "--output", metavar="FILE", help="A new file, for you alone; default standard output."),
) -> None:
    """Write a session as Markdown, JSON, or JSON lines.

    Example: aura chat export 3f2a --format md -o refund.md
    """
    from aura_cli.chat import sessions
    from aura_cli.chat.export import Transcript, lines
    from aura_cli.db.engine import reading

    runtime: Runtime = ctx.obj
    if runtime.options.as_json:
        form = ExportFormat.JSON
    with reading(runtime.engine) as connection:
        chosen = sessions.find(connection, session)
        written = lines(Transcript(chosen, sessions.messages(connection, chosen.id)), form)
        if out and runtime.options.dry_run:
            runtime.console.say(f"{out} would be written: {chosen.title}")
        elif out:
            _write(out, written)
            runtime.console.say(f"{out}: {chosen.title}")
        elif runtime.console.is_terminal and not runtime.options.as_json:
            runtime.console.result(None, lambda: written, asked=True)
        else:
            for line in written:
                runtime.console.emit(line)


def _write(path: Path, lines: Iterator[str]) -> None:
    import os

    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 (a descriptor)
            file.writelines(f"{line}\n" for line in lines)
    except FileExistsError:
        raise UsageError(f"{path} is there already", "Choose another name, or remove it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def delete(
    ctx: typer.Context,
    chosen: list[str] = typer.Argument(..., metavar="SESSION...", help="The beginnings of their ids, or their titles."),
) -> None:
    """Delete sessions with everything that was said in them, for good.

    Example: aura chat delete 3f2a -n
    """
    from aura_cli.chat import pruning, sessions
    from aura_cli.db.engine import reading

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        found = list({one.id: one for one in (sessions.find(connection, text) for text in chosen)}.values())
    done = pruning.counted(runtime.engine, found)
    if not runtime.options.dry_run:
        titles = ", ".join(f"{one.id[:8]} {one.title!r}" for one in found)
        runtime.bind()
        runtime.console.confirm(f"Delete {titles} with {counted(done.messages, 'message')}?")
        done = pruning.delete(runtime.engine, found, runtime.settings.operator)
    runtime.console.result(done, lambda: _deleted(done))


def _deleted(done: Deleted) -> Iterator[str]:
    deed = "deleted" if done.applied else "would be deleted"
    yield f"{counted(len(done.sessions), 'session')} with {counted(done.messages, 'message')} {deed}."


def prune(
    ctx: typer.Context,
    older_than: str = typer.Option("90d", "--older-than", metavar="WHEN", help="Last talked in before: 90d ago, or a date."),
    apply: bool = typer.Option(False, "--apply", help="Delete them; without, they are only counted."),
) -> None:
    """Delete sessions that nobody has talked in for long.

    Example: aura chat prune --older-than 90d --apply
    """
    from aura_cli.chat import pruning

    runtime: Runtime = ctx.obj
    before = _moment(runtime, older_than)
    assert before is not None
    done = pruning.plan(runtime.engine, before)
    if apply and not runtime.options.dry_run:
        runtime.authorise(done.sessions + done.messages)
        done = pruning.prune(runtime.engine, before, runtime.settings.operator, runtime.console.progress("Sessions", done.sessions))
        runtime.console.end_progress()
    runtime.console.result(done, lambda: _pruned(done, runtime.options.to_write))


def _pruned(done: Pruned, to_write: str) -> Iterator[str]:
    deed, rest = ("deleted", "") if done.applied else ("would be deleted", f" Nothing was; {to_write} does it.")
    what = f"{counted(done.sessions, 'session')} last talked in before {brief(done.before)}, {counted(done.messages, 'message')}"
    yield f"{what} {deed}.{rest}"


def _moment(runtime: Runtime, text: str | None) -> datetime | None:
    from aura_cli.webhooks.moments import since

    return datetime.fromtimestamp(since(text, runtime.clock()), UTC) if text else None
