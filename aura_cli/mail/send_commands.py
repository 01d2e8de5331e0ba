"""`aura email send`: one template to a person, an address, or all whom a query describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from aura_cli.console import ROWS_ON_A_TERMINAL
from aura_cli.errors import AttentionNeeded, AuraError, PartialFailure, ServiceError, UnreachableError, UsageError
from aura_cli.runtime import Runtime
from aura_cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aura_cli.mail.asking import Asked, Wanted
    from aura_cli.mail.audience import Audience, Recipient
    from aura_cli.mail.campaign import Plan, Round
    from aura_cli.mail.rendering import Template
    from aura_cli.mail.sending import Mailing
    from aura_cli.mail.views import Mail
    from aura_cli.outbox.carrying import Carried

NO_KEY = "RESEND_API_KEY is not set: nothing was sent"
SENT = ("sent", "delayed", "delivered")
_TRIES_FOR = 60.0  # seconds that a mail to many waits for further tries of what failed


@dataclass(frozen=True)
class Errand:
    """One call of the command: what is to be sent, and how."""

    runtime: Runtime
    template: Template
    data: dict[str, Any]
    about: str
    again: bool
    require: bool


def send(
    ctx: typer.Context,
    template: str = typer.Argument(..., metavar="TEMPLATE", help="Its name, as `aura email templates` lists it."),
    user: list[str] | None = typer.Option(
        None, "--user", metavar="WHO", help="To this person: a user id, DID, e-mail address, cus_… or sub_…"
    ),
    to: list[str] | None = typer.Option(None, "--to", metavar="ADDRESS", help="To this address."),
    to_all: str | None = typer.Option(
        None, "--to-all", metavar="QUERY", help="To all: everybody, or subscription=active,connected=slack,joined-after=2026-01-01,…"
    ),
    data: str | None = typer.Option(None, "--data", metavar="FILE", help="The template's variables, a JSON object; - is standard input."),
    about: str | None = typer.Option(
        None, "--about", metavar="ID", help="What it is about, such as an invoice: about one thing a mail goes out once. Default: its data."
    ),
    again: bool = typer.Option(False, "--again", help="Send it though the same was sent before."),
    require: bool = typer.Option(False, "--require", help="Exit 4 where RESEND_API_KEY is not set."),
    most: int | None = typer.Option(None, "--max-recipients", min=1, help="With --to-all: stop if it would be more (default: 1000)."),
    apply: bool = typer.Option(False, "--apply", help="With --to-all: do it; without, it is only shown who would get what."),
) -> None:
    """Send a mail, once: asked for again, the same to the same address goes out no second time.

    With --to-all each gets a mail of their own, a hundred in a request; broken off, it goes on when it is run again. Without a key it
    is kept as not_configured. Exit 3 where the address gets no mail. Example: aura email send welcome --user mina@example.com -n
    Example: aura email send welcome --to-all subscription=trialing --apply
    """
    from aura_cli.mail.rendering import find
    from aura_cli.mail.template_commands import given_data

    ones, addresses = user or [], to or []
    if len(ones) + len(addresses) + (to_all is not None) != 1:
        raise UsageError("To whom?", "Give one --user or one --to; to several at once, --to-all QUERY")
    if to_all is None and (apply or most is not None):
        raise UsageError("--apply and --max-recipients go with --to-all")
    if again and to_all is not None:
        raise UsageError("--again goes to one: to many it could not go on where it was broken off", "--about NAME makes it another mail")
    if again and about:
        raise UsageError("--again and --about contradict each other")
    if about is not None and not (about.isprintable() and about.strip()):
        raise UsageError("--about holds what cannot be shown, or nothing")
    runtime: Runtime = ctx.obj
    errand = Errand(runtime, find(template), given_data(runtime, data) if data else {}, about or "", again, require)
    if require:
        runtime.settings.require("RESEND_API_KEY", "mail is sent with it")
    if to_all is not None:
        _to_many(errand, to_all, most, apply=apply and not runtime.options.dry_run)
    else:
        _to_one(errand, _recipient(runtime, ones, addresses))


def _recipient(runtime: Runtime, ones: list[str], addresses: list[str]) -> Recipient:
    from aura_cli.db.engine import reading
    from aura_cli.mail.addresses import checked
    from aura_cli.mail.audience import Recipient
    from aura_cli.users.who import resolve

    if addresses:
        return Recipient(checked(addresses[0]))
    with reading(runtime.engine) as connection:
        person = resolve(connection, ones[0])
    if not person.email:
        raise UsageError(f"{person.id} has no e-mail address here", "aura users sync asks Privy; --to sends to an address")
    return Recipient(checked(person.email), person.id, person.name)


def _wanted(errand: Errand, some: Sequence[Recipient]) -> list[Wanted]:
    from secrets import token_hex

    from aura_cli.mail.campaign import wanted

    about = token_hex(10) if errand.again else errand.about
    return [wanted(errand.template, errand.data, to, about) for to in some]


def _to_one(errand: Errand, to: Recipient) -> None:
    """Send it and tell what became of it."""
    from aura_cli.db.engine import reading
    from aura_cli.mail import campaign
    from aura_cli.mail.audience import Audience

    runtime = errand.runtime
    (wanted,) = _wanted(errand, [to])
    if runtime.options.dry_run:
        runtime.check_binding()
        _show_plan(errand, [wanted], Audience((to,), 0))
        return
    mailing = runtime.mailing
    _sample(errand, wanted)
    runtime.authorise(1)
    (asked,), _ = _ask(errand, [wanted], together=False)
    if not asked.is_new and asked.state != "not_configured":
        with reading(runtime.engine) as connection:
            _seen_before(runtime, connection, asked)
    halted = carried(mailing, campaign.effects(runtime.engine, [asked.id]))
    tell(runtime, asked.id, halted)


def _seen_before(runtime: Runtime, connection: Any, asked: Asked) -> None:
    from aura_cli.mail.views import named

    (mail,) = named(connection, [asked.id])
    hint = "it goes on with that" if mail.state == "queued" else "--again sends it once more"
    runtime.console.say(f"The same mail was asked for at {mail.created_at:%Y-%m-%d %H:%M} UTC and is {mail.state}; {hint}.")


def tell(runtime: Runtime, identifier: str, halted: AuraError | None = None, *, shown: bool = True) -> None:
    """Show what became of a mail, and raise where it was not sent."""
    from aura_cli.console import described
    from aura_cli.db.engine import reading
    from aura_cli.mail.views import named

    with reading(runtime.engine) as connection:
        (mail,) = named(connection, [identifier])
    if shown:
        runtime.console.result(mail, lambda: described(vars(mail)))
    if halted:
        raise halted
    if mail.state == "not_configured":
        runtime.console.warn(f"{NO_KEY}. It is kept: aura email retry {mail.id}")
    elif mail.state not in SENT:
        raise _trouble(mail)


def _trouble(mail: Mail) -> AuraError:
    match mail.state:
        case "suppressed":
            return AttentionNeeded(f"It was not sent. {mail.error}", f"If it may again: aura email suppress --remove {mail.address}")
        case "queued":
            return UnreachableError(f"It was not sent yet: {mail.error or 'Resend did not take it'}", "It is kept: aura email retry")
        case "expired":
            return AttentionNeeded(f"It may have been sent. {mail.error}", f"Look at Resend; then: aura email retry {mail.id} --anew")
    return ServiceError(f"It is {mail.state}: {mail.error}", f"See: aura email log {mail.id}")


def _ask(errand: Errand, some: list[Wanted], *, together: bool) -> tuple[list[Asked], str | None]:
    from aura_cli.mail.campaign import ask

    settings = errand.runtime.settings
    configured = settings.secret("RESEND_API_KEY") is not None
    now = errand.runtime.clock()
    return ask(errand.runtime.engine, errand.template, some, settings.operator, now, configured=configured, together=together)


def carried(
    mailing: Mailing, effects: list[str] | None, on_carried: Callable[[Carried], None] = lambda one: None, tries_for: float = 0.0
) -> AuraError | None:
    """Carry these outbox rows out, or (None) all that are due; what keeps the rest from going out, if something does."""
    from aura_cli.mail.sending import carry

    if effects == []:
        return None
    try:
        carry(mailing, effects or (), on_carried, tries_for=tries_for)
    except AuraError as error:
        return error
    return None


def _sample(errand: Errand, wanted: Wanted) -> str | None:
    """The subject. Raises ConfigurationError where no mail could be made."""
    from aura_cli.mail.rendering import render

    return render(wanted.template, wanted.data, app_url=errand.runtime.settings.get("NEXT_PUBLIC_APP_URL") or "").subject


def _to_many(errand: Errand, query: str, most: int | None, *, apply: bool) -> None:
    from aura_cli.db.engine import reading
    from aura_cli.mail import campaign
    from aura_cli.mail.audience import audience
    from aura_cli.mail.campaign import MOST_RECIPIENTS, Round

    runtime, console = errand.runtime, errand.runtime.console
    mailing = runtime.mailing
    with reading(runtime.engine) as connection:
        found = audience(connection, query)
    some = _wanted(errand, found.recipients)
    if not apply:
        runtime.check_binding()
        _show_plan(errand, some, found, most or MOST_RECIPIENTS)
        return
    with reading(runtime.engine) as connection:
        planned = campaign.plan(connection, errand.template, some, found, None)
    campaign.require_bearable(planned, most or MOST_RECIPIENTS)
    if some:
        _sample(errand, some[0])
    runtime.authorise(planned.counts.get(campaign.TO_SEND, 0))
    asked, batch = _ask(errand, some, together=True)
    ids = [one.id for one in asked]
    effects = campaign.effects(runtime.engine, ids)
    tick, done = console.progress("Requests of up to a hundred mails", len(effects)), list[object]()

    def on_carried(one: Carried) -> None:
        done.append(one)
        tick(len(done))

    halted = carried(mailing, effects, on_carried, _TRIES_FOR)
    console.end_progress()
    states = campaign.states(runtime.engine, ids)
    before = sum(not one.is_new and one.effect not in effects for one in asked)
    result = Round(errand.template.name, batch, len(ids), before, states, found.without_address)
    console.result(result, lambda: _told(result))
    _judge(runtime, result, halted)


def _judge(runtime: Runtime, result: Round, halted: AuraError | None) -> None:
    """Raise where mails were not sent that should have been."""
    if halted:
        raise halted
    if result.states.get("not_configured"):
        runtime.console.warn(f"{NO_KEY}. They are kept: aura email retry --state not_configured")
    bad = {state: number for state, number in result.states.items() if state in ("failed", "expired", "queued", "bounced", "complained")}
    if bad:
        hint = f"See them: aura email log{f' --batch {result.batch}' if result.batch else ''} --state {next(iter(bad))}"
        raise PartialFailure(f"{sum(bad.values()):,} of {counted(result.mails, 'mail')} not delivered: {listed(bad)}", hint)


def listed(counts: Mapping[str, int]) -> str:
    """Numbers with what they are of."""
    return ", ".join(f"{number:,} {state}" for state, number in counts.items()) or "none"


def _told(result: Round) -> Iterator[str]:
    known = f"; {result.before:,} of them were asked for before" if result.before else ""
    yield f"{counted(result.mails, 'mail')} ({listed(result.states)}){known}."
    if result.batch:
        yield f"They are {result.batch}."
    if result.without_address:
        yield f"{result.without_address:,} without an address."


def _show_plan(errand: Errand, some: list[Wanted], found: Audience, most: int | None = None) -> None:
    """Who would get what, and nothing more."""
    from aura_cli.db.engine import reading
    from aura_cli.mail import campaign

    runtime = errand.runtime
    subject = _sample(errand, some[0]) if some else None
    with reading(runtime.engine) as connection:
        planned = campaign.plan(connection, errand.template, some, found, subject)
    runtime.console.result(planned, lambda: _planned(planned))
    runtime.console.say("Nothing was sent." if most is None else f"Nothing was sent; {runtime.options.to_write} does it.")
    if most is not None and planned.counts.get(campaign.TO_SEND, 0) > most:
        runtime.console.warn(f"It is more than {most:,}: add --max-recipients {planned.counts[campaign.TO_SEND]}")


def _planned(planned: Plan) -> Iterator[str]:
    yield f"{planned.template}: {planned.subject or 'nobody to send it to'}"
    for one in planned.recipients[:ROWS_ON_A_TERMINAL]:
        yield f"  {one.address}  {one.state}"
    if len(planned.recipients) > ROWS_ON_A_TERMINAL:
        yield f"  … and {len(planned.recipients) - ROWS_ON_A_TERMINAL:,} more"
    yield f"{counted(len(planned.recipients), 'recipient')} ({listed(planned.counts)})."
    if planned.without_address:
        yield f"{planned.without_address:,} without an address."
