"""The three steps of a rotation, each of which can be killed anywhere and run again.

A writer of the web app's or ours may change any row at any moment: what is written depends, value by value, on what still stands there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Engine, Text, cast, func, literal_column, select

from aura_cli.audit.log import record
from aura_cli.db.engine import analyze, beside, load, reading, writing
from aura_cli.db.leases import Lease
from aura_cli.db.shared import integrations
from aura_cli.db.types import among, moved_by, utc_now
from aura_cli.vault import rotation as states
from aura_cli.vault.keyring import Key, KeyRing
from aura_cli.vault.resealing import AFTER, BEFORE, Resealed, Resealer, exchange, put, put_own, stands
from aura_cli.vault.rotation import Rotation, move
from aura_cli.vault.tables import reseals, rotations
from aura_cli.vault.walk import BATCH, PLACES, Row, Tally, read, staged_of

KEPT = 30 * 86_400  # seconds
PASSES = 5  # of a sweep over rows that others keep changing


@dataclass(frozen=True)
class Turned:
    """What one step did: how many connections it staged, switched or put back, and how many it sealed anew beside that because they had
    changed meanwhile (`own`: values of ours); `left` is what stays under other keys, unreadable or plaintext."""

    rows: int
    resealed: int
    own: int
    left: Tally


@dataclass
class Work:
    """What every step needs; `own` are columns of ours that hold sealed values."""

    engine: Engine
    ring: KeyRing
    operator: str
    own: Sequence[Column[str]] = ()
    tick: Callable[[int], None] = lambda count: None
    batch: int = BATCH
    lease: Lease | None = None  # while a step is being taken

    def stage(self, rotation: Rotation, new: Key) -> Turned:
        """Keep every value, sealed under the new key, beside the row that it is of; those again that have changed since."""
        left, resealer, done = Tally(), Resealer(self.ring, new), 0
        with reading(self.engine) as connection:
            fresh = connection.execute(select(reseals.c.part).where(reseals.c.rotation == rotation.id).limit(1)).first() is None
        known = None if fresh else rotation
        batches, made = self._batches(known, BEFORE), list[Resealed]()
        while True:
            with beside(self.engine, partial(self._keep, known, rotation.id, made)):  # it writes while we calculate
                rows = next(batches, [])
                made = self._new(known, BEFORE, rows, resealer, left)
            if not rows:
                break
            done += len({change.integration_id for change in made})
            self.tick(done)
        with self._chunk() as connection:
            analyze(connection, reseals, "rotation", "integration_id", "part")
            move(connection, rotation, states.STAGED, staged=count_staged(connection, rotation))
            self._note(connection, rotation, "stage", {"rows": done, "left": dict(left.values)})
        return Turned(done, 0, 0, left)

    def _keep(self, known: Rotation | None, rotation: int, made: Sequence[Resealed], connection: Connection) -> None:
        """Store what was made of a batch, in the place of what may be `known` of its rows."""
        assert self.lease
        self.lease.assert_held(connection)
        if known and made:
            ids = among(reseals.c.integration_id, {change.integration_id for change in made})
            connection.execute(reseals.delete().where(reseals.c.rotation == rotation, ids))
        load(connection, reseals, ["rotation", *Resealed._fields], [(rotation, *change) for change in made])

    def _new(self, known: Rotation | None, side: str, rows: Sequence[Row], resealer: Resealer, left: Tally) -> list[Resealed]:
        """What is to change in those rows that are not wholly staged on `side`."""
        made = [change for row in rows for change in resealer.of(row, left)]
        if not (known and made):
            return made
        columns = [reseals.c[f"{name}_{side}"] for name in PLACES]
        ids = among(reseals.c.integration_id, {change.integration_id for change in made})
        with reading(self.engine) as connection:
            found = connection.execute(select(*columns).where(reseals.c.rotation == known.id, ids)).all()
        staged = {None, *(value for row in found for value in row)}
        changed = {change.integration_id for change in made if not staged.issuperset(change.replaced)}
        return [change for change in made if change.integration_id in changed]

    def _batches(self, rotation: Rotation | None, side: str) -> Iterator[list[Row]]:
        """The rows, or those that are not as staged on `side`, batch by batch; no transaction is open in between."""
        staged, after = staged_of(rotation.id) if rotation else None, None
        while True:
            with reading(self.engine) as connection:
                rows = read(connection, after, self.batch, staged=staged, side=side)
            yield rows
            if len(rows) < self.batch:
                return
            after = rows[-1].id

    def switch(self, rotation: Rotation, new: Key, *, plaintexts: bool = False) -> Turned:
        """Put the staged values where nothing has changed, then seal anew what was written meanwhile; afterwards only the latter."""
        rows = 0
        if rotation.state == states.SWITCHED:
            self._forget(rotation)
        else:
            rows = self._turn(rotation, states.SWITCHING, BEFORE, AFTER)
            with self._chunk() as connection:
                move(connection, rotation, states.SWITCHED, switched_at=utc_now(), finished_at=utc_now())
        return self._sweep(rotation, "switch", Resealer(self.ring, new, plaintexts=plaintexts), AFTER, rows)

    def undo(self, rotation: Rotation, old: Key) -> Turned:
        """Put the old values back where the staged ones stand, then seal under the old key what was written under the new one.

        Under an old key with which nothing may be sealed, the latter stays as it is.
        """
        rows = 0
        if rotation.state != states.UNDONE:
            rows = self._turn(rotation, states.UNDOING, AFTER, BEFORE)
        done = self._sweep(rotation, "undo", back(self.ring, rotation, old), BEFORE, rows)
        with self._chunk() as connection:
            move(connection, rotation, states.UNDONE, finished_at=utc_now())
            connection.execute(reseals.delete().where(reseals.c.rotation == rotation.id))
        return done

    def foresee(self, rotation: Rotation | None, resealer: Resealer, side: str, *, turns: bool) -> Turned:
        """What a step would do now: put what is staged where `side` of it stands (if it `turns` that), seal anew what is not staged."""
        left, rows, resealed = Tally(), 0, 0
        if rotation and turns:
            with reading(self.engine) as connection:
                rows = count_standing(connection, rotation, side)
        for batch in self._batches(rotation, side):
            resealed += len({change.integration_id for change in self._new(rotation, side, batch, resealer, left)})
            self.tick(resealed)
        return Turned(rows, resealed, 0, left)

    def _turn(self, rotation: Rotation, state: str, side: str, other: str) -> int:
        """One statement a chunk of what is staged (and one for each further part of those whose metadata holds several values)."""
        with self._chunk() as connection:
            move(connection, rotation, state)
            self._note(connection, rotation, state, {"staged": rotation.staged})
        done, after = 0, None
        while chunk := self._next(rotation, after):
            low, after, parts = after, *chunk
            with self._chunk() as connection:
                changed = [self._put_part(connection, rotation, part, low, after, side, other) for part in range(parts)]
                self._note(connection, rotation, state, {"rows": changed[0], "to": after})
            done += changed[0]
            self.tick(done)
        return done

    def _next(self, rotation: Rotation, after: str | None) -> tuple[str, int] | None:
        """Where the next chunk of what is staged ends, and how many parts its largest has."""
        r = reseals.c
        here = (r.rotation == rotation.id) if after is None else (r.rotation == rotation.id) & (r.integration_id > after)
        whole = select(cast(r.integration_id, Text).label("id")).where(here, r.part == 0)
        ids = whole.order_by(r.integration_id).limit(self.batch).subquery()
        with reading(self.engine) as connection:
            end = connection.execute(select(func.max(ids.c.id))).scalar()
            if end is None:
                return None
            parts = connection.execute(select(func.max(r.part)).where(here, r.integration_id <= end)).scalar_one()
        return end, parts + 1

    def _put_part(self, connection: Connection, rotation: Rotation, part: int, low: str | None, high: str, side: str, other: str) -> int:
        r, i = reseals.c, integrations.c
        within = [r.rotation == rotation.id, r.part == part, r.integration_id <= high, i.id <= high]
        if low is not None:
            within += [r.integration_id > low, i.id > low]
        return exchange(connection, reseals, side, other, *within)

    def _forget(self, rotation: Rotation) -> None:
        """What is kept to be put back is under a key that should be gone: it is not kept for ever."""
        r = rotations.c
        old = select(r.id).where(r.id == rotation.id, r.switched_at < moved_by(utc_now(), literal_column(f"-{KEPT}")))
        with self._chunk() as connection:
            connection.execute(reseals.delete().where(reseals.c.rotation.in_(old)))

    def _sweep(self, rotation: Rotation, step: str, resealer: Resealer, side: str, rows: int) -> Turned:
        """Seal anew what is not as staged, until there is nothing more: a row may change between our look and our statement."""
        resealed = 0
        for _ in range(PASSES):
            left = Tally()
            done = self._pass(rotation, step, resealer, side, left)
            resealed += done
            if not done:
                break
        with self._chunk() as connection:
            own = put_own(connection, self.own, resealer, left)
            numbers = {"rows": rows, "resealed": resealed, "own": own, "left": dict(left.values + left.own)}
            self._note(connection, rotation, step, numbers)
        return Turned(rows, resealed, own, left)

    def _pass(self, rotation: Rotation, step: str, resealer: Resealer, side: str, left: Tally) -> int:
        """Once over all that is not as staged: how many connections were sealed anew."""
        resealed, after = 0, None
        while True:
            with self._chunk() as connection:
                rows = read(connection, after, self.batch, staged=staged_of(rotation.id), side=side)
                done = put(connection, [change for row in rows for change in resealer.of(row, left)])
                if done:
                    self._note(connection, rotation, f"{step}.sweep", {"rows": done, "to": rows[-1].id})
            resealed += done
            self.tick(resealed)
            if len(rows) < self.batch:
                return resealed
            after = rows[-1].id

    @contextmanager
    def _chunk(self) -> Iterator[Connection]:
        with writing(self.engine) as connection:
            assert self.lease, "a step is taken under the lease alone"
            self.lease.assert_held(connection)
            yield connection

    def _note(self, connection: Connection, rotation: Rotation, what: str, details: dict[str, Any]) -> None:
        record(connection, self.operator, f"keys.{what}", str(rotation.id), details=details)


def back(ring: KeyRing, rotation: Rotation, old: Key) -> Resealer:
    """What undo seals anew: values under the new key, and none where the old one is no good."""
    return Resealer(ring, old, only=rotation.new, seals=old.problem is None)


def count_staged(connection: Connection, rotation: Rotation) -> int:
    """How many connections have something staged."""
    staged = staged_of(rotation.id)
    return connection.execute(select(func.count()).select_from(staged)).scalar_one()


def count_standing(connection: Connection, rotation: Rotation, side: str) -> int:
    """In how many of them something on `side` still stands: what a turn would change now."""
    standing = stands(reseals, side).where(reseals.c.rotation == rotation.id, reseals.c.part == 0)
    return connection.execute(standing).scalar_one()
