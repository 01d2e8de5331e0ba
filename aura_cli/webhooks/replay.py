"""Stored events once more: handled again, only rehearsed, or sent on, signed anew, to somebody's server."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among
from aura_cli.errors import NotFoundError
from aura_cli.outbox import queue
from aura_cli.webhooks import inbox, worker
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.inbox import Handled
from aura_cli.webhooks.sending import Sent, Target
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.views import Filter, payload
from aura_cli.webhooks.worker import Worker

CHUNK = worker.ASKING_BATCH
PATIENCE = 30.0  # seconds, for events that another worker has
_LOOK_SECONDS = 0.2
_UNDER_WAY = ("received", "processing")


@dataclass(frozen=True)
class Ended:
    """An event, and how handling it ended or would end; of one that was not handled, how it stands."""

    event: str
    type: str
    state: str
    outcome: str | None
    note: str | None
    changes: list[dict[str, Any]]


@dataclass(frozen=True)
class Replay:
    """What was handled again, or with `applied` false would be. `counts` is by outcome, of what was not even tried by its state now."""

    events: list[Ended]
    counts: dict[str, int]
    applied: bool

    @classmethod
    def of(cls, events: Sequence[Ended], *, applied: bool) -> "Replay":
        counts = Counter((one.outcome or one.state) if one.state == "done" else one.state for one in events)
        return cls(list(events), dict(counts.most_common()), applied)

    @classmethod
    def chosen(cls, events: Sequence[Ended]) -> "Replay":
        return cls(list(events), dict(Counter(one.state for one in events).most_common()), applied=False)

    @property
    def failed(self) -> int:
        return sum(one.state in ("failed", "dead") for one in self.events)


@dataclass(frozen=True)
class Delivery:
    """Stored events that were sent to a server, with its answers."""

    to: str
    sent: list[Sent]

    @property
    def failed(self) -> int:
        return sum(not one.taken for one in self.sent)


def chosen(engine: Engine, wanted: Filter) -> list[Ended]:
    """The events that are wanted, as they stand, the oldest first. Raises NotFoundError where one of `wanted.ids` is not there."""
    e = webhook_events.c
    statement = wanted.of(select(e.id, e.type, e.state, e.outcome)).order_by(e.created, e.id)
    with reading(engine) as connection:
        found = [Ended(row.id, row.type, row.state, row.outcome, None, []) for row in connection.execute(statement)]
    if unknown := sorted(set(wanted.ids) - {one.event for one in found}):
        raise NotFoundError(f"No such event here: {', '.join(unknown[:5])}", "See what there is: aura webhooks list")
    return found


def replay(by: Worker, ids: Sequence[str], operator: str) -> Iterator[Ended]:
    """Handle events again whatever became of them, and let go on what was given up on its way to the web app.

    One that another worker has is left to it and waited for, a while.
    """
    for chunk in _chunks(ids):
        with writing(by.engine) as connection:
            inbox.again(connection, chunk)
            queue.revive(connection, FORWARD, chunk)
            for identifier in chunk:
                record(connection, operator, "webhooks.replay", identifier)
        ended = [_ended(one) for one in by.once(len(chunk), chunk)]
        yield from ended
        if others := sorted(set(chunk) - {one.event for one in ended}):
            yield from _elsewhere(by.engine, others)


def rehearse(by: Worker, ids: Sequence[str]) -> Iterator[Ended]:
    """What handling them now would change, each chunk for itself; nothing is kept."""
    for chunk in _chunks(ids):
        yield from (_ended(one) for one in worker.rehearse(by.engine, by.stripe, chunk, by.surroundings, by.clock))


def send(engine: Engine, target: Target, ids: Sequence[str]) -> Iterator[Sent]:
    """Send events' bodies as they arrived, signed anew, one after the other; the inbox does not know of it."""
    with target:
        for identifier in ids:
            with reading(engine) as connection:
                body = payload(connection, identifier)
            yield target.deliver(body, "replay")


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _ended(one: Handled) -> Ended:
    return Ended(one.event.id, one.event.type, one.state, one.outcome, one.note, list(one.changes))


def _elsewhere(engine: Engine, ids: Sequence[str]) -> list[Ended]:
    """How another worker ended with them."""
    until = time.monotonic() + PATIENCE
    e = webhook_events.c
    while True:
        with reading(engine) as connection:
            rows = connection.execute(select(e.id, e.type, e.state, e.outcome).where(among(e.id, ids)).order_by(e.created, e.id)).all()
        if time.monotonic() > until or not any(row.state in _UNDER_WAY for row in rows):
            return [Ended(*row, "Another worker had it", []) for row in rows]
        time.sleep(_LOOK_SECONDS)
