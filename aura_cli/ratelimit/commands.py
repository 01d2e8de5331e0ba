"""`aura ratelimit`: the web app's limits, looked at, tried and reset from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from aura_cli.errors import ServiceError
from aura_cli.ratelimit.limits import RULES, Limit, Limits, Usage, identify, lacking
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(help="The web app's rate limits: look, try, reset.", rich_markup_mode=None, no_args_is_help=True)
ID = typer.Argument(..., metavar="ID", help="Whom the web app limits, as it names them: chat:203.0.113.7, an address, a user.")
CACHES = "An instance of the web app that has refused them remembers it in memory, and goes on refusing until the window ends."


@dataclass(frozen=True)
class Shown:
    """How far an identifier has used the limits up. `enforced` is False where nothing is configured: everything is allowed."""

    identifier: str
    enforced: bool
    why: str | None
    limits: list[Usage]


@dataclass(frozen=True)
class Tried:
    """What became of `count` takes; `unenforced` of those `allowed` only because nobody could be asked, for the reason in `why`.

    `limit`, `remaining` and `reset_at` are as the last take had them.
    """

    identifier: str
    name: Limit
    count: int
    allowed: int
    refused: int
    unenforced: int
    limit: int
    remaining: int | None
    reset_at: datetime | None
    why: str | None


@dataclass(frozen=True)
class Reset:
    """The counters that were forgotten (in a dry run: that would be): their keys, and how many were still there."""

    identifier: str
    keys: list[str]
    deleted: int
    dry_run: bool


@app.command()
def show(ctx: typer.Context, identifier: str = ID) -> None:
    """Show how far somebody has used up both limits, without taking anything.

    Example: aura ratelimit show chat:203.0.113.7
    """
    runtime: Runtime = ctx.obj
    identify(identifier)
    found: list[Usage] = []
    if why := lacking(runtime.settings):
        runtime.console.warn(f"Nothing is limited: {why}")
    else:
        with Limits(runtime.settings) as limits:
            found = [limits.peek(limit, identifier) for limit in Limit]
    shown = Shown(identifier, why is None, why, found)

    def lines() -> Iterator[str]:
        for one in found:
            rule = RULES[one.limit].text
            yield f"{one.limit:<8} {one.used} used of {rule}, {one.remaining} left; the window ends {one.reset_at:%H:%M:%S}Z"

    runtime.console.result(shown, lines, asked=True)


@app.command("try")
def try_(
    ctx: typer.Context,
    identifier: str = ID,
    limit: Limit = typer.Option(Limit.GENERAL, "--limit", help="Which limit."),
    count: int = typer.Option(1, "--count", "-c", min=1, max=1000, help="How often."),
) -> None:
    """Take from somebody's allowance, as the web app does at a request; exit code 7 where it is refused.

    Example: aura ratelimit try chat:203.0.113.7 --count 6
    """
    runtime: Runtime = ctx.obj
    if runtime.options.dry_run:
        show(ctx, identifier)
        return
    identify(identifier)
    if not lacking(runtime.settings):
        runtime.authorise()
    with Limits(runtime.settings, tell=lambda why: runtime.console.warn(f"Nothing is limited: {why}")) as limits:
        verdicts = [limits.check(limit, identifier) for _ in range(count)]
        unenforced = limits.unenforced
    if counted := count - unenforced:
        _note(runtime, "ratelimit.try", identifier, {"limit": limit, "count": counted})
    last, allowed = verdicts[-1], sum(one.allowed for one in verdicts)
    tried = Tried(identifier, limit, count, allowed, count - allowed, unenforced, last.limit, last.remaining, last.reset_at, last.why)
    left = f", {last.remaining} left until {last.reset_at:%H:%M:%S}Z" if last.reset_at else ""
    free = f", {unenforced} of them without being counted" if unenforced else ""
    runtime.console.result(tried, lambda: [f"Allowed {allowed} of {count}{free}; the limit is {RULES[limit].text}{left}"])
    if not last.allowed and last.reset_at:
        raise ServiceError(f"{identifier} is over the {limit} limit", f"The window ends at {last.reset_at:%H:%M:%S}Z", status=429)


@app.command()
def reset(
    ctx: typer.Context,
    identifier: str = ID,
    everywhere: bool = typer.Option(False, "--everywhere", help="Look through the whole database, for windows of other lengths too."),
) -> None:
    """Give somebody the whole allowance back: forget exactly their counters, of both limits.

    Example: aura ratelimit reset chat:203.0.113.7 -n
    """
    runtime: Runtime = ctx.obj
    dry_run, deleted = runtime.options.dry_run, 0
    with Limits(runtime.settings) as limits:
        keys = limits.keys(identifier, everywhere=everywhere)
        if dry_run:
            runtime.check_binding()
        elif keys:
            runtime.authorise(len(keys))
            keys = sorted({*keys, *limits.keys(identifier, everywhere=everywhere)})  # a person thinks for longer than a window lasts
            deleted = limits.delete(keys)
            _note(runtime, "ratelimit.reset", identifier, {"counters": deleted})
    done = Reset(identifier, keys, deleted, dry_run)

    def counted(number: int) -> str:
        return "1 counter" if number == 1 else f"{number} counters"

    def lines() -> Iterator[str]:
        yield from keys
        if not keys:
            yield "Nothing is counted of them now."
        elif dry_run:
            yield f"{counted(len(keys))} would be forgotten; nothing was."
        else:
            yield f"{counted(deleted)} forgotten."

    runtime.console.result(done, lines)
    if keys:
        runtime.console.say(CACHES)


def _note(runtime: Runtime, what: str, identifier: str, details: dict[str, str | int]) -> None:
    """Of whom only a hash goes into the log: an identifier may be an address."""
    from hashlib import sha256

    from aura_cli.audit.log import record
    from aura_cli.db.engine import writing

    with writing(runtime.engine) as connection:
        key = f"sha256:{sha256(identifier.encode()).hexdigest()[:16]}"
        record(connection, runtime.settings.operator, what, key, details=details)
