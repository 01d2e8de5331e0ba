"""`aura webhooks`: what arrived and what became of it; handled again, counted, pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from aura_cli.console import ROWS_ON_A_TERMINAL, Format, bar, brief, described, rfc3339
from aura_cli.errors import AttentionNeeded, PartialFailure, UsageError
from aura_cli.runtime import Runtime
from aura_cli.webhooks import serve_commands, stripe_commands
from aura_cli.words import counted

if TYPE_CHECKING:
    from aura_cli.webhooks.pruning import Pruned
    from aura_cli.webhooks.replay import Ended, Replay
    from aura_cli.webhooks.stats import AtStripe, Stats
    from aura_cli.webhooks.views import Filter, Shown

ABOUT = "What Stripe's webhooks brought: look, handle again, fetch, send, count."
COLUMNS = ("id", "type", "state", "customer", "received_at", "attempts", "outcome", "created", "due_at", "object", "source")
SINCE = typer.Option(None, "--since", metavar="WHEN", help="What arrived since then: 30m, 2h, 7d ago, a date or time (UTC).")
TYPE = typer.Option(None, "--type", metavar="TYPE", help="Only events of this type, such as invoice.paid.")
app = typer.Typer(help=ABOUT, rich_markup_mode=None, no_args_is_help=True)


class Status(StrEnum):
    """The states of a stored event."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    UNMATCHED = "unmatched"
    DEAD = "dead"


@app.command("list")
def list_(
    ctx: typer.Context,
    status: Status | None = typer.Option(None, "--status", help="Only events in this state."),
    type_: str | None = TYPE,
    customer: str | None = typer.Option(None, "--customer", metavar="cus_…", help="Only events about this customer."),
    since: str | None = SINCE,
    about: str | None = typer.Option(None, "--object", metavar="ID", help="Only events about this object: sub_…, in_…, cs_…"),
    limit: int | None = typer.Option(None, "--limit", min=0, help="At most so many."),
    form: Format | None = typer.Option(None, "--format", help="How to write the list."),
    columns: str | None = typer.Option(None, "--columns", metavar="A,B", help="Which columns."),
) -> None:
    """List stored events, the last to arrive first.

    Example: aura webhooks list --status dead --since 7d
    Example: aura webhooks list --customer cus_123 --json
    """
    from aura_cli.webhooks import views

    runtime: Runtime = ctx.obj
    chosen = views.Filter(status, type_, customer, about, _moment(runtime, since))
    rows = views.rows(runtime.engine, chosen, limit)
    if runtime.console.is_terminal and not columns and (form or runtime.options.as_json or Format.TABLE) is Format.TABLE:
        rows = map(views.shortened, rows)
    most = (limit,) if limit is not None else ()
    runtime.console.listing(rows, COLUMNS, form=form, chosen=columns, total=lambda: min((views.count(runtime.engine, chosen), *most)))


@app.command()
def show(
    ctx: typer.Context,
    event: str = typer.Argument(..., metavar="EVENT", help="Its id, evt_…"),
    raw: bool = typer.Option(False, "--raw", help="The body alone, byte for byte as it arrived."),
) -> None:
    """Show an event: its body, every try with its error and what it changed, and what it set off.

    Example: aura webhooks show evt_123
    """
    from aura_cli.db.engine import reading
    from aura_cli.webhooks import views

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        if raw:
            runtime.console.raw(views.payload(connection, event))
            return
        found = views.show(connection, event)
    runtime.console.result(found, lambda: _shown(found), asked=True)


def _shown(found: Shown) -> Iterator[str]:
    import json

    yield from described(vars(found.event))
    for attempt in found.attempts:
        yield f"\n{brief(attempt.at)}  {attempt.outcome}{': ' if attempt.note else ''}{attempt.note or ''}"
        for change in attempt.changes:
            yield from (f"  {line}" for line in _changed(change))
    for effect in found.effects:
        trouble = f" ({effect.error})" if effect.error else ""
        yield f"\n{effect.kind} {effect.key}: {effect.state} after {counted(effect.attempts, 'attempt')}{trouble}"
    yield ""
    yield json.dumps(found.payload, indent=2, ensure_ascii=False)


def _changed(change: Mapping[str, Any]) -> Iterator[str]:
    """A changed row: which, and below it what each value was and is."""
    before, after = change["before"] or {}, change["after"] or {}
    yield f"{change['table']} {change['key']}" + ("" if before and after else " (new)" if after else " (gone)")
    for name in dict.fromkeys((*before, *after)):
        old, new = (_exactly(side.get(name)) or "nothing" for side in (before, after))
        if old != new:
            yield f"  {name}: {old} → {new}"


def _exactly(value: object) -> str:
    """As `brief`, but for times: a second may be all that changed."""
    return rfc3339(value) if isinstance(value, datetime) else brief(value)


@app.command()
def replay(
    ctx: typer.Context,
    events: list[str] | None = typer.Argument(None, metavar="[EVENT]...", help="Their ids, evt_…"),
    status: Status | None = typer.Option(None, "--status", help="All in this state, such as dead."),
    since: str | None = SINCE,
    type_: str | None = TYPE,
    apply: bool = typer.Option(False, "--apply", help="Do it; what is chosen by --status or --since is only shown without."),
    diff: bool = typer.Option(False, "--diff", help="With -n: what would change, tried out in a transaction that is rolled back."),
    to: str | None = typer.Option(None, "--to", metavar="URL", help="Send them to this server instead, signed anew."),
) -> None:
    """Handle stored events again, now, whatever became of them; or send them to a server.

    Exit 9 where some fail. Example: aura webhooks replay evt_123 -n --diff
    Example: aura webhooks replay --status dead --apply
    """
    from aura_cli.webhooks import replay as work

    runtime: Runtime = ctx.obj
    wanted = _wanted(runtime, events, status, since, type_)
    dry_run = runtime.options.dry_run or not (wanted.ids or apply)
    if diff and (to or not dry_run):
        raise UsageError("--diff shows what would change, and goes with -n" if not to else "--diff and --to contradict each other")
    found = work.chosen(runtime.engine, wanted)
    ids = [one.event for one in found]
    if dry_run:
        runtime.check_binding()
        tried = work.rehearse(_worker(runtime), ids) if diff else ()
        planned = work.Replay.of(list(tried), applied=False) if diff else work.Replay.chosen(found)
        runtime.console.result(planned, lambda: _replayed(runtime, planned, to, tried=diff))
        runtime.console.say("Nothing was done." if wanted.ids else f"Nothing was done; {runtime.options.to_write} does it.")
        return
    if to:
        _send(runtime, to, ids)
        return
    runtime.authorise(len(ids))
    tick, ended = runtime.console.progress("Events", len(ids)), list[Any]()
    for one in work.replay(_worker(runtime), ids, runtime.settings.operator):
        ended.append(one)
        tick(len(ended))
    runtime.console.end_progress()
    done = work.Replay.of(ended, applied=True)
    runtime.console.result(done, lambda: _replayed(runtime, done, to))
    if done.failed:
        raise PartialFailure(f"{done.failed:,} of {len(ended):,} events failed", "See why: aura webhooks show EVENT")


def _wanted(runtime: Runtime, events: list[str] | None, status: Status | None, since: str | None, type_: str | None) -> Filter:
    from aura_cli.webhooks.views import Filter

    if events and (status or since or type_):
        raise UsageError("Events are named, or chosen by --status, --since and --type, not both")
    if not events and not status and not since:
        raise UsageError("Which events?", "Name them, or choose them by --status or --since")
    return Filter(status, type_, since=_moment(runtime, since), ids=tuple(events or ()))


def _worker(runtime: Runtime) -> Any:
    """One that works with what is configured."""
    from aura_cli.analytics.collecting import is_configured
    from aura_cli.webhooks.batch import Surroundings
    from aura_cli.webhooks.forwarding import Forwarding
    from aura_cli.webhooks.worker import Worker

    forwards = Forwarding.of(runtime.engine, runtime.settings) is not None
    stripe = runtime.stripe if runtime.settings.stripe_mode else None
    return Worker(runtime.engine, stripe, Surroundings(forwards, counts=is_configured(runtime.settings)), runtime.clock)


def _replayed(runtime: Runtime, replay: Replay, to: str | None, *, tried: bool = True) -> Iterator[str]:
    shown = replay.events[:ROWS_ON_A_TERMINAL] if runtime.console.is_terminal else replay.events
    for one in shown:
        yield _ended(one) if tried else f"{one.event}  {one.type}: now {one.state}"
        for change in one.changes:
            yield from (f"  {line}" for line in _changed(change))
    if len(shown) < len(replay.events):
        yield f"… and {len(replay.events) - len(shown):,} more"
    kinds = ", ".join(f"{number:,} {name}" for name, number in replay.counts.items())
    number = counted(len(replay.events), "event")
    if replay.applied:
        yield f"{number} handled again: {kinds or 'none'}."
        return
    known = f" ({'' if tried else 'now: '}{kinds})" if kinds else ""
    yield f"{number} would be {f'sent to {to}' if to else 'handled again'}{known}."


def _ended(one: Ended) -> str:
    how = one.outcome if one.state == "done" and one.outcome else one.state
    return f"{one.event}  {one.type}: {how}" + (f" ({one.note})" if one.note else "")


def _send(runtime: Runtime, to: str, ids: list[str]) -> None:
    from aura_cli.settings import leads_here
    from aura_cli.webhooks.replay import Delivery, send
    from aura_cli.webhooks.sending import Target

    target = Target(to, stripe_commands.signing_secret(runtime))
    stripe_commands.require_consent(runtime, to)
    if not leads_here(to):
        runtime.console.confirm(f"Send {len(ids):,} stored events, which tell of customers, to {to}?")
    delivered = Delivery(to, list(send(runtime.engine, target, ids)))

    def lines() -> Iterator[str]:
        yield from (stripe_commands.sent_line(sent) for sent in delivered.sent)

    runtime.console.result(delivered, lines)
    if delivered.failed:
        raise PartialFailure(f"{to} did not take {delivered.failed:,} of {len(ids):,} events", "Its answers are above")


@app.command()
def stats(
    ctx: typer.Context,
    since: str = typer.Option("24h", "--since", metavar="WHEN", help="Count from then on: 30m, 2h, 7d ago, a date or time (UTC)."),
) -> None:
    """Count what arrived and what became of it, say what waits, which secrets are needed, and whether Stripe has more.

    Exit 3 where nothing arrives while Stripe has events, or some are dead. Example: aura webhooks stats --since 7d
    """
    from dataclasses import replace
    from datetime import UTC, datetime

    from aura_cli.db.engine import reading
    from aura_cli.webhooks import stats as work
    from aura_cli.webhooks.moments import since as moment
    from aura_cli.webhooks.signature import secrets_of

    runtime: Runtime = ctx.obj
    now = runtime.clock()
    start = datetime.fromtimestamp(moment(since, now), UTC)
    with reading(runtime.engine) as connection:
        found = work.stats(connection, start, now, secrets_of(runtime.settings))
    at_stripe, note = _at_stripe(runtime)
    found = replace(found, at_stripe=at_stripe, note=note)
    runtime.console.result(found, lambda: _counted(found), asked=True)
    hints = {
        work.silence(found): "See: aura webhooks endpoints list. Fetch what was missed: aura webhooks backfill",
        work.dead(found): "Why: aura webhooks list --status dead. Once that is mended: aura webhooks replay --status dead",
    }
    if troubles := [trouble for trouble in hints if trouble]:
        raise AttentionNeeded(". ".join(troubles), ". ".join(hints[trouble] for trouble in troubles))


def _at_stripe(runtime: Runtime) -> tuple[AtStripe | None, str | None]:
    """What Stripe has, or why it could not be asked."""
    from aura_cli.errors import ServiceError, UnreachableError
    from aura_cli.webhooks.stats import at_stripe

    if runtime.settings.stripe_mode is None:
        return None, "STRIPE_SECRET_KEY is not set: whether Stripe has more was not asked"
    try:
        runtime.check_binding()
        return at_stripe(runtime.engine, runtime.stripe, runtime.clock()), None
    except (ServiceError, UnreachableError) as error:
        return None, error.message


def _counted(found: Stats) -> Iterator[str]:
    from aura_cli.webhooks.stats import HOURLY, ago

    yield f"{counted(found.received, 'event')} since {brief(found.since)}, {found.received_per_hour:,.1f} an hour"
    most = max((one.events for one in found.over_time), default=1)
    form = "%m-%d %H:00" if len(found.over_time) <= HOURLY + 1 else "%Y-%m-%d"
    for one in found.over_time if found.received else ():
        yield f"  {one.begin:{form}} {one.events:>8,} {bar(one.events, most)}".rstrip()
    for title, counts in (("State", found.by_state), ("Outcome", found.by_outcome), ("Type", found.by_type)):
        yield from ([title] if counts else [])
        yield from (f"  {name:<44} {number:>8,}" for name, number in counts.items())
    left = ", ".join(f"{number:,} {state}" for state, number in found.open.items() if number)
    waits = f"; the oldest that is due has waited {found.lag_seconds:,.1f} s" if found.lag_seconds else ""
    yield f"Not done, whenever it arrived: {left or 'nothing'}{waits}"
    for secret in found.secrets:
        times = counted(secret.matched, "time")
        last = f"last needed {ago(secret.last_matched_at, found.until)} ago, {times}" if secret.last_matched_at else "not needed so far"
        yield f"Secret {secret.label!r}: {last}" + ("" if secret.configured else "; it is not configured any more")
    forward = found.forwarding
    if forward.pending or forward.done or forward.dead:
        waiting = f", waiting for {ago(forward.waiting_since, found.until)}" if forward.waiting_since else ""
        yield f"Forwarding: {forward.pending:,} pending{waiting}, {forward.done:,} done, {forward.dead:,} dead"
        yield from ([f"  last error: {forward.last_error}"] if forward.last_error else [])
    newest = found.newest_received_at
    stripes = f"; Stripe's newest is {ago(found.at_stripe.newest, found.until)} old" if found.at_stripe and found.at_stripe.newest else ""
    yield (f"The last event arrived {ago(newest, found.until)} ago" if newest else "No event has arrived yet") + stripes
    if found.at_stripe and found.at_stripe.older:
        yield "Stripe has events of before that are not here: aura webhooks backfill"
    yield from ([found.note] if found.note else [])


@app.command()
def prune(
    ctx: typer.Context,
    older_than: str = typer.Option("90d", "--older-than", metavar="WHEN", help="What arrived before: 90d ago or more than 30, or a date."),
    dead: bool = typer.Option(False, "--dead", help="Also what was given up."),
    unmatched: bool = typer.Option(False, "--unmatched", help="Also what is of nobody here."),
    apply: bool = typer.Option(False, "--apply", help="Delete it; without, it is only counted."),
) -> None:
    """Delete events that are done and old, with their tries and what was forwarded of them; never what is still to be done.

    Nothing younger than 30 days goes: Stripe could bring it again. Example: aura webhooks prune --older-than 90d --apply
    """
    from datetime import UTC, datetime

    from aura_cli.webhooks import pruning
    from aura_cli.webhooks.moments import since as moment

    runtime: Runtime = ctx.obj
    now = runtime.clock()
    try:
        before = datetime.fromtimestamp(moment(older_than, now), UTC)
    except UsageError as error:
        raise UsageError(error.message, "Examples: 30d, 90d, 2026-05-01") from None  # nothing shorter is taken here
    old = pruning.Old.than(before, now, dead=dead, unmatched=unmatched, called=older_than)
    done = pruning.plan(runtime.engine, old)
    if apply and not runtime.options.dry_run:
        runtime.authorise(done.events + done.attempts + done.effects)
        done = pruning.prune(runtime.engine, old, runtime.settings.operator, runtime.console.progress("Events", done.events))
        runtime.console.end_progress()
    runtime.console.result(done, lambda: _pruned(done, runtime.options.to_write))


def _pruned(done: Pruned, to_write: str) -> Iterator[str]:
    deed, rest = ("deleted", "") if done.applied else ("would be deleted", f" Nothing was; {to_write} does it.")
    also = f"{done.attempts:,} tries, {done.effects:,} effects"
    yield f"{counted(done.events, 'event')} from before {brief(done.before)}, {also} {deed}.{rest}"


def _moment(runtime: Runtime, text: str | None) -> int | None:
    from aura_cli.webhooks.moments import since

    return since(text, runtime.clock()) if text else None


app.command()(serve_commands.work)
stripe_commands.add_to(app)
