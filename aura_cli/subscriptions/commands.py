"""`aura subscriptions`: reconcile with Stripe, list, show, stats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aura_cli.console import Format, bar, brief, described
from aura_cli.errors import AttentionNeeded
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from aura_cli.subscriptions.reconcile import Planned, Progress, Reconciliation, Wanted
    from aura_cli.subscriptions.views import Stats
    from aura_cli.users.who import Person

app = typer.Typer(help="Subscriptions: reconcile with Stripe, list, count.", rich_markup_mode=None, no_args_is_help=True)

WHO = typer.Argument(None, metavar="[WHO]", help="A person: uuid, DID, e-mail, cus_… or sub_…")
_TELLING = ("status", "current_period_end", "tokens", "why", "customer", "first", "last")
COLUMNS = ("subscription", "status", "stripe_status", "current_period_end", "price", "user", "cancel_at_period_end", "created_at")


@app.command()
def reconcile(
    ctx: typer.Context,
    who: str | None = WHO,
    apply: bool = typer.Option(False, "--apply", help="Repair what can be repaired."),
    save_plan: Path | None = typer.Option(None, "--save-plan", metavar="FILE", help="Write the plan to FILE, for aura apply."),
    max_changes: int | None = typer.Option(
        None, "--max-changes", min=0, help="Stop if more existing rows would change (default: 50 or 5 %)."
    ),
    resume: bool = typer.Option(False, "--resume", help="Carry on a scan that was broken off."),
    history: bool = typer.Option(False, "--history", help="Ended subscriptions that we lack, and all top-ups, too."),
    max_rps: float | None = typer.Option(None, "--max-rps", min=0, help="Requests a second (default 15 live, 10 test; 0: no limit)."),
) -> None:
    """Compare Stripe with the database, show the drift and, with --apply, repair it.

    Exit 3 while drift is left. Example: aura subscriptions reconcile --apply
    Example: aura subscriptions reconcile someone@example.com --apply
    """
    from aura_cli.db.leases import lease
    from aura_cli.subscriptions import reconcile as work

    runtime: Runtime = ctx.obj
    apply = apply and not runtime.options.dry_run
    if save_plan:
        from aura_cli.drift.planfile import require_writable, save

        require_writable(save_plan)
    identity = runtime.bind()  # what is seen at Stripe is kept, whether or not it is repaired
    stripe = runtime.stripe_at(max_rps)
    wanted = _wanted(runtime, who, history=history, resume=resume)
    progress = _progress(runtime)
    with lease(runtime.engine, f"reconcile {wanted.scope}".strip()) as held:
        planned = work.make_plan(runtime.engine, stripe, wanted, runtime.clock(), lease=held, progress=progress)
        runtime.console.end_progress()
        if save_plan:
            save(runtime.engine, planned.plan, identity, save_plan)
        result = _apply(runtime, planned, held, max_changes, progress) if apply else work.report(runtime.engine, planned)
        runtime.console.end_progress()
        repair = f"aura apply {save_plan}" if save_plan else runtime.options.to_write
        runtime.console.result(result, lambda: _told(result, runtime.console.width, "" if apply else repair))
    if result.left:
        raise typer.Exit(AttentionNeeded.exit_code)


def _apply(runtime: Runtime, planned: Planned, held: Any, limit: int | None, progress: Progress) -> Reconciliation:
    from aura_cli.subscriptions.reconcile import carry_out

    operator, consent = runtime.settings.operator, lambda kinds: runtime.authorise(kinds=kinds)
    return carry_out(runtime.engine, planned, operator, lease=held, limit=limit, progress=progress, consent=consent)


@app.command("list")
def list_(
    ctx: typer.Context,
    who: str | None = WHO,
    status: str | None = typer.Option(None, "--status", help="Only these: a status of the web app's or of Stripe's."),
    limit: int | None = typer.Option(None, "--limit", min=1, help="At most so many."),
    form: Format | None = typer.Option(None, "--format", help="table, json, jsonl or csv."),
    columns: str | None = typer.Option(None, "--columns", help="Comma-separated names."),
) -> None:
    """List subscriptions, newest first.

    Example: aura subscriptions list --status past_due --format csv
    Example: aura subscriptions list someone@example.com
    """
    from aura_cli.errors import UsageError
    from aura_cli.subscriptions import views
    from aura_cli.subscriptions.stripe import NEAREST

    runtime: Runtime = ctx.obj
    if status and status not in NEAREST:
        raise UsageError(f"No such status: {status}", f"There are: {', '.join(NEAREST)}")
    user = _person(runtime, who).id if who else None
    found = views.rows(runtime.engine, status=status, user=user, limit=limit)
    total = None if limit else lambda: views.count(runtime.engine, status=status, user=user)
    runtime.console.listing(found, COLUMNS, form=form, chosen=columns, total=total)


@app.command()
def show(ctx: typer.Context, who: str = typer.Argument(..., metavar="WHO", help="A person: uuid, DID, e-mail, cus_… or sub_…")) -> None:
    """Show a person's subscriptions, with the exact status that Stripe gave last.

    Example: aura subscriptions show someone@example.com
    """
    from aura_cli.subscriptions import views

    runtime: Runtime = ctx.obj
    found = list(views.rows(runtime.engine, user=_person(runtime, who).id))

    def lines() -> Iterator[str]:
        for index, row in enumerate(found):
            yield from ([""] if index else [])
            yield from described(vars(row))
        if not found:
            yield "No subscription."

    runtime.console.result(found, lines, asked=True)


@app.command()
def stats(ctx: typer.Context) -> None:
    """Count subscriptions by status, monthly recurring revenue by currency, and the trials that end soon.

    Example: aura subscriptions stats
    """
    from aura_cli.db.engine import reading
    from aura_cli.subscriptions.views import stats

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        found = stats(connection, runtime.clock())
    runtime.console.result(found, lambda: _stats_lines(found), asked=True)


def _person(runtime: Runtime, who: str) -> Person:
    from aura_cli.db.engine import reading
    from aura_cli.users.who import resolve

    with reading(runtime.engine) as connection:
        return resolve(connection, who)


def _wanted(runtime: Runtime, who: str | None, *, history: bool, resume: bool) -> Wanted:
    """What to look at. A customer nobody is linked to yet can be named by its own id."""
    from aura_cli.errors import NotFoundError
    from aura_cli.subscriptions.reconcile import Wanted, customer_at_stripe, customers_of

    if who is None:
        return Wanted(history=history, resume=resume)
    try:
        person = _person(runtime, who)
    except NotFoundError:
        if not who.startswith(("cus_", "sub_")):
            raise
        customer = customer_at_stripe(runtime.stripe, who)
        try:
            person = _person(runtime, customer)
        except NotFoundError:
            return Wanted(None, (customer,), history, resume)
    return Wanted(person.id, customers_of(runtime.stripe, person.id, person.stripe_customer_id), history, resume)


def _progress(runtime: Runtime) -> Progress:
    from aura_cli.subscriptions.reconcile import Progress

    def step(label: str, expected: int | None) -> Callable[[int], None]:
        return runtime.console.progress(label, expected)

    return Progress(step, runtime.console.say)


def _told(result: Reconciliation, width: int | None, repair: str) -> Iterator[str]:
    """The drift, a line each (where `width` is too narrow for one, its parts below), and what became of it, or what would `repair` it."""
    for change in result.drift:
        about = change.subscription or (change.after or {}).get("stripe_customer_id") or change.key
        parts = _difference(change.before, change.after)
        line = f"{change.kind:<17} {about:<29} {', '.join(parts)}"
        if width is None or len(line) <= width:
            yield line
        else:
            yield f"{change.kind:<17} {about}"
            yield from (f"  {part}" for part in parts)
    found = sum(result.counts.values())
    differences = f"{counted(found, 'difference')}." if found else "no drift."
    yield f"{counted(result.remote, 'subscription')} at Stripe, {result.local:,} here: {differences}"
    if found:
        yield "  " + ", ".join(f"{number:,} {kind}" for kind, number in result.counts.items())
    if not repair:
        yield f"{result.applied:,} applied, {result.skipped:,} skipped because they had moved, {result.left:,} left."
    elif found:
        yield f"Nothing was written; repair it with {repair}."


def _difference(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """A change in a few words: what becomes of what, or the telling parts of what is new or only reported."""
    both = [name for name in after or {} if name in (before or {})]
    if before and after and both:
        return [f"{name}: {_short(before[name])} → {_short(after[name])}" for name in both]
    facts = {name: value for name, value in (after or before or {}).items() if name in _TELLING and value is not None}
    return [f"{name}: {_short(value)}" for name, value in facts.items()]


def _short(value: object) -> str:
    return "nothing" if value is None else brief(value).replace(".000000Z", "Z")


def _stats_lines(found: Stats) -> Iterator[str]:
    yield "Status (Stripe's)"
    numbers = found.by_stripe_status or found.by_status
    widest = max(numbers.values(), default=1)
    for status, number in numbers.items():
        yield f"  {status:<20} {number:>8,} {bar(number, widest)}"
    yield "Monthly recurring revenue"
    for revenue in found.revenue:
        yield f"  {revenue.currency.upper():<20} {revenue.shown:>14} from {counted(revenue.subscriptions, 'subscription')}"
    if found.unseen:
        yield f"  without {counted(found.unseen, 'subscription')} never looked at in Stripe: aura subscriptions reconcile"
    yield "Trials ending"
    most = max((ending.trials for ending in found.trials_ending), default=1)
    for ending in found.trials_ending:
        yield f"  {ending.day:<20} {ending.trials:>8,} {bar(ending.trials, most)}"
