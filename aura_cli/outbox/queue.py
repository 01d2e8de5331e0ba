"""The outbox's life: an effect is asked for inside a change's transaction, claimed after it, and settled once.

Delivery is at least once: a worker that dies after the effect and before `settle` leaves a claim that runs out, and the next
one does it again. Whoever carries effects out gives the receiver the row's `key` to tell a repetition by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import Connection, and_, or_, select, true

from aura_cli.db.engine import upsert
from aura_cli.db.leases import is_dead
from aura_cli.db.types import among, moved_by, utc_now
from aura_cli.outbox.tables import outbox

CLAIM_SECONDS = 300
ATTEMPTS = 16  # with the waits below: a little over a day
FIRST_WAIT, LONGEST_WAIT = 15, 4 * 3600  # seconds, doubling


@dataclass(frozen=True)
class Effect:
    """One row claimed by `owner`: what is to happen (`kind`, `payload`), under which `key`, for which time (`attempt`, from 1)."""

    id: int
    kind: str
    key: str
    payload: dict[str, Any]
    attempt: int
    owner: str = ""


def enqueue(connection: Connection, kind: str, key: str, payload: dict[str, Any]) -> bool:
    """Ask for an effect once: False where the same `kind` and `key` were asked for before."""
    statement = (
        upsert(connection, outbox).values(kind=kind, key=key, payload=payload).on_conflict_do_nothing(index_elements=["kind", "key"])
    )
    return connection.execute(statement.returning(outbox.c.id)).first() is not None


def enqueue_all(connection: Connection, kind: str, payloads: Mapping[str, dict[str, Any]]) -> None:
    """Ask for many effects at once, by key; what was asked for before is not asked for again."""
    if payloads:
        rows = [{"kind": kind, "key": key, "payload": payload} for key, payload in payloads.items()]
        connection.execute(upsert(connection, outbox).on_conflict_do_nothing(index_elements=["kind", "key"]), rows)


def claim(connection: Connection, owner: str, *, limit: int = 50, kinds: Sequence[str] = (), keys: Sequence[str] = ()) -> list[Effect]:
    """Take what is due, oldest first, for `owner` alone, until it is settled or the claim runs out; of `kinds` and `keys` where given.

    Takes rows whose earlier claim ran out, too. Two callers at once get different rows.
    """
    o = outbox.c
    due = or_(
        and_(o.state == "pending", o.next_try_at <= utc_now()),
        and_(o.state == "sending", o.lease_expires_at < utc_now()),
    )
    wanted = and_(due, o.kind.in_(kinds) if kinds else true(), among(o.key, keys) if keys else true())
    chosen = select(o.id).where(wanted).order_by(o.id).limit(limit).with_for_update(skip_locked=True)
    taken = {"state": "sending", "lease_owner": owner, "lease_expires_at": moved_by(utc_now(), CLAIM_SECONDS), "attempts": o.attempts + 1}
    statement = outbox.update().where(o.id.in_(chosen)).values(taken).returning(o.id, o.kind, o.key, o.payload, o.attempts)
    taken_now = [Effect(row.id, row.kind, row.key, row.payload, row.attempts, owner) for row in connection.execute(statement)]
    return sorted(taken_now, key=lambda effect: effect.id)


def settle(
    connection: Connection,
    owner: str,
    effect: Effect,
    error: str | None = None,
    *,
    final: bool = False,
    wait: float | None = None,
    counts: bool = True,
) -> bool:
    """Note how a claimed effect went: done, or `error`, which is tried again later unless it is `final` or was the last try.

    `wait` is in seconds, where the waits of the outbox do not fit; a try that does not count is none of the last ones.
    False where the claim ran out meanwhile and is somebody else's: nothing was noted.
    """
    o = outbox.c
    said = error and error.replace("\0", "")  # PostgreSQL's text holds none
    settled: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None, "error": said}
    if error is None:
        settled |= {"state": "done", "done_at": utc_now()}
    elif final or (counts and effect.attempt >= ATTEMPTS):
        settled |= {"state": "dead", "done_at": utc_now()}
    else:
        wait = wait_after(effect.attempt) if wait is None else wait
        settled |= {"state": "pending", "next_try_at": moved_by(utc_now(), ceil(wait)), "attempts": effect.attempt - (not counts)}
    mine = and_(o.id == effect.id, o.state == "sending", o.lease_owner == owner)
    return connection.execute(outbox.update().where(mine).values(settled)).rowcount == 1


def still_held(connection: Connection, effect: Effect) -> bool:
    """Whether a claimed effect is its claimant's still, and stays so until the transaction ends."""
    o = outbox.c
    mine = and_(o.id == effect.id, o.state == "sending", o.lease_owner == effect.owner)
    return connection.execute(select(o.id).where(mine).with_for_update()).first() is not None


def under_way(connection: Connection, kind: str, keys: Sequence[str]) -> bool:
    """Whether somebody has a claim on one of these effects that has not run out."""
    o = outbox.c
    claimed = and_(o.kind == kind, among(o.key, keys), o.state == "sending", o.lease_expires_at > utc_now())
    return connection.execute(select(o.id).where(claimed).limit(1)).first() is not None


def wait_after(attempt: int) -> int:
    """Seconds from a try that failed (counted from 1) to the next."""
    seconds: int = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return seconds


def free_the_dead(connection: Connection, kinds: Sequence[str]) -> int:
    """Let others have at once what processes of this machine had claimed that are gone; returns how many effects."""
    o = outbox.c
    claimed = and_(o.state == "sending", o.kind.in_(kinds))
    owners = connection.execute(select(o.lease_owner).where(claimed).distinct()).scalars()
    if not (dead := [owner for owner in owners if is_dead(owner)]):
        return 0
    freed: int = connection.execute(outbox.update().where(claimed, o.lease_owner.in_(dead)).values(lease_expires_at=o.created_at)).rowcount
    return freed


def revive(connection: Connection, kind: str, keys: Sequence[str]) -> int:
    """Let effects be tried again, at once, that had been given up; returns how many."""
    o = outbox.c
    values = {"state": "pending", "attempts": 0, "next_try_at": utc_now(), "done_at": None}
    mine = and_(o.kind == kind, among(o.key, keys), o.state == "dead")
    revived: int = connection.execute(outbox.update().where(mine).values(values)).rowcount
    return revived
