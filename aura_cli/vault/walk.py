"""Every value of a connection that is sealed, or ought to be, wherever in its row it stands and whoever wrote it.

Sealed values are found by their shape: in the two columns, and in the JSON beside them at any depth. What stands in a column and has
not that shape is a plaintext of its own class.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Engine, FromClause, Select, Text, case, cast, or_, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import integrations
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.sealing import SHAPE, looks_sealed
from aura_cli.vault.tables import reseals

BATCH = 5_000  # rows that a chunk may keep others waiting for
EXAMPLES = 10
UNREADABLE, PLAINTEXT = "unreadable", "plaintext"
ACCESS, REFRESH, METADATA = PLACES = "access", "refresh", "metadata"
_INSIDE = re.compile(f"(?<![0-9a-fA-F:]){SHAPE}(?![0-9a-fA-F:])")
_REMAINS = re.compile("[0-9a-fA-F]{32}:[0-9a-fA-F:]*")  # of a sealed value that was cut off
_TAG = f"%:{'_' * 32}:%"

metadata_text: ColumnElement[str] = cast(integrations.c.metadata, Text)


class Row(NamedTuple):
    """A connection as it is stored; `metadata` is its JSON's text where something in it may be sealed."""

    id: str
    provider: str
    access_token: str | None
    refresh_token: str | None
    metadata: str | None

    def values(self) -> list[tuple[str, str]]:
        """(place, text) of each value that is sealed, or ought to be."""
        found = [(place, text) for place, text in ((ACCESS, self.access_token), (REFRESH, self.refresh_token)) if text]
        if self.metadata:
            found += [(METADATA, text) for text in dict.fromkeys(match[0] for match in _INSIDE.finditer(self.metadata))]
        return found


class Example(NamedTuple):
    """Where something that needs a person was met."""

    integration_id: str
    provider: str
    place: str
    what: str


@dataclass
class Tally:
    """How many values (and rows with at least one such) each key opens, by its label; beside them the unreadable and the plaintexts.

    `own` counts values in tables of ours.
    """

    rows: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    def add(self, row: Row, found: Sequence[tuple[str, str]]) -> None:
        """Count a row by the (place, label) of its values."""
        labels = [label for _, label in found]
        self.values.update(labels)
        self.rows.update(set(labels))
        for place, label in found:
            if label in (UNREADABLE, PLAINTEXT) and len(self.examples) < EXAMPLES:
                self.examples.append(Example(row.id, row.provider, place, label))


def state_of(ring: KeyRing, text: object) -> str:
    """The label of the key that opens a value, or what is the matter with it."""
    if not isinstance(text, str):  # SQLite keeps whatever it is given
        return UNREADABLE
    if looks_sealed(text):
        return ring.opened_by(text) or UNREADABLE
    return UNREADABLE if _REMAINS.fullmatch(text) else PLAINTEXT


def read(connection: Connection, after: str | None, size: int, *, staged: FromClause | None = None, side: str = "") -> list[Row]:
    """The next rows with values, by id.

    With `staged` (of `reseals`, one row a connection) only those whose tokens are not what stands there on `side`, "before" or "after".
    """
    i = integrations.c
    texts = case((metadata_text.like(_TAG), metadata_text))
    query: Select[Any] = select(cast(i.id, Text), i.provider, i.access_token, i.refresh_token, texts)
    if staged is None:
        wanted = or_(i.access_token.is_not(None), i.refresh_token.is_not(None), texts.is_not(None))
    else:
        query = query.select_from(integrations.outerjoin(staged, staged.c.integration_id == i.id))
        wanted = or_(
            *(
                column.is_not(None) & column.is_distinct_from(staged.c[f"{name}_{side}"])
                for name, column in ((ACCESS, i.access_token), (REFRESH, i.refresh_token))
            ),
            texts.is_not(None),
        )
    query = query.where(wanted).order_by(i.id).limit(size)
    if after is not None:
        query = query.where(i.id > after)
    return [Row(*row) for row in connection.execute(query).all()]


def staged_of(rotation: int) -> FromClause:
    """What a rotation staged, a row a connection: for `read`."""
    return select(reseals).where(reseals.c.rotation == rotation, reseals.c.part == 0).subquery("staged")


def count(
    engine: Engine, ring: KeyRing, own: Sequence[Column[str]], tick: Callable[[int], None] = lambda count: None, *, batch: int = BATCH
) -> Tally:
    """All of them, by the key that opens them; `own` are columns of ours that hold sealed values."""
    tally, after, seen = Tally(), None, 0
    while True:
        with reading(engine) as connection:
            rows = read(connection, after, batch)
        for row in rows:
            tally.add(row, [(place, state_of(ring, text)) for place, text in row.values()])
        seen += len(rows)
        tick(seen)
        if len(rows) < batch:
            break
        after = rows[-1].id
    with reading(engine) as connection:
        for column in own:
            tally.own.update(state_of(ring, text) for text in connection.execute(select(column).where(column.is_not(None))).scalars())
    return tally
