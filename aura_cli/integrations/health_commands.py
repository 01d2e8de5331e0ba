"""Verbs of `aura integrations` that look after connections: list, show, verify, refresh."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format, described
from aura_cli.errors import AttentionNeeded, NotFoundError, PartialFailure, UsageError
from aura_cli.progress import ticking
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.integrations.checkup import Checked
    from aura_cli.integrations.claims import Wanted
    from aura_cli.integrations.health import Desk
    from aura_cli.integrations.keeping import Chosen, Keeper, Plan, Refreshed
    from aura_cli.integrations.state import Seen

WHO = typer.Argument(None, metavar="[WHO]", help="A person: uuid, DID, e-mail, cus_… or sub_…")
COLUMNS = ("email", "provider", "label", "health", "expires_at", "scopes", "id")
_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def list_(
    ctx: typer.Context,
    who: str | None = WHO,
    provider: str | None = typer.Option(None, "--provider", help="Only this one's."),
    health: str | None = typer.Option(None, "--health", help="ok, expired, failing, needs_consent, unreadable or unknown."),
    expiring: str | None = typer.Option(None, "--expiring", metavar="TIME", help="Only what needs a person within that time, like 7d."),
    limit: int | None = typer.Option(None, "--limit", min=0, help="At most so many."),
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
) -> None:
    """List connections with their health, those first that expire first.

    Example: aura integrations list --health needs_consent
    Example: aura integrations list --expiring 7d
    """
    from itertools import islice

    from aura_cli.integrations.health import Filter
    from aura_cli.integrations.state import Health

    runtime: Runtime = ctx.obj
    if health is not None and health not in list(Health):
        raise UsageError(f"No such health: {health[:40]}", f"There are: {', '.join(Health)}")
    within = span(expiring, "--expiring") if expiring else None
    desk, now = _desk(runtime), runtime.clock()
    value = desk.row_value(provider) if provider else None
    chosen = Filter(person(runtime, who) if who else None, value, Health(health) if health else None, within)
    found = islice(desk.listed(chosen, now), limit)
    runtime.console.listing(
        found, COLUMNS, form=form, chosen=columns, total=lambda: sum(1 for _ in islice(desk.listed(chosen, now), limit))
    )


def show(
    ctx: typer.Context,
    who: str = typer.Argument(metavar="WHO", help="A person: uuid, DID, e-mail, cus_… or sub_…"),
    provider: str = typer.Argument(metavar="PROVIDER", help="Its id: aura integrations providers lists them."),
) -> None:
    """Show one connection: whose account, how healthy, until when, and what went wrong.

    Example: aura integrations show ada@example.com slack
    """
    from aura_cli.integrations.health import listed

    runtime: Runtime = ctx.obj
    one = _desk(runtime).one(person(runtime, who), provider)
    found = listed(one, runtime.clock())
    runtime.console.result(found, lambda: described(vars(found)), asked=True)


def verify(
    ctx: typer.Context,
    who: str | None = WHO,
    provider: str | None = typer.Argument(None, metavar="[PROVIDER]", help="Only this one's."),
    everybody: bool = typer.Option(False, "--all", help="Everybody's connections."),
) -> None:
    """Ask the providers whether connections are any good, and whose they are; what is due is refreshed first.

    Exit 3 where one was refused. Example: aura integrations verify ada@example.com
    """
    from aura_cli.integrations.checkup import Checker
    from aura_cli.integrations.health import Filter
    from aura_cli.integrations.keeping import Chosen

    runtime: Runtime = ctx.obj
    if bool(who) == everybody:
        raise UsageError("Say whose connections, or --all", "aura integrations verify WHO [PROVIDER]")
    dry_run = runtime.options.dry_run
    chosen = Filter(person(runtime, who) if who else None, _desk(runtime).row_value(provider) if provider else None)
    if dry_run:
        runtime.check_binding()
    else:
        runtime.authorise()
        _refreshed(runtime, Chosen(chosen.user_id, chosen.provider), timedelta(minutes=1))
    checker = Checker(runtime.engine, runtime.wire, runtime.settings, runtime.vault, runtime.settings.operator, runtime.clock)
    some = list(_desk(runtime).seen(chosen))
    asked = checker.check(some, dry_run=dry_run)
    found = [checked for _, checked in ticking(asked, runtime.console.progress("Connections", len(some)))]
    runtime.console.end_progress()
    if not some and who:
        raise NotFoundError(f"{who} has no such connection", "aura integrations list shows what there is")
    runtime.console.listing(found, ("provider", "result", "label", "error", "user"))
    _tell_checked(found)


def _tell_checked(found: list[Checked]) -> None:
    if refused := sum(one.refused for one in found):
        raise AttentionNeeded(f"{refused:,} of {len(found):,} connections need a person", "aura integrations connect PROVIDER --user WHO")
    if failed := sum(one.result not in ("good", "unknown") for one in found):
        raise PartialFailure(f"{failed:,} of {len(found):,} could not be checked", "Each is named above, with the reason")


def refresh(
    ctx: typer.Context,
    who: str | None = WHO,
    within: str = typer.Option("15m", "--within", metavar="TIME", help="What ends within that time is due."),
    provider: str | None = typer.Option(None, "--provider", help="Only this one's."),
    force: bool = typer.Option(False, "--force", help="Whatever can be refreshed, due or not, cool-downs left aside."),
    rotating: bool = typer.Option(False, "--rotating", help="Only those whose refresh token is replaced by it: after a key was lost."),
    limit: int | None = typer.Option(None, "--limit", min=0, help="At most so many now."),
    at_once: int = typer.Option(32, "--at-once", min=1, max=128, help="Requests on their way at the same time."),
) -> None:
    """Renew what ends soon, and keep alive what dies of idleness. For cron: every few minutes.

    Exit 3 while somebody has to connect something anew. Example: aura integrations refresh --provider google-calendar
    Example: aura integrations refresh ada@example.com --force
    """
    from aura_cli.integrations.claims import Wanted
    from aura_cli.integrations.keeping import Chosen

    runtime: Runtime = ctx.obj
    wanted = Wanted(span(within, "--within"), force)
    value = _desk(runtime).row_value(provider) if provider else None
    if value and runtime.catalogue.of_row(value) is None:
        runtime.catalogue.get(value)  # says that there is none: a slip in a crontab would leave everybody's tokens to run out
    chosen = Chosen(person(runtime, who) if who else None, value, rotating, limit)
    work = keeper(runtime)
    runtime.check_binding()
    plan = work.plan(wanted, chosen)
    result = work.foreseen(plan) if runtime.options.dry_run else _run(runtime, work, plan, wanted, at_once)
    runtime.console.result(result, lambda: _told(result))
    _attend(result)


def _run(runtime: Runtime, work: Keeper, plan: Plan, wanted: Wanted, at_once: int) -> Refreshed:
    """Refresh, and try again what could not be revoked."""
    from aura_cli.integrations.revoke import Ender

    runtime.authorise(len(plan.due))
    result = work.run(wanted, plan, at_once=at_once, tick=runtime.console.progress("Connections", len(plan.due)))
    runtime.console.end_progress()
    settings, clock = runtime.settings, runtime.clock
    done, left = Ender(runtime.engine, runtime.vault, runtime.catalogue, runtime.wire, settings, clock).retry()
    if done or left:
        runtime.console.say(f"Revocations tried again: {done:,} done, {left:,} left")
    for one in result.troubles:
        if one.change:
            runtime.console.warn(f"{one.change.capitalize()}: {one.provider} of {one.user}{f': {one.error}' if one.error else ''}")
    return result


def _told(result: Refreshed) -> Iterator[str]:
    for one in result.troubles:
        yield f"{one.provider}  {one.label or one.user}  {one.result}{f': {one.error}' if one.error else ''}"
    names = ("refreshed", "failing", "at_fault", "needs_consent", "unreadable", "lost_race", "cooling", "stopped", "busy", "stored", "left")
    counted = [f"{getattr(result, name):,} {name.replace('_', ' ')}" for name in names if getattr(result, name)]
    yield f"{result.due:,} due{''.join(f', {text}' for text in counted)} ({result.duration_s:.1f} s)" + (
        "; nothing was sent or written" if result.dry_run else ""
    )
    for name in result.stopped_providers:
        yield f"Stopped for now: {name}, its application or service being at fault"
    for name in result.recovered_providers:
        yield f"Well again: {name}"


def _attend(result: Refreshed) -> None:
    if result.needs_a_person:
        parts = [f"{counted(result.needs_consent, 'connection')} must be connected anew"] if result.needs_consent else []
        parts += [f"{result.unreadable:,} cannot be opened"] if result.unreadable else []
        parts += [f"{', '.join(result.stopped_providers)} is misconfigured or down"] if result.stopped_providers else []
        raise AttentionNeeded("; ".join(parts), "aura integrations list --health needs_consent; aura keys status")
    if result.failing or result.at_fault:
        raise PartialFailure(f"{result.failing + result.at_fault:,} could not be refreshed", "They are tried again; -q leaves out which")


def _refreshed(runtime: Runtime, chosen: Chosen, within: timedelta) -> None:
    """Refresh what is due of the chosen, before it is used."""
    from aura_cli.integrations.claims import Wanted

    work, wanted = keeper(runtime), Wanted(within)
    plan = work.plan(wanted, chosen)
    if plan.due:
        work.run(wanted, plan)


def renewed(runtime: Runtime, user_id: str, provider: str, within: timedelta) -> Seen:
    """A user's connection, refreshed if it ends `within`. Raises NotFoundError."""
    from aura_cli.integrations.keeping import Chosen

    one = _desk(runtime).one(user_id, provider)
    if not one.is_due(runtime.clock(), within):
        return one
    _refreshed(runtime, Chosen(user_id, one.read.provider), within)
    return _desk(runtime).one(user_id, provider)


def keeper(runtime: Runtime) -> Keeper:
    """What keeps connections alive, out of a command's surroundings. Raises ConfigurationError where nothing can be sealed."""
    from aura_cli.integrations.asking import Asker
    from aura_cli.integrations.keeping import Keeper
    from aura_cli.integrations.settling import Book
    from aura_cli.integrations.spool import Spool

    settings, console = runtime.settings, runtime.console
    spool = Spool.at(settings.home, runtime.vault)
    asker = Asker(runtime.wire, settings, spool, runtime.clock)
    book = Book(runtime.engine, runtime.vault, settings.operator)
    return Keeper(runtime.engine, runtime.catalogue, asker, book, runtime.clock, console.warn)


def _desk(runtime: Runtime) -> Desk:
    from aura_cli.integrations.health import Desk

    return Desk(runtime.engine, runtime.vault, runtime.catalogue)


def person(runtime: Runtime, who: str) -> str:
    """The id of whom WHO means."""
    from aura_cli.db.engine import reading
    from aura_cli.users.who import resolve

    with reading(runtime.engine) as connection:
        return resolve(connection, who).id


def span(text: str, option: str) -> timedelta:
    """A length of time, `90s`, `15m`, `2h`, `7d`, `2w`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip())
    if not found:
        raise UsageError(f"{option}: {text[:40]!r} is no length of time", "Like 15m, 2h or 7d")
    return timedelta(**{_SPANS[found[2]]: int(found[1])})
