"""`aura users`: people, from Privy into the database, and looked at there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format, brief
from aura_cli.errors import AttentionNeeded, PartialFailure, UsageError
from aura_cli.progress import ticking
from aura_cli.runtime import Runtime
from aura_cli.users import people_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.users.sync import Sync, Synced
    from aura_cli.users.verify import Claims

app = typer.Typer(help="People: sync them from Privy, look them up, check their tokens.", rich_markup_mode=None, no_args_is_help=True)

WHO_HELP = "A user id (uuid), DID, e-mail address, cus_… or sub_…"


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Verified:
    """What a good access token says. `user`: our id of its owner, where the database knows one."""

    did: str
    app: str
    session: str | None
    issued_at: datetime
    expires_at: datetime
    user: str | None


@app.command()
def sync(
    ctx: typer.Context,
    who: str | None = typer.Argument(None, metavar="[WHO]", help=f"{WHO_HELP}; - reads an access token. Without: everybody."),
    fresh: bool = typer.Option(False, "--fresh", help="Begin anew instead of carrying on a scan that was broken off."),
    max_rps: float | None = typer.Option(None, "--max-rps", min=0, help="Requests a second to Privy; 0: no limit. Default 20."),
) -> None:
    """Bring users from Privy into the database: everybody, or one person. Nobody is ever deleted.

    Example: aura users sync -n
    Example: aura users sync someone@example.com
    """
    from aura_cli.users.who import form_of

    runtime: Runtime = ctx.obj
    if who == "-":
        who = _verified(runtime).did
    if who is not None:
        form_of(who)
        if fresh:
            raise UsageError("--fresh is for the sync of everybody")
    if runtime.options.dry_run:
        runtime.check_binding()
    else:
        runtime.authorise(1 if who else None)
    work = _sync(runtime, max_rps)
    try:
        if who is not None:
            _tell(runtime, work.one(who, dry_run=runtime.options.dry_run))
        elif runtime.options.dry_run:
            with work.plan() as planned:
                _tell(runtime, planned)
        else:
            _tell(runtime, work.everybody(fresh=fresh))
    finally:
        runtime.console.end_progress()


def _sync(runtime: Runtime, max_rps: float | None) -> Sync:
    from aura_cli.transport import Rate
    from aura_cli.users.privy import app_id
    from aura_cli.users.sync import Sync

    settings, console = runtime.settings, runtime.console
    if max_rps is not None:
        runtime.privy.rate = Rate(max_rps)
    tick = console.progress("Users read")
    return Sync(runtime.engine, runtime.privy, app_id(settings), settings.operator, runtime.clock, tick, console.say, console.warn)


def _tell(runtime: Runtime, result: Synced) -> None:
    """Show what was done, and raise where something is left to do."""

    def lines() -> Iterator[str]:
        for change in getattr(result, "changes", ()):
            yield f"{change.user or change.privy_user_id}  {change.field}: {change.before or '–'} → {change.after}"
        numbers = "scanned", "created", "updated", "unchanged", "missing", "failed"
        counted = ", ".join(f"{getattr(result, name):,} {name}" for name in numbers)
        yield f"{counted} ({result.duration_s:.1f} s){'; that is what would be done, nothing was written' if result.dry_run else ''}"

    runtime.console.end_progress()
    runtime.console.result(result, lines)
    if result.failed:
        raise PartialFailure(
            f"{result.failed:,} of {result.scanned:,} users could not be taken over", "Each is named above, with the reason"
        )
    if result.missing:
        raise AttentionNeeded(
            f"{result.missing:,} of the users here are gone at Privy; nothing was deleted", "See: aura users list --missing"
        )


@app.command("list")
def list_(
    ctx: typer.Context,
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
    limit: int | None = typer.Option(None, "--limit", min=0, help="At most so many."),
    missing: bool = typer.Option(False, "--missing", help="Only those who are gone at Privy."),
    search: str | None = typer.Option(None, "--search", help="Only those whose address, name or id contains this."),
) -> None:
    """List people, the newest first.

    Example: aura users list --search example.com --format csv
    Example: aura users list --missing --json
    """
    from aura_cli.users.people import Filter, count, everybody

    runtime: Runtime = ctx.obj
    if search is not None and not search.isprintable():
        raise UsageError("--search is no text that can be looked for")
    engine, chosen = runtime.engine, Filter(missing, search)
    runtime.console.listing(
        everybody(engine, chosen, limit),
        ("id", "email", "created_at", "name", "missing_since"),
        form=form,
        chosen=columns,
        total=lambda: min(count(engine, chosen), limit) if limit is not None else count(engine, chosen),
    )


@app.command()
def show(ctx: typer.Context, who: str = typer.Argument(metavar="WHO", help=WHO_HELP)) -> None:
    """Show one person: the row, what Privy says, the subscription.

    Example: aura users show cus_SandboxCustomer00
    """
    from aura_cli.db.engine import reading
    from aura_cli.users.people import lines, profile

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        found = profile(connection, who, runtime.clock())
    runtime.console.result(found, lambda: lines(found), asked=True)


@app.command()
def verify_token(
    ctx: typer.Context, source: str = typer.Argument("-", metavar="[-]", help="- : standard input, or a prompt.", show_default=False)
) -> None:
    """Check an access token of Privy's, given on standard input or typed at a hidden prompt.

    Example: pbpaste | aura users verify-token
    """
    from dataclasses import asdict

    runtime: Runtime = ctx.obj
    if source != "-":
        raise UsageError("A token is never an argument: others could read it", "Give it on standard input, or type it when asked")
    claims = _verified(runtime)
    found = Verified(**asdict(claims), user=_known_as(runtime, claims.did))

    def lines() -> Iterator[str]:
        yield f"Good: {found.did}, session {found.session or '–'}, until {brief(found.expires_at)}"
        yield f"User: {found.user or 'not known here (aura users sync brings them in)'}"

    runtime.console.result(found, lines)


def _verified(runtime: Runtime) -> Claims:
    """The token's claims. Raises ConfigurationError where it is refused."""
    from aura_cli.users.privy import app_id, public_service
    from aura_cli.users.verify import PublishedKeys, configured_key, verify

    settings, now = runtime.settings, runtime.clock()
    application, key = app_id(settings), configured_key(settings)
    token = runtime.console.read_secret("Access token")
    if key:
        return verify(token, application, key, now)
    with public_service(settings) as privy:
        return verify(token, application, PublishedKeys(privy, application, settings.home, now), now)


def _known_as(runtime: Runtime, did: str) -> str | None:
    """Our id of a DID; None too where no database is configured, which checking a token does not need."""
    from aura_cli.db.engine import reading
    from aura_cli.users.people import known_as

    if not runtime.settings.secret("DATABASE_URL"):
        return None
    with reading(runtime.engine) as connection:
        return known_as(connection, did)


@app.command()
def export(
    ctx: typer.Context,
    form: ExportFormat | None = typer.Option(None, "--format", help="How to write it; csv, unless --json makes it an array."),
    out: str = typer.Option("-", "--out", help="The file (only its owner can read it), or - for standard output."),
    personal: bool = typer.Option(False, "--personal", help="With e-mail addresses, names and pictures."),
) -> None:
    """Write everybody to a file: ids and times, and personal data where it is asked for.

    Example: aura users export --format jsonl --out users.jsonl
    """
    from aura_cli.users.export import private_file
    from aura_cli.users.people import NEUTRAL, PERSONAL, everybody

    runtime: Runtime = ctx.obj
    columns = (*NEUTRAL, *(PERSONAL if personal else ()))
    console, rows = runtime.console, everybody(runtime.engine)
    how = Format(form) if form else Format.JSON if runtime.options.as_json else Format.CSV
    if out == "-":
        console.listing(rows, columns, form=how, chosen=",".join(columns))
        return
    with private_file(Path(out)) as file:
        some = ticking(rows, console.progress("Users written"))
        replace(console, out=file).listing(some, columns, form=how, chosen=",".join(columns))
    console.end_progress()
    console.say(f"Written to {out}")


app.command()(people_commands.duplicates)
app.command()(people_commands.merge)
app.command()(people_commands.takeout)
app.command()(people_commands.erase)
