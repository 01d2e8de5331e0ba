"""Which keys the sealed values are under, and what of that needs a person."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Engine

from aura_cli.db.engine import reading
from aura_cli.vault.keyring import CURRENT, FALLBACK, GENERATE, NAME, KeyRing
from aura_cli.vault.keyring import RETIRED as RETIRED_NAME
from aura_cli.vault.rotation import STAGED, UNDONE, Rotation, latest
from aura_cli.vault.walk import PLAINTEXT, UNREADABLE, Example, Tally, count

RETIRED = "retired"


@dataclass(frozen=True)
class Count:
    """Values of one kind: `current`, `retired`, `fallback` (by key, with its fingerprint), `unreadable`, `plaintext`.

    `rows` are connections with at least one, `own` values in tables of ours.
    """

    key: str
    kind: str
    fingerprint: str | None
    rows: int
    values: int
    own: int


@dataclass(frozen=True)
class Status:
    """`problem`: why nothing can be sealed, or None; `rotation`: the last one; `attention`: what needs a person, in words."""

    problem: str | None
    keys: tuple[Count, ...]
    rotation: Rotation | None
    examples: tuple[Example, ...]
    attention: tuple[str, ...]
    hint: str


def look(engine: Engine, ring: KeyRing, own: Sequence[Column[str]], tick: Callable[[int], None] = lambda count: None) -> Status:
    """Walk over all of it; changes nothing."""
    with reading(engine) as connection:
        rotation = latest(connection)
    tally = count(engine, ring, own, tick)
    counts = tuple(_counts(ring, tally))
    hint = _hint(ring, counts, rotation)
    return Status(ring.problem, counts, rotation, tuple(tally.examples), tuple(_attention(ring, counts, rotation)), hint)


def _hint(ring: KeyRing, counts: Sequence[Count], rotation: Rotation | None) -> str:
    if rotation and rotation.state == STAGED and ring.current_fingerprint == rotation.new:
        switch = "at once: aura keys rotate --switch"
        return f"Put the old key into {RETIRED_NAME}, then {switch}" if ring.by_fingerprint(rotation.old) is None else f"Now, {switch}"
    if rotation and rotation.next_step:
        return rotation.next_step
    if ring.problem and not any(one.values for one in counts if one.kind in (CURRENT, FALLBACK)):  # it is not the web app's
        return f"Set {NAME} to the web app's, verbatim; {GENERATE}"
    if rotation and rotation.state == UNDONE and ring.current_fingerprint == rotation.new:
        return f"Rotation {rotation.id} was taken back: deploy the old key again, to the web app and here"
    elsewhere = sum(one.values + one.own for one in counts if one.kind in (RETIRED, FALLBACK))
    return "aura keys rotate --switch seals them under the current key" if elsewhere and not ring.problem else ""


def _counts(ring: KeyRing, tally: Tally) -> Iterator[Count]:
    for key in ring.keys:
        kind = key.label if key.label in (CURRENT, FALLBACK) else RETIRED
        yield Count(key.label, kind, key.fingerprint, *_numbers(tally, key.label))
    for label in (UNREADABLE, PLAINTEXT):
        yield Count(label, label, None, *_numbers(tally, label))


def _numbers(tally: Tally, label: str) -> tuple[int, int, int]:
    return tally.rows[label], tally.values[label], tally.own[label]


def _attention(ring: KeyRing, counts: Sequence[Count], rotation: Rotation | None) -> Iterator[str]:
    if ring.problem:
        yield f"Nothing can be sealed: {NAME} {ring.problem}"
    words = {
        RETIRED: "under a retired key, dead to the web app",
        FALLBACK: "under the web app's public fallback key",
        UNREADABLE: "damaged, or under a key that is not configured",
        PLAINTEXT: "not sealed at all",
    }
    for kind, what in words.items():
        if values := sum(one.values + one.own for one in counts if one.kind == kind):
            yield f"{values:,} values are {what}"
    if rotation and rotation.next_step:
        yield f"A rotation to key {rotation.new} is {rotation.state}"
