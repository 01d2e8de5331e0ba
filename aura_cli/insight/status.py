"""The state of the whole service in numbers that fit one screen: what is there, how it moved, what waits for a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, case, func, select

from aura_cli.db.shared import subscriptions, users
from aura_cli.db.types import time_text, utc_now
from aura_cli.insight import figures
from aura_cli.insight.figures import REVENUE, UNSEEN
from aura_cli.mail.story import UNSENT
from aura_cli.mail.tables import mails
from aura_cli.ratelimit.pressure import Pressure
from aura_cli.subscriptions.views import Revenue
from aura_cli.webhooks.metrics import backlog
from aura_cli.webhooks.stats import ago
from aura_cli.webhooks.tables import webhook_events
from aura_cli.words import counted

DAYS = 14
LATE_SECONDS = 300
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Trend:
    """A number as it is `now`, by how much it moved since a day ago (None: nobody knows), and the last 14 days, today last."""

    now: int
    change: int | None
    days: list[int | None]


@dataclass(frozen=True)
class Money:
    """Monthly recurring revenue of one currency, in its smallest unit."""

    currency: str
    monthly: Trend


@dataclass(frozen=True)
class Job:
    """One of cron's: how its last run went (new, running, ok, attention, failed, killed, stopped), and when it began."""

    job: str
    state: str
    last: datetime | None


@dataclass(frozen=True)
class Attention:
    """What waits for a person, and the command that shows or repairs it."""

    what: str
    command: str


@dataclass(frozen=True)
class Status:
    """Everything. `signed_up`, `webhooks` and `mails` count the last 24 hours, and each of the last 14 days (UTC).

    `unseen`: subscriptions that were never seen at Stripe; what they bring is not in `revenue`, which then is compared with no day.
    `events_open` are webhook events that are not done, by state; `mails_unsent` those of the last 24 hours that did not go out.
    """

    at: datetime
    environment: str | None
    users: Trend
    signed_up: Trend
    subscriptions: Trend
    by_status: dict[str, int]
    revenue: list[Money]
    unseen: int
    webhooks: Trend
    events_open: dict[str, int]
    lag_seconds: float
    mails: Trend
    mails_unsent: dict[str, int]
    tokens_left: Trend
    tokens_used: Trend
    connections: Trend
    connections_broken: Trend
    jobs: list[Job]
    limits: list[Pressure]
    limits_note: str | None
    attention: list[Attention]


def status(
    connection: Connection, environment: str | None, jobs: Sequence[Job], limits: Sequence[Pressure], limits_note: str | None
) -> Status:
    """Count all of it; reads alone."""
    now: datetime = connection.execute(select(utc_now())).scalar_one()
    level = _Levels(figures.measure(connection), figures.earlier(connection, now, DAYS - 1), figures.days_before(now, DAYS - 1))
    m, s = mails.c, subscriptions.c
    inbox = backlog(connection)
    unsent = select(m.state, func.count()).where(m.created_at >= now - _DAY, m.state.in_(UNSENT)).group_by(m.state)
    by_status = select(s.status, func.count()).group_by(s.status).order_by(s.status)
    found = Status(
        at=now,
        environment=environment,
        users=level.trend("users"),
        signed_up=_flow(connection, users.c.created_at, now),
        subscriptions=level.trend("subscriptions"),
        by_status=dict(connection.execute(by_status).all()),
        revenue=[Money(name.removeprefix(REVENUE), level.money(name)) for name in level.now if name.startswith(REVENUE)],
        unseen=level.now[UNSEEN],
        webhooks=_flow(connection, webhook_events.c.received_at, now),
        events_open={state: number for state, number in inbox.states.items() if number},
        lag_seconds=inbox.lag,
        mails=_flow(connection, m.created_at, now),
        mails_unsent=dict(connection.execute(unsent).all()),
        tokens_left=level.trend("tokens_left"),
        tokens_used=level.trend("tokens_used"),
        connections=level.trend("connections"),
        connections_broken=level.trend("connections_broken"),
        jobs=list(jobs),
        limits=list(limits),
        limits_note=limits_note,
        attention=[],
    )
    return replace(found, attention=list(_attention(found)))


@dataclass(frozen=True)
class _Levels:
    """Figures as they are now and as they were kept on earlier `days`, yesterday last: what it lacks is compared with no other day."""

    now: Mapping[str, int]
    kept: Mapping[str, Mapping[str, int]]
    days: Sequence[str]

    def trend(self, name: str) -> Trend:
        number = self.now[name]
        series = [self.kept.get(day, {}).get(name) for day in self.days]
        before = series[-1]
        return Trend(number, None if before is None else number - before, [*series, number])

    def money(self, name: str) -> Trend:
        found = self.trend(name)
        return replace(found, change=None) if self.now[UNSEEN] else found


def _flow(connection: Connection, column: Column[Any], now: datetime) -> Trend:
    """How many came in the last 24 hours, against the 24 before them, and on each day."""
    day = func.substr(time_text(column), 1, 10)
    first = (now - (DAYS - 1) * _DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    counted: dict[str, int] = dict(connection.execute(select(day, func.count()).where(column >= first).group_by(day)).all())
    last = func.count(case((column >= now - _DAY, 1)))
    before = func.count(case((column < now - _DAY, 1)))
    new, old = connection.execute(select(last, before).where(column >= now - 2 * _DAY)).one()
    return Trend(new, new - old, [counted.get((first + number * _DAY).date().isoformat(), 0) for number in range(DAYS)])


def _attention(found: Status) -> Iterator[Attention]:
    """What somebody should look at, the worst first."""
    events = found.events_open
    if number := events.get("dead"):
        yield Attention(f"{counted(number, 'webhook event')} given up", "aura webhooks list --status dead")
    if found.lag_seconds > LATE_SECONDS:
        yield Attention(f"webhooks wait for {found.lag_seconds / 60:,.0f} min", "aura webhooks work --once")
    if number := events.get("unmatched"):
        yield Attention(f"{counted(number, 'event')} of nobody known here", "aura webhooks list --status unmatched")
    if ill := [one.job for one in found.jobs if one.state in ("failed", "killed")]:
        yield Attention(f"job {', '.join(ill)} failed", "aura cron list")
    if number := found.connections_broken.now:
        yield Attention(f"{counted(number, 'connection')} broken", "aura integrations list --health needs_consent")
    if found.mails_unsent:
        worst = max(found.mails_unsent, key=lambda state: found.mails_unsent[state])
        yield Attention(f"{counted(sum(found.mails_unsent.values()), 'mail')} not sent", f"aura email log --state {worst}")


def lines(found: Status, width: int = 80) -> Iterator[str]:
    """The screen: at most 22 lines of `width` characters."""
    yield f"{f'AURA {found.environment}' if found.environment else 'AURA':<{max(width - 17, 5)}}{found.at:%Y-%m-%d %H:%M}Z"
    yield _cut(_row("", "now", "in a day", "14 days"), width)
    yield from (_cut(_row(*row), width) for row in _rows(found))
    yield ""
    yield _cut(f"Jobs    {_jobs(found)}", width)
    yield _cut(f"Limits  {_limits(found)}", width)
    if found.attention:
        yield ""
    for one in found.attention[:5]:  # what is to be pasted is the last to be cut
        yield _cut(f"{_cut(f'! {one.what}', max(width - len(one.command) - 2, 12))}: {one.command}", width)


def _row(name: str, now: str, moved: str, rest: str) -> str:
    return f"{name:<15}{now:>14}{moved:>11}  {rest}".rstrip()


def _rows(found: Status) -> Iterator[tuple[str, str, str, str]]:
    """Name, number, how it moved, and the rest, of each line in its order."""
    unpaid = {name: number for name, number in found.by_status.items() if name in ("past_due", "unpaid")}
    broken = found.connections_broken.now
    yield _counts("Users", found.users)
    yield _counts("Signed up, 24 h", found.signed_up)
    yield _counts("Subscriptions", found.subscriptions, _listed(unpaid))
    yield from (_revenue(one, f"without {found.unseen:,} never seen" if found.unseen else "") for one in found.revenue[:2])
    if not found.revenue:
        yield "MRR", "?", "", "aura subscriptions reconcile"
    yield _counts("Webhooks, 24 h", found.webhooks, _listed(found.events_open))
    yield _counts("Mails, 24 h", found.mails, _listed(found.mails_unsent))
    yield _counts("Tokens left", found.tokens_left)
    yield _counts("Tokens used", found.tokens_used)
    yield _counts("Connections", found.connections, f"{broken:,} broken" if broken else "")


def _counts(name: str, trend: Trend, note: str = "") -> tuple[str, str, str, str]:
    return name, compact(trend.now), _moved(trend.change), f"{spark(trend.days)}  {note}"


def _revenue(one: Money, note: str) -> tuple[str, str, str, str]:
    trend = one.monthly
    moved = "" if trend.change is None else f"{'+' if trend.change >= 0 else '-'}{Revenue(one.currency, abs(trend.change), 0).shown}"
    return f"MRR {one.currency.upper()}", Revenue(one.currency, trend.now, 0).shown, moved, f"{spark(trend.days)}  {note}"


def _jobs(found: Status) -> str:
    run = [one for one in found.jobs if one.last]
    if not run:
        return "none has run yet: aura cron print"
    last = max(run, key=lambda one: one.last or found.at)
    states = _listed(
        {state: number for state in dict.fromkeys(one.state for one in run) if (number := sum(one.state == state for one in run))}
    )
    return f"{states}; the last, {last.job}, {ago(last.last or found.at, found.at)} ago"


def _limits(found: Status) -> str:
    said = [f"{one.limit} {one.identifiers:,} counted, {one.exhausted:,} used up" for one in found.limits]
    return "; ".join(said) or found.limits_note or "nothing is limited"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items())


def _moved(change: int | None) -> str:
    return "" if change is None else "=" if change == 0 else f"{'+' if change > 0 else '-'}{compact(abs(change))}"


def compact(number: int) -> str:
    """A number in groups of three, from a hundred million on in millions."""
    return f"{number:,}" if abs(number) < 10**8 else f"{number / 10**6:,.1f} M"


def spark(numbers: Sequence[int | None]) -> str:
    """A line of bars between the smallest and the largest; what nobody knows is left free."""
    known = [number for number in numbers if number is not None]
    low, high = min(known, default=0), max(known, default=0)
    step = (high - low) / 7 or 1
    return "".join(" " if number is None else "▁▂▃▄▅▆▇█"[round((number - low) / step)] for number in numbers)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
