"""The inbox in numbers: what came when and what became of it, which secrets are needed, what waits, and whether Stripe has more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select

from aura_cli.db.engine import reading
from aura_cli.db.types import among, time_text
from aura_cli.outbox.tables import outbox
from aura_cli.subscriptions.stripe import PAGE
from aura_cli.transport import Service
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.feed import Feed
from aura_cli.webhooks.metrics import backlog
from aura_cli.webhooks.tables import webhook_events, webhook_secrets

HOURLY = 48  # hours that are counted one by one; longer times by the day
LATE_SECONDS = 300  # an event of Stripe's that is younger may still be on its way
LATEST = 1_000  # arrivals, among which the newest that Stripe made is looked for: they come in no order


@dataclass(frozen=True)
class Count:
    """The events that arrived in the hour, or the day, that begins then."""

    begin: datetime
    events: int


@dataclass(frozen=True)
class SecretUse:
    """A signing secret, by its label: how often it matched, and when last (None: never). `configured`: it still counts."""

    label: str
    configured: bool
    matched: int
    first_matched_at: datetime | None
    last_matched_at: datetime | None


@dataclass(frozen=True)
class ForwardingState:
    """What is to go on to the web app: events by state of their effect, since when the oldest has waited, the newest trouble."""

    pending: int
    done: int
    dead: int
    waiting_since: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class AtStripe:
    """The newest handled event of Stripe's, and how many were made after the newest that is stored here and are late.

    `more`: that is a whole page of them, and there may be others. `older`: those on the page that are not here either; the page is only
    read where Stripe's newest is not here.
    """

    newest: datetime | None
    missing: int
    more: bool
    older: int = 0


@dataclass(frozen=True)
class Stats:
    """What arrived from `since` to `until`, counted by hour or day, state, type and outcome; the rest is as it is now.

    `open` counts the events that are not done by state; `lag_seconds`: how long the oldest that is due has been waiting.
    `at_stripe` is None where Stripe could not be asked, which `note` then says.
    """

    since: datetime
    until: datetime
    received: int
    received_per_hour: float
    over_time: list[Count]
    by_state: dict[str, int]
    by_type: dict[str, int]
    by_outcome: dict[str, int]
    open: dict[str, int]
    lag_seconds: float
    newest_received_at: datetime | None
    secrets: list[SecretUse]
    forwarding: ForwardingState
    at_stripe: AtStripe | None = None
    note: str | None = None


def stats(connection: Connection, since: datetime, until: datetime, secrets: Mapping[str, str]) -> Stats:
    """Everything that the database knows; `secrets` (label → secret) are those that are configured."""
    e = webhook_events.c
    left = backlog(connection)
    over_time = _over_time(connection, since, until)
    received = sum(one.events for one in over_time)
    return Stats(
        since=since,
        until=until,
        received=received,
        received_per_hour=round(received / max((until - since).total_seconds() / 3600, 1e-9), 2),
        over_time=over_time,
        by_state=_counted(connection, e.state, since),
        by_type=_counted(connection, e.type, since),
        by_outcome=_counted(connection, case((e.state == "done", e.outcome), (e.state == "dead", e.state)), since),  # theirs is the error
        open=dict(left.states),
        lag_seconds=left.lag,
        newest_received_at=connection.execute(select(func.max(e.received_at))).scalar(),
        secrets=_secrets(connection, secrets),
        forwarding=_forwarding(connection),
    )


def at_stripe(engine: Engine, stripe: Service, now: datetime) -> AtStripe:
    """Compare with Stripe's list of the handled events. Raises as `Service.get` does."""
    feed = Feed(stripe, 0)
    listed = feed.latest(1)
    newest = datetime.fromtimestamp(listed[0].created, UTC) if listed else None
    if not (unknown := _unknown(engine, [event.id for event in listed])):
        return AtStripe(newest, 0, more=False)
    listed = feed.latest(PAGE)
    unknown = _unknown(engine, [event.id for event in listed])
    with reading(engine) as connection:
        latest = select(webhook_events.c.created).order_by(webhook_events.c.received_at.desc()).limit(LATEST).subquery()
        ours = connection.execute(select(func.max(latest.c.created))).scalar() or 0
    late = [event for event in listed if event.id in unknown and event.created < now.timestamp() - LATE_SECONDS]
    missing = sum(event.created > ours for event in late)
    return AtStripe(newest, missing, more=len(listed) == PAGE and listed[-1].created > ours, older=len(late) - missing)


def dead(found: Stats) -> str | None:
    """What was given up of the time that is counted, which is left for a person."""
    number = found.by_state.get("dead", 0)
    return f"{number:,} event{' is' if number == 1 else 's are'} dead: given up, and handled no more by itself" if number else None


def silence(found: Stats) -> str | None:
    """What there is to worry about: Stripe has events of which none arrived. None where all is well, or Stripe was not asked."""
    if found.at_stripe is None or not found.at_stripe.missing:
        return None
    number = f"{found.at_stripe.missing:,}{' or more' if found.at_stripe.more else ''}"
    events = f"{number} event{'' if number == '1' else 's'}"
    if found.newest_received_at is None:
        return f"Nothing has ever arrived here while Stripe has {events}"
    return f"Silent for {ago(found.newest_received_at, found.until)} while Stripe has {events}"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest unit of which there are two or more: `26 h`."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"


def _over_time(connection: Connection, since: datetime, until: datetime) -> list[Count]:
    """Events by the hour, or by the day of a longer time, the empty ones too."""
    hourly = until - since <= timedelta(hours=HOURLY)
    begun = func.substr(time_text(webhook_events.c.received_at), 1, 13 if hourly else 10)
    counted = select(begun, func.count()).where(webhook_events.c.received_at >= since).group_by(begun)
    found: dict[str, int] = dict(connection.execute(counted).all())
    begin = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    begin = begin if hourly else begin.replace(hour=0)
    step, form = (timedelta(hours=1), "%Y-%m-%dT%H") if hourly else (timedelta(days=1), "%Y-%m-%d")
    times = [begin + number * step for number in range(int((until - begin) / step) + 1)]
    return [Count(time, found.get(time.strftime(form), 0)) for time in times]


def _counted(connection: Connection, column: Any, since: datetime) -> dict[str, int]:
    number = func.count()
    grouped = select(column, number).where(webhook_events.c.received_at >= since, column.is_not(None)).group_by(column)
    return dict(connection.execute(grouped.order_by(number.desc(), column)).all())


def _secrets(connection: Connection, configured: Mapping[str, str]) -> list[SecretUse]:
    s = webhook_secrets.c
    rows = connection.execute(select(s.label, s.matched, s.first_matched_at, s.last_matched_at).order_by(s.label))
    used = {label: SecretUse(label, label in configured, *rest) for label, *rest in rows}
    return [*used.values(), *(SecretUse(label, True, 0, None, None) for label in configured if label not in used)]


def _forwarding(connection: Connection) -> ForwardingState:
    o = outbox.c
    mine = o.kind == FORWARD
    by_state: dict[str, int] = dict(connection.execute(select(o.state, func.count()).where(mine).group_by(o.state)).all())
    open_ = o.state.in_(("pending", "sending"))
    waiting = connection.execute(select(func.min(o.created_at)).where(mine, open_)).scalar()
    error = connection.execute(select(o.error).where(mine, o.error.is_not(None)).order_by(o.id.desc()).limit(1)).scalar()
    pending = by_state.get("pending", 0) + by_state.get("sending", 0)
    return ForwardingState(pending, by_state.get("done", 0), by_state.get("dead", 0), waiting, error)


def _unknown(engine: Engine, ids: list[str]) -> set[str]:
    with reading(engine) as connection:
        known = connection.execute(select(webhook_events.c.id).where(among(webhook_events.c.id, ids))).scalars()
        return set(ids) - set(known)
