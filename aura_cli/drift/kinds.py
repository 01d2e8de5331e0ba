"""What a plan's rows can be: each kind of drift says which table and columns it touches and when it still holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, cast, literal, select

from aura_cli.db.types import json_field, value_of
from aura_cli.drift.tables import plan_rows


class Deed(Enum):
    """How a kind is repaired."""

    UPDATE = auto()  # set columns of a row whose columns are still as before
    INSERT = auto()  # add a row that is still absent
    GRANT = auto()  # book it through the kind's own `book`, where its `holds` says so
    REPORT = auto()  # nothing: a person has to look


@dataclass(frozen=True)
class Kind:
    """One kind of drift. `key` is the column of `table` that a plan row's key matches; `columns` are those it writes."""

    name: str
    means: str  # what was found, in a few words
    deed: Deed
    table: Table | None = None
    key: str = ""
    columns: Sequence[str] = ()
    holds: Callable[[], ColumnElement[bool]] | None = None  # extra precondition over plan_rows and the database
    book: Callable[[Connection, ColumnElement[bool]], None] | None = None  # GRANT: carry out the chosen plan rows

    @property
    def existing(self) -> bool:
        """Does it change rows that exist? Those count against --max-changes."""
        return self.deed in (Deed.UPDATE, Deed.GRANT)

    def target(self) -> Table:
        assert self.table is not None, f"{self.name} has no table"
        return self.table

    def match(self) -> ColumnElement[bool]:
        """The target row of a plan row."""
        column: Column[Any] = self.target().c[self.key]
        return column == cast(plan_rows.c.key, column.type)

    def still_holds(self) -> ColumnElement[bool]:
        """Over plan_rows: is the database still what the plan row's `before` says?"""
        if self.deed is Deed.REPORT:
            return literal(False)
        conditions: list[ColumnElement[bool]] = [self.holds()] if self.holds else []
        if self.deed is Deed.UPDATE:
            table = self.target()
            same = [table.c[name].is_not_distinct_from(value_of(field("before", name), table.c[name])) for name in self.columns]
            conditions.append(select(1).select_from(table).where(self.match(), *same).exists())
        if self.deed is Deed.INSERT:
            conditions.append(~select(1).select_from(self.target()).where(self.match()).exists())
        return and_(*conditions)


def field(side: str, name: str) -> ColumnElement[str]:
    """The text of a member of a plan row's `before` or `after`."""
    from sqlalchemy import literal_column

    return json_field(plan_rows.c[side], literal_column(f"'{name}'"))
