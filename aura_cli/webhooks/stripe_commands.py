"""`aura webhooks backfill | tail | send | endpoints`: what talks to Stripe, or as Stripe does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aura_cli.console import Format, cell, dump, harmless
from aura_cli.errors import AttentionNeeded, ConfigurationError, UsageError
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from aura_cli.webhooks.backfill import Backfill
    from aura_cli.webhooks.endpoints import Endpoint
    from aura_cli.webhooks.samples import Wish
    from aura_cli.webhooks.sending import Sent

LISTENER = "http://127.0.0.1:8787/api/webhooks/stripe"
COLUMNS = ("id", "status", "url", "events", "api_version", "current")
TO = typer.Option(LISTENER, "--to", metavar="URL", help="Where to send it.")
WHICH = typer.Argument(..., metavar="ENDPOINT", help="Its id (we_…) or address.")
endpoints = typer.Typer(help="The webhook endpoints registered at Stripe.", rich_markup_mode=None, no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the group."""
    for command in (backfill, tail, send):
        app.command()(command)
    app.add_typer(endpoints, name="endpoints")


@dataclass(frozen=True)
class Prepared:
    """What a dry run would have sent."""

    to: str
    event: Any


def backfill(
    ctx: typer.Context,
    since: str | None = typer.Option(None, "--since", metavar="WHEN", help="How long ago (30m, 2h, 7d) or a date or time (UTC)."),
    since_last: bool = typer.Option(False, "--since-last", help="Where the last backfill came to; this is the default."),
    max_rps: float | None = typer.Option(None, "--max-rps", min=0, help="Requests a second (default 15 live, 10 test; 0: no limit)."),
) -> None:
    """Read the events that were missed from Stripe's list into the inbox; what is known is not stored twice.

    Stripe keeps events for 30 days; exit 3 where more was asked for. Example: aura webhooks backfill --since 2h
    Example: aura webhooks backfill --since-last
    """
    from aura_cli.db.leases import lease
    from aura_cli.webhooks import backfill as work
    from aura_cli.webhooks.moments import since as moment

    runtime: Runtime = ctx.obj
    if since and since_last:
        raise UsageError("--since and --since-last contradict each other")
    now = runtime.clock()
    start = moment(since, now) if since else None
    dry_run = runtime.options.dry_run
    if dry_run:
        runtime.check_binding()
    else:
        runtime.authorise()
    with lease(runtime.engine, "webhooks backfill") as held:
        wanted = work.span(runtime.engine, start, int(now.timestamp()))
        if not wanted.complete:
            runtime.console.say("That is further back than Stripe keeps events: reading the last 30 days")
        tick, types = runtime.console.progress("Events"), _types(runtime)
        done = work.backfill(runtime.engine, runtime.stripe_at(max_rps), wanted, lease=held, types=types, dry_run=dry_run, tick=tick)
    runtime.console.result(done, lambda: _filled(done))
    if not done.complete:
        hint = "What is older shows in the objects alone: aura subscriptions reconcile --apply"
        raise AttentionNeeded("Stripe keeps events for 30 days, and more was asked for", hint)
    if done.unreadable:
        raise AttentionNeeded(
            f"{counted(done.unreadable, 'event')} could not be read", "aura subscriptions reconcile shows what they changed"
        )


def _filled(done: Backfill) -> Iterator[str]:
    deed = "would be stored" if done.dry_run else "stored"
    yield f"{done.scanned:,} events from {cell(done.since)} to {cell(done.until)}: {done.stored:,} {deed}, {done.known:,} known."
    if done.stored and not done.dry_run:
        yield "A running listener works on them, or: aura webhooks work"


def tail(
    ctx: typer.Context,
    to: str = TO,
    since: str | None = typer.Option(None, "--since", metavar="WHEN", help="Begin with older ones: 30m, 2h, 7d, a date or time (UTC)."),
) -> None:
    """Follow Stripe's events (test mode) and deliver each, signed, to a local server, until Ctrl-C: no tunnel, no relay.

    A server that is down gets its events when it is up again. Example: aura webhooks tail --to http://localhost:3000/api/webhooks/stripe
    """
    import threading

    from aura_cli.webhooks.feed import Feed
    from aura_cli.webhooks.moments import since as moment
    from aura_cli.webhooks.sending import Target, follow

    runtime: Runtime = ctx.obj
    if runtime.settings.stripe_mode == "live":
        raise ConfigurationError("STRIPE_SECRET_KEY is a live key: tail is for test mode", "Use --env, or register an endpoint at Stripe")
    start = moment(since, runtime.clock()) if since else 0
    with Target(to, signing_secret(runtime)) as target:
        require_consent(runtime, to)
        feed = Feed(runtime.stripe, start, _types(runtime))
        if not since:
            feed.skip_to_now()
        runtime.console.say(f"Events of Stripe's test mode go to {to}; Ctrl-C ends it.")
        for sent in follow(feed, target, stop=threading.Event(), say=runtime.console.warn):
            runtime.console.emit(dump(sent) if runtime.options.as_json else harmless(sent_line(sent)))


def send(
    ctx: typer.Context,
    kind: str | None = typer.Argument(None, metavar="[TYPE]", help="Such as invoice.paid; needed unless there is a --file."),
    to: str = TO,
    file: Path | None = typer.Option(None, "--file", metavar="FILE", help="Send what is in FILE, byte for byte."),
    customer: str | None = typer.Option(None, "--customer", metavar="cus_…", help="Whom it is about."),
    subscription: str | None = typer.Option(None, "--subscription", metavar="sub_…", help="Which subscription it is about."),
    user: str | None = typer.Option(None, "--user", metavar="UUID", help="The user in the metadata."),
    tokens: int | None = typer.Option(None, "--tokens", metavar="N", min=1, help="Make a checkout the purchase of so many tokens."),
    api_version: str | None = typer.Option(None, "--api-version", metavar="DATE", help="The shape it has: before 2025-03-31 the old one."),
) -> None:
    """Send a correct event of any handled type, signed with the configured secret, and show the answer.

    Example: aura webhooks send invoice.paid --customer cus_123 --subscription sub_123
    """
    from aura_cli.webhooks.envelope import read
    from aura_cli.webhooks.samples import Wish
    from aura_cli.webhooks.sending import Target

    runtime: Runtime = ctx.obj
    given = {"customer": customer, "subscription": subscription, "user": user, "tokens": tokens, "api_version": api_version}
    wished: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if file:
        if wished:
            raise UsageError("A --file is sent as it is: no option can change what is in it")
        body = _content(file)
        if kind and kind != read(body, "send").type:
            raise UsageError(f"{file} holds an event of type {read(body, 'send').type}, not {kind}")
    elif kind:
        body = _sample(runtime, kind, Wish(**wished))
    else:
        raise UsageError("What is to be sent?", "Name a type, such as invoice.paid, or a --file")
    target = Target(to, signing_secret(runtime))
    if runtime.options.dry_run:
        _show_prepared(runtime, to, body)
        return
    require_consent(runtime, to, made_up=True)
    with target:
        sent = target.deliver(body)
    runtime.console.result(sent, lambda: [sent_line(sent)])
    sent.require()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _sample(runtime: Runtime, kind: str, wish: Wish) -> bytes:
    from dataclasses import replace
    from secrets import randbits

    from aura_cli.webhooks.samples import sample

    price = runtime.settings.get("STRIPE_PRICE_ID") or wish.price
    wish = replace(wish, livemode=runtime.settings.stripe_mode == "live", price=price)
    return sample(kind, int(runtime.clock().timestamp()), wish, seed=randbits(64))


def _show_prepared(runtime: Runtime, to: str, body: bytes) -> None:
    import json

    prepared = Prepared(to, json.loads(body))
    runtime.console.result(prepared, lambda: [json.dumps(prepared.event, indent=2, ensure_ascii=False), f"Nothing was sent to {to}."])


def sent_line(sent: Sent) -> str:
    answered = f"{sent.status} in {sent.seconds * 1000:,.0f} ms" if sent.status else "not reached"
    said = f": {sent.answer}" if sent.answer and not sent.taken else ""
    return " ".join(f"{cell(sent.created)}  {sent.event}  {sent.type} → {answered}{said}".splitlines())


def signing_secret(runtime: Runtime) -> str:
    """What is signed with: the web app's own secret, or the first of the labelled ones."""
    from aura_cli.webhooks.signature import secrets_of

    for secret in secrets_of(runtime.settings).values():
        return secret
    raise ConfigurationError("STRIPE_WEBHOOK_SECRET is not set: it is what events are signed with", "Take that of the server it goes to")


def require_consent(runtime: Runtime, to: str, *, made_up: bool = False) -> None:
    """Raise where a signed event may not leave: the sandbox's never leave the machine, production's need a person's consent."""
    from aura_cli.settings import leads_here
    from aura_cli.webhooks.sending import web_address

    web_address(to)
    if runtime.settings.is_sandbox and not leads_here(to):
        raise ConfigurationError(f"{to} is not on this machine, and this is the sandbox", "Send it to a server on 127.0.0.1")
    if _is_production(runtime):
        runtime.console.warn(f"{to} believes what is signed with this secret{', also what is made up' if made_up else ''}.")
        runtime.console.confirm("Send to production?")


def _is_production(runtime: Runtime) -> bool:
    from aura_cli.db.location import database_url, is_production

    settings = runtime.settings
    return is_production(settings, database_url(settings)[0] if settings.secret("DATABASE_URL") else "sqlite:")


@endpoints.command("list")
def list_(
    ctx: typer.Context,
    form: Format | None = typer.Option(None, "--format", help="How to write the list."),
    columns: str | None = typer.Option(None, "--columns", metavar="A,B", help="Which columns."),
) -> None:
    """List Stripe's webhook endpoints: do they get exactly the handled events, in the API version that we read best?

    Example: aura webhooks endpoints list
    """
    from aura_cli.webhooks.endpoints import registered

    runtime: Runtime = ctx.obj
    runtime.console.listing(registered(runtime.stripe, _types(runtime)), COLUMNS, form=form, chosen=columns)


@endpoints.command()
def create(ctx: typer.Context, url: str = typer.Argument(..., metavar="URL", help="Where Stripe is to send events.")) -> None:
    """Register an endpoint for exactly the handled events, and show its signing secret: this once, on standard output.

    Example: aura webhooks endpoints create https://hooks.example.com/api/webhooks/stripe
    """
    from aura_cli.webhooks.endpoints import create as register

    runtime: Runtime = ctx.obj
    if not runtime.options.dry_run:
        _confirm_stripe(runtime)
    made = register(runtime.stripe, url, _types(runtime), dry_run=runtime.options.dry_run)

    def lines() -> Iterator[str]:
        if made.dry_run:
            yield f"{url} would be registered for {len(made.enabled_events)} types of event, API version {made.api_version}."
            return
        yield f"{made.id} gets {len(made.enabled_events)} types of event, API version {made.api_version}. It signs with:"
        yield str(made.secret)
        yield "Set it as STRIPE_WEBHOOK_SECRET, or under a label in AURA_STRIPE_WEBHOOK_SECRETS: Stripe does not show it again."

    if runtime.options.quiet and made.secret and not runtime.options.as_json:
        runtime.console.emit(made.secret)  # Stripe says it only now: -q must not lose it
    runtime.console.result(made, lines)


@endpoints.command()
def enable(ctx: typer.Context, endpoint: str = WHICH) -> None:
    """Switch an endpoint on and let it get exactly the handled events.

    Example: aura webhooks endpoints enable we_123
    """
    _switch(ctx.obj, endpoint, enabled=True)


@endpoints.command()
def disable(ctx: typer.Context, endpoint: str = WHICH) -> None:
    """Switch an endpoint off: Stripe sends it nothing any more.

    Example: aura webhooks endpoints disable we_123
    """
    _switch(ctx.obj, endpoint, enabled=False)


def _switch(runtime: Runtime, wanted: str, *, enabled: bool) -> None:
    from aura_cli.webhooks.endpoints import enable as switch
    from aura_cli.webhooks.endpoints import find

    before = find(runtime.stripe, wanted, _types(runtime))
    if not runtime.options.dry_run:
        _confirm_stripe(runtime)
        after = switch(runtime.stripe, before, _types(runtime), enabled=enabled)
        runtime.console.result(after, lambda: [_state(after)])
        return
    wish = "enabled for exactly the handled events" if enabled else "disabled"
    runtime.console.result(before, lambda: [_state(before), f"It would be {wish}. Nothing was changed."])


def _types(runtime: Runtime) -> tuple[str, ...]:
    """The types of event that are handled as things are configured."""
    from aura_cli.analytics.collecting import is_configured
    from aura_cli.webhooks.events import handled

    return handled(counts=is_configured(runtime.settings))


def _state(endpoint: Endpoint) -> str:
    version = "" if endpoint.current else f", API version {endpoint.api_version or 'of the account'} (ours needs another endpoint)"
    return f"{endpoint.id} {endpoint.url}: {endpoint.status}, events {endpoint.events}{version}"


def _confirm_stripe(runtime: Runtime) -> None:
    """In production: name the account that is about to change, and return once the person agreed. Raises ConflictError else."""
    if _is_production(runtime):
        account = runtime.identity().stripe_account
        runtime.console.warn(f"{runtime.settings.environment or 'production'} · Stripe {account} ({runtime.settings.stripe_mode})")
        runtime.console.confirm("Change this account's webhook endpoints?")
