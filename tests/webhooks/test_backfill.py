"""Reading missed events into the inbox: all of them, once, from where the last reading came to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.errors import ServiceError
from aura_cli.sandbox.faults import Faults
from aura_cli.transport import Service
from aura_cli.webhooks import inbox
from aura_cli.webhooks.backfill import CURSOR, OVERLAP, Backfill, backfill, span
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.tables import webhook_cursors, webhook_events
from tests.parts.stripe import Asked, StandIn
from tests.webhooks.listing import NOW, happen, listing

DAY = 86_400


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[tuple[StandIn, Service]]:
    """A Stripe where nothing happened yet, and our way to ask it."""
    with listing(tmp_path) as both:
        yield both


def run(engine: Engine, asked: Service, since: int | None = None, **how: Any) -> Backfill:
    """A backfill as the command does it."""
    with lease(engine, "webhooks backfill") as held:
        return backfill(engine, asked, span(engine, since, NOW), lease=held, **how)


def stored(engine: Engine) -> dict[str, str]:
    """The inbox: event → source."""
    with reading(engine) as connection:
        return {row.id: row.source for row in connection.execute(select(webhook_events.c.id, webhook_events.c.source))}


def position(engine: Engine) -> int | None:
    """The saved position."""
    with reading(engine) as connection:
        return connection.execute(select(webhook_cursors.c.position).where(webhook_cursors.c.name == CURSOR)).scalar()


def test_what_was_missed_is_stored_and_what_is_known_is_not_twice(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """The listener's own stay as they came; the others wait for a worker like them."""
    happen(stripe[0], NOW - 9000)
    made = happen(stripe[0], *range(NOW - 260, NOW - 10))
    body = sample("invoice.paid", NOW - 20).replace(b'"id":"evt_', b'"id":"' + made[100].encode() + b'","was":"', 1)
    with writing(engine) as connection:
        inbox.store(connection, [read(body, "web")])
    done = run(engine, stripe[1], NOW - 1000)
    assert (done.scanned, done.stored, done.known, done.unreadable, done.complete) == (250, 249, 1, 0, True)
    assert (done.since, done.until) == (datetime.fromtimestamp(NOW - 1000, UTC), datetime.fromtimestamp(NOW - 11, UTC))
    assert stored(engine) == dict.fromkeys(made, "backfill") | {made[100]: "web"}
    with reading(engine) as connection:
        assert inbox.waiting(connection) == 250


def test_the_next_one_goes_on_from_there(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """A few minutes are read again, for what turned up late; without news nothing is stored."""
    first = happen(stripe[0], NOW - 5000, NOW - 4000)
    assert run(engine, stripe[1]).stored == 2
    assert position(engine) == NOW - 4000
    late = happen(stripe[0], NOW - 4000 - OVERLAP + 1)
    again = run(engine, stripe[1])
    assert (again.scanned, again.stored) == (2, 1)
    new = happen(stripe[0], NOW - 100)
    assert run(engine, stripe[1]).stored == 1
    assert stored(engine).keys() == {*first, *late, *new}


def test_what_is_not_handled_moves_the_position(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """A quiet month is not taken for a gap."""
    happen(stripe[0], NOW - 29 * DAY)
    happen(stripe[0], NOW - 60, kind="charge.refunded")
    assert run(engine, stripe[1]).stored == 1
    assert position(engine) == NOW - 60


def test_a_run_that_was_broken_off_is_carried_on(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """What was stored stays, the position with it, and the next reading brings the rest."""
    made = happen(stripe[0], *range(NOW - 5000, NOW - 4500))
    pages = 0

    def fail_later(request: Asked, answer: Any) -> Any:
        nonlocal pages
        pages += "ending_before" in request.query
        return b"<html>" if pages > 2 else answer

    stripe[0].edit = fail_later
    with pytest.raises(ServiceError):
        run(engine, stripe[1])
    half = stored(engine)
    assert 0 < len(half) < 500
    assert position(engine) == NOW - 5000 + len(half) - 1
    stripe[0].edit = lambda request, answer: answer
    done = run(engine, stripe[1])
    assert done.stored == 500 - len(half)
    assert stored(engine).keys() == set(made)


def test_a_look_at_the_last_hour_leaves_no_gap_behind(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """Where nobody has read what lies between, the position stays; the next reading from there finds it."""
    happen(stripe[0], NOW - 9 * DAY)
    run(engine, stripe[1])
    between = happen(stripe[0], NOW - 8 * DAY)
    happen(stripe[0], NOW - 60)
    assert run(engine, stripe[1], NOW - 3600).stored == 1
    assert position(engine) == NOW - 9 * DAY
    assert between[0] not in stored(engine)
    assert run(engine, stripe[1]).stored == 1
    assert position(engine) == NOW - 60
    assert between[0] in stored(engine)


def test_an_old_look_does_not_move_the_position_back(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """Reading the whole month again ends where we were."""
    happen(stripe[0], NOW - 9 * DAY, NOW - 60)
    run(engine, stripe[1])
    assert run(engine, stripe[1], NOW - 29 * DAY).known == 2
    assert position(engine) == NOW - 60


def test_further_back_than_stripe_keeps_events(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """The month is read, and it is not called complete; a last reading of long ago counts as such."""
    happen(stripe[0], NOW - 29 * DAY)
    done = run(engine, stripe[1], NOW - 40 * DAY)
    assert (done.stored, done.complete, done.since) == (1, False, datetime.fromtimestamp(NOW - 30 * DAY, UTC))
    assert run(engine, stripe[1]).complete is True
    assert span(engine, None, NOW + 5 * DAY).complete is False


def test_a_dry_run_stores_nothing(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """It counts what it would store, and leaves no position."""
    happen(stripe[0], *range(NOW - 150, NOW))
    done = run(engine, stripe[1], NOW - 1000, dry_run=True)
    assert (done.scanned, done.stored, done.known, done.dry_run) == (150, 150, 0, True)
    assert stored(engine) == {}
    assert position(engine) is None


def test_what_cannot_be_read_is_counted(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """One event that is none does not keep the others out."""
    happen(stripe[0], NOW - 30, NOW - 20, NOW - 10)
    stripe[0].edit_each("/v1/events", lambda event: event.update(data=None) if event["created"] == NOW - 20 else None)
    done = run(engine, stripe[1], NOW - 1000)
    assert (done.scanned, done.stored, done.unreadable) == (3, 2, 1)


def test_a_stripe_with_faults(engine: Engine, tmp_path: Path) -> None:
    """429, 500 and cut connections leave nothing out."""
    faults = Faults(too_many=0.1, server_error=0.1, cut_before=0.1, cut_half=0.1, retry_after=0.05, seed=2)
    with listing(tmp_path, faults) as (stripe, asked):
        made = happen(stripe, *range(NOW - 700, NOW))
        assert run(engine, asked, NOW - 1000).stored == 700
    assert stored(engine).keys() == set(made)


def test_nothing_ever_happened(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """Nothing is scanned, and there is no position."""
    done = run(engine, stripe[1])
    assert (done.scanned, done.complete) == (0, True)
    assert position(engine) is None


def test_old_shapes_come_as_stripe_made_them(engine: Engine, stripe: tuple[StandIn, Service]) -> None:
    """An account of a version before basil lists its events in that shape; the inbox knows it."""
    stripe[0].state.api_version = "2024-06-20"
    happen(stripe[0], NOW - 10)
    assert run(engine, stripe[1], NOW - 100).stored == 1
    with reading(engine) as connection:
        row = connection.execute(select(webhook_events.c.api_version, webhook_events.c.payload)).one()
    assert row.api_version == "2024-06-20"
    assert b'"parent"' not in row.payload
