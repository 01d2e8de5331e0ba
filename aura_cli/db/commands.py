"""`aura db`: the schema, up and down, and whether each room can work on it."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from aura_cli.errors import AttentionNeeded, ConfigurationError
from aura_cli.runtime import Runtime

app = typer.Typer(help="The database: upgrade, status, check.", rich_markup_mode=None, no_args_is_help=True)


@dataclass(frozen=True)
class Status:
    """Where the schema stands. `adopted`: the web app's tables were there before ours."""

    version: str | None
    program: str
    current: bool
    adopted: bool | None


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Bring the database to this program's schema; the web app's tables are verified, never changed.

    Example: aura db upgrade -n
    Example: aura db upgrade --env production
    """
    from aura_cli.db.migrate import upgrade

    runtime: Runtime = ctx.obj
    dry_run = runtime.options.dry_run
    if not dry_run:
        runtime.confirm_target()
    report = upgrade(runtime.bare_engine, dry_run=dry_run)
    was, were = ("would be", "would be") if dry_run else ("was", "were")

    def lines() -> list[str]:
        done = [f"Schema {was} brought from {report.before or 'nothing'} to {report.after}."] if report.before != report.after else []
        made = [f"Web app tables that {were} made: {', '.join(report.made)}."] if report.made else []
        adopted = [f"Web app tables adopted as they are: {', '.join(report.adopted)}."] if report.adopted and report.before is None else []
        extra = [f"Also there, left alone: {', '.join(report.extra)}."] if report.extra else []
        return done + made + adopted + extra or ["The schema is up to date."]

    runtime.console.result(report, lines)


@app.command()
def downgrade(
    ctx: typer.Context, discard: bool = typer.Option(False, "--discard", help="Drop our tables even where they hold rows.")
) -> None:
    """Go one schema version back; the web app's tables are never touched.

    Example: aura db downgrade --discard
    """
    from aura_cli.db.migrate import HEAD, current, downgrade

    runtime: Runtime = ctx.obj
    dry_run = runtime.options.dry_run
    with runtime.bare_engine.connect() as connection:
        bound = current(connection) == HEAD  # an older schema knows of no binding
    identity = runtime.check_binding() if bound else None
    if not dry_run:
        runtime.confirm_target(identity)
    report = downgrade(runtime.bare_engine, discard=discard, dry_run=dry_run)
    went = "would go" if dry_run else "went"
    runtime.console.result(report, lambda: [f"Schema {went} back from {report.before} to {report.after or 'nothing'}."])


@app.command()
def status(ctx: typer.Context) -> None:
    """Say which schema the database has and which this program needs.

    Example: aura db status --json
    """
    from aura_cli.db.migrate import HEAD, adopted, current

    runtime: Runtime = ctx.obj
    with runtime.bare_engine.connect() as connection:
        version = current(connection)
        state = Status(version, HEAD, version == HEAD, adopted(connection) if version == HEAD else None)
    runtime.console.result(state, lambda: [f"Schema {version or 'absent'}; this program needs {HEAD}."], asked=True)
    if not state.current:
        raise typer.Exit(ConfigurationError.exit_code)


@app.command()
def check(ctx: typer.Context) -> None:
    """Say for each room whether it can work on this database, or why not.

    Example: aura db check
    """
    from aura_cli.db.check import check

    runtime: Runtime = ctx.obj
    rooms = check(runtime.bare_engine)
    if runtime.console.as_json:
        runtime.console.listing(rooms, ("room", "usable", "reasons"))
    else:
        runtime.console.result(rooms, lambda: [f"{r.room}: {'usable' if r.usable else '; '.join(r.reasons)}" for r in rooms])
    if not all(room.usable for room in rooms):
        raise typer.Exit(AttentionNeeded.exit_code)
