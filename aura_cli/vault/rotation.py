"""Where a rotation of the key stands, and which step may be next.

staging → staged → switching → switched, and from each of them undoing → undone. Until it is switched or undone, the database belongs to
both keys; afterwards to the one that its rows are under.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from aura_cli.audit.log import record
from aura_cli.db.binding import bound, move_key
from aura_cli.errors import ConfigurationError, ConflictError, NotFoundError
from aura_cli.vault.keyring import FALLBACK_FINGERPRINT, GENERATE, NAME, RETIRED, Key, KeyRing
from aura_cli.vault.tables import reseals, rotations

STAGING, STAGED, SWITCHING, SWITCHED, UNDOING, UNDONE = "staging", "staged", "switching", "switched", "undoing", "undone"
_NEXT: Mapping[str, str] = {
    STAGING: "aura keys rotate --stage, with the same key, carries on",
    STAGED: "Deploy the new key, then: aura keys rotate --switch; or take it back: aura keys rotate --undo",
    SWITCHING: "aura keys rotate --switch carries on",
    UNDOING: "aura keys rotate --undo carries on",
}


@dataclass(frozen=True)
class Rotation:
    """One rotation; `old` and `new` are fingerprints of keys, `staged` counts connections, times are UTC."""

    id: int
    old: str
    new: str
    state: str
    staged: int
    operator: str
    started_at: datetime
    switched_at: datetime | None
    finished_at: datetime | None

    @property
    def next_step(self) -> str | None:
        """What a person has to do; None where nothing is under way."""
        return _NEXT.get(self.state)


def latest(connection: Connection) -> Rotation | None:
    """The rotation under way, or the last one that was."""
    row = connection.execute(select(rotations).order_by(rotations.c.id.desc()).limit(1)).one_or_none()
    return Rotation(**row._mapping) if row else None


def to_stage(connection: Connection, ring: KeyRing, new: Key) -> Rotation | None:
    """The rotation to `new` that is under way; None where another is to begin.

    Raises ConfigurationError for a key that is no good or the current one, ConflictError where a rotation to another has not ended.
    """
    old, last = ring.in_use, latest(connection)
    if new.problem:
        raise ConfigurationError(f"The new key {new.problem}", GENERATE)
    if new.fingerprint == old.fingerprint:
        deployed = last is not None and last.new == new.fingerprint and last.state == STAGED
        raise ConfigurationError(f"The new key is the one in {NAME}", "aura keys rotate --switch is next" if deployed else GENERATE)
    known = bound(connection)
    if ring.current is None and known and known.key_fingerprint:
        raise ConfigurationError(f"{NAME} is not set, and this database is bound to key {known.key_fingerprint}", "Set that key")
    if last is None or last.state not in _NEXT:
        return None
    if last.state in (STAGING, STAGED) and (last.old, last.new) == (old.fingerprint, new.fingerprint):
        return last
    raise ConflictError(f"Rotation {last.id}, from key {last.old} to {last.new}, is {last.state}", last.next_step or "")


def begin(connection: Connection, ring: KeyRing, new: Key, operator: str) -> Rotation:
    """The rotation of `to_stage`, or another, for which what earlier ones kept is forgotten. Raises what that raises."""
    if found := to_stage(connection, ring, new):
        return found
    connection.execute(reseals.delete())
    connection.execute(rotations.insert().values(old=ring.in_use.fingerprint, new=new.fingerprint, operator=operator))
    move_key(connection, ring.current_fingerprint, new.fingerprint)
    begun = latest(connection)
    assert begun
    record(connection, operator, "keys.begin", str(begun.id), details={"old": begun.old, "new": begun.new})
    return begun


def move(connection: Connection, rotation: Rotation, state: str, **values: Any) -> None:
    """Bring it to `state`, and the database's binding to the key or keys that go with it."""
    connection.execute(rotations.update().where(rotations.c.id == rotation.id).values(state=state, **values))
    old = None if rotation.old == FALLBACK_FINGERPRINT else rotation.old  # then the web app has no key that could be bound to
    keys = {SWITCHED: (rotation.new, None), UNDONE: (old, None), SWITCHING: (rotation.new, old), UNDOING: (rotation.new, old)}
    if state in keys:
        move_key(connection, *keys[state])


def to_switch(rotation: Rotation | None, ring: KeyRing) -> tuple[Rotation, Key]:
    """The rotation that may be switched or swept, and its new key; where nothing is staged, one of nothing to the current key.

    Raises ConflictError in another state, ConfigurationError where the keys are not as they have to be.
    """
    if rotation is None or rotation.state == UNDONE:
        now = datetime.now(UTC)
        return Rotation(0, "", "", SWITCHED, 0, "", now, now, now), ring.require_sealing()
    if rotation.state in (STAGING, UNDOING):
        raise ConflictError(f"Rotation {rotation.id} is {rotation.state}", rotation.next_step or "")
    current = ring.in_use
    if current.fingerprint != rotation.new:
        why = "still is the old key" if current.fingerprint == rotation.old else f"is key {current.fingerprint}"
        raise ConfigurationError(
            f"{NAME} {why}; rotation {rotation.id} leads to {rotation.new}",
            f"Deploy the new key to the web app and here, with the old one in {RETIRED}",
        )
    _require(ring, rotation.old, "old")
    return rotation, current


def to_undo(rotation: Rotation | None, ring: KeyRing) -> tuple[Rotation, Key]:
    """The rotation that may be taken back, or swept once more after it was, and its old key.

    Raises as `to_switch` does, and NotFoundError where there never was any.
    """
    if rotation is None:
        raise NotFoundError("There is no rotation to take back", "aura keys status shows where things stand")
    if ring.in_use.fingerprint not in (rotation.old, rotation.new):
        raise ConfigurationError(
            f"{NAME} is neither of the keys of rotation {rotation.id}", f"Set {rotation.old} or {rotation.new}, and the other in {RETIRED}"
        )
    if rotation.state not in (STAGING, STAGED):
        _require(ring, rotation.new, "new")
    return rotation, _require(ring, rotation.old, "old")


def _require(ring: KeyRing, fingerprint: str, which: str) -> Key:
    key = ring.by_fingerprint(fingerprint)
    if key is None:
        raise ConfigurationError(
            f"The {which} key, {fingerprint}, is not there to open rows that are or will be written under it", f"Put it into {RETIRED}"
        )
    return key
