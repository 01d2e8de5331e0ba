"""`aura env`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from aura_cli.environment.check_commands import check, show
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from aura_cli.environment.rebinding import Bound

app = typer.Typer(
    help="What is configured, whether it is right, and what this database belongs to.", rich_markup_mode=None, no_args_is_help=True
)
app.command("check")(check)
app.command("show")(show)


@app.callback()
def env() -> None:
    """What is configured, whether it is right, and what this database belongs to."""


@app.command()
def bind(ctx: typer.Context) -> None:
    """Make the database belong to what is configured now: Stripe account and mode, Privy app, key, environment.

    For a database that was bound to the wrong ones, or has moved. Asks first, wherever it is. Example: aura env bind -n
    """
    from aura_cli.environment.rebinding import rebind

    runtime: Runtime = ctx.obj
    engine, identity = runtime.engine, runtime.identity()
    planned = rebind(engine, identity, runtime.settings.operator, dry_run=True)
    if planned.changed and not runtime.options.dry_run:
        for line in _changes(planned):
            runtime.console.warn(line)
        runtime.console.confirm("Bind the database to this?")
        planned = rebind(engine, identity, runtime.settings.operator)
    runtime.console.result(planned, lambda: _told(planned))


def _changes(found: Bound) -> Iterator[str]:
    before = asdict(found.before) if found.before else {}
    after = asdict(found.after)
    yield from (f"{name.replace('_', ' ')}: {before.get(name) or 'nothing'} → {after[name]}" for name in found.changed)


def _told(found: Bound) -> Iterator[str]:
    if not found.changed:
        yield "The database is bound to what is configured; nothing was changed."
        return
    yield from _changes(found)
    yield "Nothing was changed." if found.dry_run else "The database is bound to this now."
