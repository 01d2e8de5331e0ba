"""Webhooks: does anything arrive, is it worked on in time, does it go on to the web app, was anything given up."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, select

from aura_cli.analytics.effects import KIND as ANALYTICS
from aura_cli.db.engine import reading
from aura_cli.db.types import moved_by, utc_now
from aura_cli.errors import AuraError
from aura_cli.insight.finding import Finding, absent, fail, ok, warn
from aura_cli.insight.surroundings import Surroundings, Unseen
from aura_cli.mail.asking import MAIL
from aura_cli.outbox.tables import outbox
from aura_cli.subscriptions.billing_owner import Owner, configured, reigns
from aura_cli.subscriptions.stripe import service
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.forwarding import SETTING as FORWARD_URL
from aura_cli.webhooks.signature import secrets_of
from aura_cli.webhooks.stats import Stats, ago, at_stripe, silence, stats
from aura_cli.words import counted

LATE = timedelta(minutes=15)  # a worker looks every few seconds
WORK = "aura webhooks work"
SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 (a setting's name)
_CARRIED = {  # kind of effect → what it is, and who carries it out
    FORWARD: ("forwarded event", WORK),
    MAIL: ("mail", "aura email retry"),
    ANALYTICS: ("counted payment", WORK),
}
_SHOWN = 3


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at the inbox and the outbox, and whether Stripe has more. Raises DatabaseAway, ConfigurationError for secrets that are none."""
    settings, now = about.settings, about.now()
    secrets = secrets_of(settings)
    engine = about.database.ready()
    with reading(engine) as connection:
        found = stats(connection, now, now, secrets)
        owner = reigns(connection).since[-1][1]
        findings = [*_inbox(found, now), *_effects(connection, now)]
    used = found.newest_received_at is not None or configured(settings) is Owner.AURA
    if not secrets:
        none = "no event can be received"
        unset = fail("secret", f"{SECRET} is not set: {none}", "aura env check") if used else absent("secret", f"{SECRET}; {none}")
        findings.append(unset)
    if used and owner is Owner.AURA and not settings.get(FORWARD_URL) and not settings.is_sandbox:
        what = f"balances are granted here, and {FORWARD_URL} is not set: the web app hears of no ended subscription, and stops no server"
        findings.append(warn("forwarding", what))
    yield from findings or [ok("inbox", "nothing waits, nothing was given up")]
    if not used:
        yield ok("listener", "nothing was ever received here")
    elif settings.stripe_mode:
        yield _arriving(about, engine, found)


def _inbox(found: Stats, now: datetime) -> Iterator[Finding]:
    if dead := found.open["dead"]:
        again = "once that is mended: aura webhooks replay --status dead --apply"
        yield fail("dead", f"{counted(dead, 'event')} given up; {again}", "aura webhooks list --status dead")
    if found.lag_seconds > LATE.total_seconds():
        oldest = ago(now - timedelta(seconds=found.lag_seconds), now)
        yield fail("lag", f"nobody works on the inbox: what is due has waited for {oldest}", WORK)
    if unmatched := found.open["unmatched"]:
        yield warn("unmatched", f"{counted(unmatched, 'event')} of customers that nobody here has", "aura webhooks list --status unmatched")


def _effects(connection: Connection, now: datetime) -> Iterator[Finding]:
    """What is to happen after a change, and does not."""
    o = outbox.c
    dead = list(connection.execute(select(o.key).where(o.kind == FORWARD, o.state == "dead").order_by(o.id)).scalars())
    if dead:
        some = " ".join(dead[:_SHOWN])
        yield fail("forwarding", f"{counted(len(dead), 'event')} given up on the way to the web app", f"aura webhooks replay {some}")
    due = o.state.in_(("pending", "sending")) & (o.next_try_at < moved_by(utc_now(), -int(LATE.total_seconds())))
    late = select(o.kind, func.count(), func.min(o.next_try_at)).where(due, o.kind.in_(_CARRIED)).group_by(o.kind)
    for kind, number, since in connection.execute(late):
        what, command = _CARRIED[kind]
        yield fail("outbox", f"{counted(number, what)} due that nobody carries out, the oldest for {ago(since, now)}", command)


def _arriving(about: Surroundings, engine: Engine, found: Stats) -> Finding:
    """Whether Stripe has events that should have arrived. A Stripe that is away is told of where Stripe is looked at."""
    last = f"the last event arrived {ago(found.newest_received_at, found.until)} ago" if found.newest_received_at else "no event yet"
    try:
        with about.asked(service(about.settings)) as stripe:
            told = replace(found, at_stripe=at_stripe(engine, stripe, found.until))
    except (AuraError, Unseen):
        return ok("listener", f"{last}; Stripe could not be asked for more")
    if silent := silence(told):
        return fail("listener", silent, "aura webhooks backfill")
    return ok("listener", last)
