"""What each job does: the rooms' own functions, called with what a command would call them with, and what came of it in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from aura_cli.cron.limit import Limit
from aura_cli.errors import AttentionNeeded, AuraError, PartialFailure
from aura_cli.words import counted

if TYPE_CHECKING:
    from sqlalchemy import Column, Engine

    from aura_cli.console import Console
    from aura_cli.cron.running import Ran
    from aura_cli.db.binding import Identity
    from aura_cli.integrations.catalogue import Catalogue
    from aura_cli.integrations.keeping import Keeper, Refreshed
    from aura_cli.integrations.wire import Wire
    from aura_cli.mail.sending import Mailing
    from aura_cli.reporting import Reporter
    from aura_cli.settings import Settings
    from aura_cli.transport import Service
    from aura_cli.vault.keyring import KeyRing

_UNSENT = ("queued", "not_configured", "failed", "expired")  # an address that takes no mail rightly gets none
RETENTION = {"runs": 90, "alerts": 90, "webhooks": 90, "chat": 90, "plans": 90, "mail": 365}  # days


class Surroundings(Protocol):
    """What a job works with; what a command is handed has all of it."""

    @property
    def clock(self) -> Callable[[], datetime]: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def console(self) -> Console: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def database_url(self) -> str: ...
    @property
    def reporter(self) -> Reporter: ...
    @property
    def stripe(self) -> Service: ...
    @property
    def privy(self) -> Service: ...
    @property
    def vault(self) -> KeyRing: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def wire(self) -> Wire: ...
    @property
    def mailing(self) -> Mailing: ...
    @property
    def sealed_columns(self) -> Sequence[Column[str]]: ...
    def identity(self) -> Identity:
        """Who would write; asks Stripe for the account."""

    def pasted(self, command: str) -> str:
        """A command of ours as it has to be given to be about the same settings."""


@dataclass(frozen=True)
class Done:
    """A job that came to its end: what it handled, what it leaves to be done, the jobs it did in turn."""

    counts: Mapping[str, int]
    left: AuraError | None = None
    steps: tuple[Ran, ...] = ()


Work = Callable[[Surroundings, Limit], Done]


def failing(error: AuraError) -> Work:
    """The work that fails so, where what it would be about is not to be touched."""

    def work(at: Surroundings, limit: Limit) -> Done:
        raise error

    return work


def users_sync(at: Surroundings, limit: Limit) -> Done:
    """Everybody from Privy; a scan that was broken off is carried on."""
    from aura_cli.users.privy import app_id
    from aura_cli.users.sync import Sync

    work = Sync(at.engine, at.privy, app_id(at.settings), at.settings.operator, at.clock, limit.tick, warn=at.console.warn)
    done = work.everybody()
    left: AuraError | None = None
    if done.missing:
        left = AttentionNeeded(f"{done.missing:,} of the users here are gone at Privy", "See: aura users list --missing")
    if done.failed:
        left = PartialFailure(f"{done.failed:,} of {done.scanned:,} users could not be taken over", "Why: aura users sync -n")
    return Done(_numbers(done, "scanned", "created", "updated", "unchanged", "missing", "failed"), left)


def reconcile(at: Surroundings, limit: Limit) -> Done:
    """Stripe against the database, and what can be repaired repaired."""
    from aura_cli.db.leases import lease
    from aura_cli.subscriptions import reconcile as work

    progress = work.Progress(lambda label, expected: limit.tick)
    with lease(at.engine, "reconcile") as held:
        planned = work.make_plan(at.engine, at.stripe, work.Wanted(resume=True), at.clock(), lease=held, progress=progress)
        done = work.carry_out(at.engine, planned, at.settings.operator, lease=held, limit=None, progress=progress)
    counts = {"remote": done.remote, "local": done.local, "differences": sum(done.counts.values())}
    counts |= {"applied": done.applied, "skipped": done.skipped, "left": done.left}
    if not done.left:
        return Done(counts)
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in done.counts.items())
    return Done(counts, AttentionNeeded(f"{done.left:,} differences from Stripe are left ({kinds})", "See: aura subscriptions reconcile"))


def refresh_tokens(at: Surroundings, limit: Limit) -> Done:
    """What ends soon is renewed, and what could not be revoked is tried again."""
    from sqlalchemy import func, select

    from aura_cli.db.engine import reading
    from aura_cli.db.shared import integrations
    from aura_cli.integrations.claims import Wanted
    from aura_cli.integrations.keeping import WITHIN, Chosen
    from aura_cli.integrations.revoke import Ender

    work, wanted = _keeper(at), Wanted(WITHIN)
    plan = work.plan(wanted, Chosen())
    limit.tick()
    with limit.handed_on(at.wire.stop):
        done = work.run(wanted, plan)
    limit.tick()
    revoked, unrevoked = Ender(at.engine, at.vault, at.catalogue, at.wire, at.settings, at.clock).retry()
    with reading(at.engine) as connection:
        connections = connection.execute(select(func.count()).select_from(integrations)).scalar_one()
    numbers = _numbers(done, "due", "refreshed", "failing", "at_fault", "needs_consent", "unreadable", "cooling", "stopped", "busy")
    counts = {"connections": connections, **numbers, "revoked": revoked, "unrevoked": unrevoked}
    return Done(counts, _unrefreshed(done))


def retry_emails(at: Surroundings, limit: Limit) -> Done:
    """Mails that wait and whose turn it is."""
    from aura_cli.mail import again, campaign
    from aura_cli.mail.sending import carry

    tried = again.waiting(at.engine, due=True)
    keys = [one.key for one in carry(at.mailing, (), lambda one: limit.tick())]
    found = sorted({*tried, *again.carried_by(at.engine, keys)})
    states = campaign.states(at.engine, found)
    bad = {name: number for name, number in states.items() if name in _UNSENT}
    counts = {"mails": len(found), **states}
    if not bad:
        return Done(counts)
    kinds = ", ".join(f"{number:,} {state}" for state, number in bad.items())
    message = f"{sum(bad.values()):,} of {counted(len(found), 'mail')} not sent: {kinds}"
    return Done(counts, PartialFailure(message, f"Why: aura email log --state {next(iter(bad))}"))


def backfill_webhooks(at: Surroundings, limit: Limit) -> Done:
    """Events that no webhook brought, into the inbox."""
    from aura_cli.analytics.collecting import is_configured
    from aura_cli.db.leases import lease
    from aura_cli.webhooks import backfill as work
    from aura_cli.webhooks.events import handled

    types = handled(counts=is_configured(at.settings))
    with lease(at.engine, "webhooks backfill") as held:
        wanted = work.span(at.engine, None, int(at.clock().timestamp()))
        done = work.backfill(at.engine, at.stripe, wanted, lease=held, types=types, tick=limit.tick)
    counts, left = _numbers(done, "scanned", "stored", "known", "unreadable"), None
    hint = "What they changed shows in: aura subscriptions reconcile"
    if done.unreadable:
        left = AttentionNeeded(f"{counted(done.unreadable, 'event')} could not be read", hint)
    if not done.complete:
        left = AttentionNeeded("The last backfill is longer ago than Stripe keeps events, 30 days", hint)
    return Done(counts, left)


def prune(at: Surroundings, limit: Limit) -> Done:
    """What is old and settled leaves, each room's after its own time; the day's figures are kept before."""
    from aura_cli.chat import pruning as chat
    from aura_cli.cron import history, notices
    from aura_cli.drift import pruning as drift
    from aura_cli.insight.figures import keep_where_possible
    from aura_cli.mail import pruning as mail
    from aura_cli.webhooks import pruning as webhooks

    keep_where_possible(at.engine)
    now, operator = at.clock(), at.settings.operator
    before = {room: now - timedelta(days=days) for room, days in RETENTION.items()}
    arrived = webhooks.prune(at.engine, webhooks.Old.than(before["webhooks"], now), operator, limit.tick)
    counts = {"events": arrived.events, "attempts": arrived.attempts, "effects": arrived.effects}
    said = chat.prune(at.engine, before["chat"], operator, limit.tick)
    limit.tick()
    sent = mail.prune(at.engine, before["mail"], now, operator, apply=True)
    limit.tick()
    counts |= {"sessions": said.sessions, "messages": said.messages, "mails": sent.mails, "mail_events": sent.events}
    counts |= {"plans": drift.prune(at.engine, before["plans"]), "alerts": notices.prune(at.engine, before["alerts"])}
    return Done({**counts, "runs": history.prune(at.engine, before["runs"])})


def doctor(at: Surroundings, limit: Limit) -> Done:
    """Every system looked at."""
    from aura_cli.insight.doctor import examine
    from aura_cli.insight.finding import State
    from aura_cli.insight.surroundings import Surroundings as Sight

    sight = Sight.of(at.settings, lambda: at.database_url, lambda: at.catalogue, lambda: at.sealed_columns, at.clock)
    report = examine(sight, tick=limit.tick)
    systems = {one.system for one in report.findings if one.state not in (State.NOT_CONFIGURED, State.SKIPPED)}
    counts = {"systems": len(systems), "failed": len(report.failed), "warned": len(report.warned)}
    found = [one for one in report.findings if one.state is State.FAIL]
    if not found:
        return Done(counts)
    fixes = [one.fix for one in found if one.fix]
    said = "; ".join(f"{one.system}: {one.detail}" for one in found)
    return Done(counts, AttentionNeeded(said, fixes[0] if len(fixes) == 1 else f"See: aura doctor --only {','.join(report.failed)}"))


def _keeper(at: Surroundings) -> Keeper:
    from aura_cli.integrations.asking import Asker
    from aura_cli.integrations.keeping import Keeper
    from aura_cli.integrations.settling import Book
    from aura_cli.integrations.spool import Spool

    asker = Asker(at.wire, at.settings, Spool.at(at.settings.home, at.vault), at.clock)
    return Keeper(at.engine, at.catalogue, asker, Book(at.engine, at.vault, at.settings.operator), at.clock, at.console.warn)


def _unrefreshed(done: Refreshed) -> AuraError | None:

    if done.failing or done.at_fault:
        hint = "They are tried again; aura integrations list --health failing"
        return PartialFailure(f"{counted(done.failing + done.at_fault, 'connection')} could not be refreshed", hint)
    if not done.needs_a_person:
        return None
    numbers = {"to be connected anew": done.needs_consent, "that no key here opens": done.unreadable}
    parts = [f"{counted(number, 'connection')} {what}" for what, number in numbers.items() if number]
    parts += [f"{', '.join(done.stopped_providers)} is misconfigured or down"] if done.stopped_providers else []
    return AttentionNeeded("; ".join(parts), "See: aura integrations list --health needs_consent")


def _numbers(done: Any, *names: str) -> dict[str, int]:
    return {name: getattr(done, name) for name in names}
