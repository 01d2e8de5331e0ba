"""Events that were missed, read from Stripe's list into the inbox: the same pipeline, and what is known is not stored twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import reading, upsert, writing
from aura_cli.db.leases import Lease
from aura_cli.db.types import utc_now
from aura_cli.subscriptions.stripe import time_of
from aura_cli.transport import Service
from aura_cli.webhooks import inbox
from aura_cli.webhooks.envelope import BACKFILL, Arrival, BadEvent, read
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.feed import KEPT, Feed, Listed
from aura_cli.webhooks.tables import webhook_cursors

CURSOR = "stripe events"
OVERLAP = 300  # seconds that are read again: an event may turn up in the list a little after a younger one


@dataclass(frozen=True)
class Backfill:
    """What a reading found: events looked at, new ones stored, known ones, and such as could not be read.

    It went from `since` to `until` by Stripe's clock; not `complete` where that is later than was asked for.
    """

    scanned: int
    stored: int
    known: int
    unreadable: int
    since: datetime
    until: datetime
    complete: bool
    dry_run: bool


@dataclass(frozen=True)
class Span:
    """From when on to read (epoch seconds), and whether Stripe still has all that was asked for."""

    since: int
    complete: bool
    moves: bool  # the saved position: not where it would skip what nobody has read


def span(engine: Engine, since: int | None, now: int) -> Span:
    """What to read: since a moment (epoch seconds), or None: since the last reading, or as far back as Stripe goes."""
    with reading(engine) as connection:
        position = _position(connection)
    earliest = now - KEPT
    wished = since if since is not None else earliest if position is None else position - OVERLAP
    whole = since is None or wished <= (earliest if position is None else position)  # what is older has been read, or is gone
    return Span(max(wished, earliest), wished >= earliest, whole)


def backfill(
    engine: Engine,
    stripe: Service,
    wanted: Span,
    *,
    lease: Lease,
    types: Sequence[str] = HANDLED,
    dry_run: bool = False,
    tick: Callable[[int], None] = lambda count: None,
) -> Backfill:
    """Read the wanted span's events of these types and store what the inbox lacks, a page a commit, together with the position that a
    killed run leaves behind.

    Raises as `Service.get` does; what was stored until then stays.
    """
    feed = Feed(stripe, wanted.since, types)
    done = Backfill(0, 0, 0, 0, time_of(wanted.since), time_of(wanted.since), wanted.complete, dry_run)
    while page := feed.following():
        done = _store(engine, done, page, lease, move=wanted.moves)
        tick(done.scanned)
    until = max(feed.seen or wanted.since, wanted.since)
    if wanted.moves and not dry_run and feed.seen is not None:
        with writing(engine) as connection:
            lease.assert_held(connection)
            _move(connection, until, None)
    return replace(done, until=time_of(until))


def _store(engine: Engine, done: Backfill, page: list[Listed], lease: Lease, *, move: bool) -> Backfill:
    arrivals: list[Arrival] = []
    for event in page:
        with suppress(BadEvent):
            arrivals.append(read(event.body, BACKFILL))
    with writing(engine) as connection:
        lease.assert_held(connection)
        step = connection.begin_nested()
        new = inbox.store(connection, arrivals) if arrivals else set()
        if move:
            _move(connection, page[-1].created, page[-1].id)
        (step.rollback if done.dry_run else step.commit)()
    return replace(
        done,
        scanned=done.scanned + len(page),
        stored=done.stored + len(new),
        known=done.known + len(arrivals) - len(new),
        unreadable=done.unreadable + len(page) - len(arrivals),
    )


def _position(connection: Connection) -> int | None:
    return connection.execute(select(webhook_cursors.c.position).where(webhook_cursors.c.name == CURSOR)).scalar()


def _move(connection: Connection, position: int, event: str | None) -> None:
    """Everything up to `position` has been stored; it never moves back."""
    c = webhook_cursors.c
    statement = upsert(connection, webhook_cursors).values(name=CURSOR, position=position, event=event)
    values = {"position": position, "moved_at": utc_now()} | ({"event": event} if event else {})
    connection.execute(statement.on_conflict_do_update(index_elements=[c.name], set_=values, where=c.position <= position))
