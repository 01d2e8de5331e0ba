"""`aura email log` and `retry`, and the addresses that get no mail."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format, brief, described
from aura_cli.errors import AuraError, NotFoundError, PartialFailure, UsageError
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.mail.again import Retried
    from aura_cli.mail.views import Filter, Story
    from aura_cli.outbox.carrying import Carried

COLUMNS = ("id", "template", "address", "state", "created_at", "error", "state_at", "user_id", "batch", "resend_id")
SUPPRESSED_COLUMNS = ("address", "reason", "since", "mail")


class State(StrEnum):
    """The states of a mail."""

    QUEUED = "queued"
    NOT_CONFIGURED = "not_configured"
    SUPPRESSED = "suppressed"
    SENT = "sent"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    EXPIRED = "expired"


STATE = typer.Option(None, "--state", help="Only mails in this state.")
TEMPLATE = typer.Option(None, "--template", help="Only mails of this template.")
BATCH = typer.Option(None, "--batch", metavar="NAME", help="Only those of one `send --to-all`.")


def log(
    ctx: typer.Context,
    about: str | None = typer.Argument(None, metavar="[ABOUT]", help="A mail's id shows that one; an address or user id its mails."),
    state: State | None = STATE,
    template: str | None = TEMPLATE,
    batch: str | None = BATCH,
    since: str | None = typer.Option(None, "--since", metavar="WHEN", help="Asked for since then: 30m, 2h, 7d ago, a date or time (UTC)."),
    limit: int | None = typer.Option(None, "--limit", min=0, help="At most so many."),
    form: Format | None = typer.Option(None, "--format", help="How to write the list."),
    columns: str | None = typer.Option(None, "--columns", metavar="A,B", help="Which columns."),
) -> None:
    """List mails, the last asked for first, and what became of each.

    Example: aura email log --state bounced --since 7d
    Example: aura email log mina@example.com
    """
    from aura_cli.db.engine import reading
    from aura_cli.mail import views

    runtime: Runtime = ctx.obj
    if template and not views.count(runtime.engine, views.Filter(template=template)):  # mails outlive their templates
        _require_template(template)
    if about:
        with reading(runtime.engine) as connection:
            try:
                story = views.story(connection, about)
            except NotFoundError:
                story = None
            except UsageError:
                story = None
                if "@" not in about and not views.count(runtime.engine, views.Filter(about)):
                    raise
        if story:
            runtime.console.result(story, lambda: _story(story), asked=True)
            return
    chosen = views.Filter(about, state, template, batch, _moment(runtime, since))
    most = (limit,) if limit is not None else ()
    rows = views.rows(runtime.engine, chosen, limit)
    runtime.console.listing(rows, COLUMNS, form=form, chosen=columns, total=lambda: min((views.count(runtime.engine, chosen), *most)))


def _require_template(name: str) -> None:
    from aura_cli.mail.rendering import find

    try:
        find(name)
    except NotFoundError as error:
        raise UsageError(error.message, error.hint) from None


def _moment(runtime: Runtime, since: str | None) -> datetime | None:
    from aura_cli.webhooks.moments import since as moment

    return datetime.fromtimestamp(moment(since, runtime.clock()), UTC) if since else None


def _story(story: Story) -> Iterator[str]:
    yield from described({**vars(story.mail), "attempts": story.attempts or None, "next try": story.next_try_at})
    for name, value in story.data.items():
        yield f"  {name} = {value}"
    for event in story.events:
        yield f"{brief(event.created)}  {event.type}"


def retry(
    ctx: typer.Context,
    ids: list[str] | None = typer.Argument(None, metavar="[MAIL]...", help="Mails by their ids; without, all that wait."),
    state: State | None = typer.Option(None, "--state", help="All in this state: not_configured, suppressed, failed, bounced, expired."),
    batch: str | None = BATCH,
    due: bool = typer.Option(False, "--due", help="Only what waits and whose turn it is: for cron."),
    anew: bool = typer.Option(False, "--anew", help="Also mails whose key has expired, which may have been sent."),
) -> None:
    """Try mails again that did not go out: those that wait, or those named or chosen, whatever ended them.

    The same row goes out once: a request that was broken off is repeated under its key, for a day. Example: aura email retry --due
    Example: aura email retry --state not_configured
    """
    from aura_cli.mail import again, campaign
    from aura_cli.mail.send_commands import listed
    from aura_cli.mail.views import Filter

    runtime: Runtime = ctx.obj
    wanted = Filter(state=state, batch=batch, ids=tuple(ids or ()))
    if due and (ids or state or batch or anew):
        raise UsageError("--due takes what is due, and nothing else is chosen with it")
    if ids and (state or batch):
        raise UsageError("Mails are named, or chosen by --state and --batch, not both")
    if state and state not in (*again.REVIVED, "queued"):
        raise UsageError(f"What is {state} was sent", "aura email send … --again sends it once more")
    runtime.settings.require("RESEND_API_KEY", "mail is sent with it")
    found = again.waiting(runtime.engine, due=due) if not (ids or state or batch) else _chosen(runtime, wanted, anew=anew)
    if runtime.options.dry_run:
        runtime.check_binding()
        _retried(runtime, again.Retried(len(found), campaign.states(runtime.engine, found)), "Nothing was sent.")
        return
    runtime.authorise(len(found) + (0 if ids or state or batch else again.unmade(runtime.engine, due=due)))
    if ids or state or batch:
        again.revive(runtime.engine, found, runtime.settings.operator)
    elif not due:
        again.make_due(runtime.engine)
    keys, halted = _carried(runtime, campaign.effects(runtime.engine, found) if ids or state or batch else None)
    found = sorted({*found, *again.carried_by(runtime.engine, keys)})
    done = again.Retried(len(found), campaign.states(runtime.engine, found))
    _retried(runtime, done, "")
    if halted:
        raise halted
    if bad := {name: number for name, number in done.states.items() if name in ("queued", *again.REVIVED)}:
        expired = "; of what has expired nobody knows whether it was sent" if "expired" in bad else ""
        message = f"{sum(bad.values()):,} of {counted(len(found), 'mail')} not sent: {listed(bad)}{expired}"
        raise PartialFailure(message, f"Why: aura email log --state {next(iter(bad))}")


def _chosen(runtime: Runtime, wanted: Filter, *, anew: bool) -> list[str]:
    from aura_cli.db.engine import reading
    from aura_cli.mail import again

    with reading(runtime.engine) as connection:
        return again.chosen(connection, wanted, anew=anew)


def _carried(runtime: Runtime, effects: list[str] | None) -> tuple[list[str], AuraError | None]:
    """Carry these outbox rows out, or (None) all that are due: which they were, and what keeps the rest from going out."""
    from aura_cli.mail.send_commands import carried

    keys, tick = dict[str, None](), runtime.console.progress("Requests", len(effects) if effects else None)

    def on_carried(one: Carried) -> None:
        keys[one.key] = None
        tick(len(keys))

    try:
        halted = carried(runtime.mailing, effects, on_carried)
    finally:
        runtime.console.end_progress()
    return list(keys), halted


def _retried(runtime: Runtime, done: Retried, said: str) -> None:
    from aura_cli.mail.send_commands import listed

    def lines() -> Iterator[str]:
        yield f"{counted(done.mails, 'mail')} ({listed(done.states)})."

    runtime.console.result(done, lines)
    if said:
        runtime.console.say(said)


def suppressed(
    ctx: typer.Context,
    form: Format | None = typer.Option(None, "--format", help="How to write the list."),
    columns: str | None = typer.Option(None, "--columns", metavar="A,B", help="Which columns."),
) -> None:
    """List the addresses that get no mail: they bounced, complained, or somebody said so.

    Example: aura email suppressed --format csv
    """
    from aura_cli.mail import suppression

    runtime: Runtime = ctx.obj
    rows, engine = suppression.everything(runtime.engine), runtime.engine
    runtime.console.listing(rows, SUPPRESSED_COLUMNS, form=form, chosen=columns, total=lambda: suppression.count(engine))


def suppress(
    ctx: typer.Context,
    address: str = typer.Argument(..., metavar="ADDRESS", help="A mail address."),
    remove: bool = typer.Option(False, "--remove", help="Let it get mail again."),
) -> None:
    """Send no mail to an address any more, or with --remove again; Resend's own list is not touched.

    Example: aura email suppress mina@example.com
    """
    from aura_cli.audit.log import record
    from aura_cli.db.engine import writing
    from aura_cli.mail import suppression
    from aura_cli.mail.addresses import checked, digest

    runtime: Runtime = ctx.obj
    address = checked(address)
    runtime.check_binding() if runtime.options.dry_run else runtime.bind()
    with writing(runtime.engine) as connection:
        changed = suppression.release(connection, address) if remove else suppression.suppress(connection, address, suppression.OPERATOR)
        if changed:
            record(connection, runtime.settings.operator, "email.release" if remove else "email.suppress", digest(address))
        if runtime.options.dry_run:
            connection.get_transaction().rollback()  # type: ignore[union-attr]
    now = "gets mail" if remove else "gets no mail"
    would = "would be changed" if runtime.options.dry_run else "it is changed"
    said = f"{address} {now}: {would if changed else 'it was so already'}."
    runtime.console.result(suppression.Ruling(address, remove, changed), lambda: [said])


def prune(
    ctx: typer.Context,
    older_than: str = typer.Option("365d", "--older-than", metavar="WHEN", help="Asked for before: 90d ago or more than 30, or a date."),
    apply: bool = typer.Option(False, "--apply", help="Delete it; without, it is only counted."),
) -> None:
    """Delete mails that are settled and old, with what Resend told of them; never an address that gets no mail.

    Example: aura email prune --older-than 365d --apply
    """
    from aura_cli.mail import pruning
    from aura_cli.webhooks.moments import since as moment

    runtime: Runtime = ctx.obj
    apply, now = apply and not runtime.options.dry_run, runtime.clock()
    runtime.bind() if apply else runtime.check_binding()
    done = pruning.prune(runtime.engine, datetime.fromtimestamp(moment(older_than, now), UTC), now, runtime.settings.operator, apply=apply)
    deed = "deleted" if apply else "would be deleted"
    said = f"{counted(done.mails, 'mail')}, {counted(done.effects, 'outbox row')} and {counted(done.events, 'event')} {deed}."
    runtime.console.result(done, lambda: [said])
