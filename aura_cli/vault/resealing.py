"""Sealing values anew, and putting them where the old ones stand: many rows in one statement, each only where nothing has changed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, FromClause, Select, and_, case, cast, func, or_, select

from aura_cli.db.engine import is_sqlite
from aura_cli.db.given import given
from aura_cli.db.shared import integrations
from aura_cli.vault import sealing
from aura_cli.vault.keyring import Key, KeyRing
from aura_cli.vault.sealing import Unreadable
from aura_cli.vault.tables import reseals
from aura_cli.vault.walk import ACCESS, METADATA, PLAINTEXT, REFRESH, Row, Tally, metadata_text, state_of

Pair = tuple[str | None, str | None]
NOTHING: Pair = (None, None)
TOKENS = ((ACCESS, integrations.c.access_token), (REFRESH, integrations.c.refresh_token))
BEFORE, AFTER = "before", "after"


class Resealed(NamedTuple):
    """A row of `reseals` but for the rotation."""

    integration_id: str
    part: int
    access_before: str | None
    access_after: str | None
    refresh_before: str | None
    refresh_after: str | None
    metadata_before: str | None
    metadata_after: str | None

    @property
    def replaced(self) -> tuple[str | None, ...]:
        """The values that it takes the place of."""
        return self.access_before, self.refresh_before, self.metadata_before


@dataclass(frozen=True)
class Resealer:
    """Seals under `target` what the ring opens with another key, or with `only` that one (its fingerprint).

    `plaintexts`: what was never sealed, too. Where it does not `seal`, it only says what is left to do.
    """

    ring: KeyRing
    target: Key
    only: str | None = None
    plaintexts: bool = False
    seals: bool = True

    def of(self, row: Row, left: Tally) -> Iterator[Resealed]:
        """What is to change in a row, in as many parts as its metadata needs; what stays as it is is counted in `left`."""
        tokens, inside, stays = {ACCESS: NOTHING, REFRESH: NOTHING}, list[Pair](), list[tuple[str, str]]()
        changed = False
        for place, text in row.values():
            label, after = self.anew(text)
            if after is None:
                stays += [(place, label)] if label != self.target.label else []
                continue
            changed = True
            if place == METADATA:
                inside.append((text, after))
            else:
                tokens[place] = (text, after)
        if stays:
            left.add(row, stays)
        if changed:
            first, *more = inside or [NOTHING]
            yield Resealed(row.id, 0, *tokens[ACCESS], *tokens[REFRESH], *first)
            for part, pair in enumerate(more, 1):
                yield Resealed(row.id, part, *NOTHING, *NOTHING, *pair)

    def anew(self, text: str) -> tuple[str, str | None]:
        """What a value is (as `state_of` has it; the target's label where all is well), and how it is sealed under the target, or None."""
        try:
            key, content = self.ring.open_bytes(text)
        except Unreadable:
            label = state_of(self.ring, text)
            return label, sealing.seal(self.target.derived, text) if self.plaintexts and label == PLAINTEXT else None
        if key.fingerprint == self.target.fingerprint or self.only not in (None, key.fingerprint):
            return self.target.label, None
        return key.label, sealing.seal_bytes(self.target.derived, content) if self.seals else None


def exchange(connection: Connection, source: FromClause, side: str, other: str, *within: ColumnElement[bool]) -> int:
    """Put what `source` (shaped as `reseals`, at most a row a connection) has on `other` where what it has on `side` still stands.

    Returns in how many connections. Each value is compared by itself, and where a row is being changed meanwhile, with what becomes of it.
    """
    i = integrations.c
    if not is_sqlite(connection):  # which BEGIN IMMEDIATE holds as a whole; in the order in which everybody takes rows
        rows = select(i.id).select_from(integrations.join(source, i.id == source.c.integration_id)).where(*within).order_by(i.id)
        connection.execute(select(func.count()).select_from(rows.with_for_update(of=integrations, key_share=True).cte("locked")))
    values: dict[str, ColumnElement[Any]] = {}
    for name, column in TOKENS:
        values[column.name] = case((column == source.c[f"{name}_{side}"], source.c[f"{name}_{other}"]), else_=column)
    replaced = func.replace(metadata_text, source.c[f"{METADATA}_{side}"], source.c[f"{METADATA}_{other}"])
    changed = replaced if is_sqlite(connection) else cast(replaced, i.metadata.type)
    values["metadata"] = case((_inside(source, side), changed), else_=i.metadata)
    return connection.execute(integrations.update().where(_stands(source, side), *within).values(values)).rowcount


def stands(source: FromClause, side: str) -> Select[int]:
    """Counts where `exchange` would find something to change."""
    return select(func.count()).select_from(integrations.join(source, _stands(source, side)))


def _stands(source: FromClause, side: str) -> ColumnElement[bool]:
    tokens = (column == source.c[f"{name}_{side}"] for name, column in TOKENS)
    return and_(integrations.c.id == source.c.integration_id, or_(*tokens, _inside(source, side)))


def _inside(source: FromClause, side: str) -> ColumnElement[bool]:
    sought = source.c[f"{METADATA}_{side}"]
    return and_(sought.is_not(None), metadata_text.contains(sought))


def put(connection: Connection, changes: Iterable[Resealed]) -> int:
    """`exchange` of changes that were just made; returns how many connections were changed."""
    done = 0
    for number, those in groupby(sorted(changes, key=attrgetter("part")), key=attrgetter("part")):
        part = given(connection, reseals, [one._asdict() for one in those], *Resealed._fields)
        changed = exchange(connection, part, BEFORE, AFTER)
        done += 0 if number else changed
    return done


def put_own(connection: Connection, columns: Sequence[Column[str]], resealer: Resealer, left: Tally) -> int:
    """The same for columns of ours; returns how many values were sealed anew."""
    done = 0
    for column in columns:
        for text in connection.execute(select(column).where(column.is_not(None))).scalars().all():
            label, after = resealer.anew(text)
            if after is None:
                left.own.update([label] if label != resealer.target.label else [])
            else:
                done += connection.execute(column.table.update().where(column == text).values({column.name: after})).rowcount
    return done
