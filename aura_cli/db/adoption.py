"""Does a database hold the web app's tables as they must be? Verified column by column, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Enum, Inspector, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn

from aura_cli.db.engine import is_sqlite
from aura_cli.db.shared import PUBLIC, SHARED


@dataclass(frozen=True)
class Difference:
    """One place where a shared table is not what the web app says: `expected` and `found` are SQL types, or a word."""

    table: str
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Adoption:
    """What stands in the shared schema: tables present and absent, what differs (stops) and what is extra (accepted).

    `obstacles` are extra columns that forbid adding rows: looking still works, so they stop the rooms, not the adoption.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...]
    differences: tuple[Difference, ...]
    extra: tuple[str, ...]
    obstacles: tuple[Difference, ...]


def examine(connection: Connection) -> Adoption:
    """Compare the shared tables of the database with the web app's description."""
    inspector = inspect(connection)
    schema = None if is_sqlite(connection) else PUBLIC
    existing = set(inspector.get_table_names(schema=schema))
    present = tuple(table for table in SHARED if table.name in existing)
    differences: list[Difference] = []
    obstacles: list[Difference] = []
    extra = sorted(f"table {name}" for name in existing - {table.name for table in SHARED}) if schema else []
    for table in present:
        found = {column["name"]: column for column in inspector.get_columns(table.name, schema=schema)}
        indexes, unique = _indexes(inspector, table.name, schema)
        differences += _differing_columns(connection, table, found)
        differences += [
            Difference(table.name, column.name, "unique", "not unique")
            for column in table.columns
            if column.unique and column.name in found and column.name not in unique
        ]
        added = [column for name, column in sorted(found.items()) if name not in table.columns]
        extra += [f"column {table.name}.{column['name']}" for column in added]
        extra += [f"index {name}" for name in indexes]
        obstacles += [
            Difference(table.name, column["name"], "a column that may be left out", "NOT NULL without a default")
            for column in added
            if not column["nullable"] and column["default"] is None and not column.get("computed") and not column.get("identity")
        ]
    absent = tuple(table.name for table in SHARED if table.name not in existing)
    return Adoption(tuple(table.name for table in present), absent, tuple(differences), tuple(extra), tuple(obstacles))


def _indexes(inspector: Inspector, table: str, schema: str | None) -> tuple[list[str], set[str]]:
    """Indexes that no constraint brought along, and the columns that are unique by themselves."""
    indexes = [index for index in inspector.get_indexes(table, schema=schema) if not index.get("duplicates_constraint")]
    whole = [index for index in indexes if index["unique"] and not index.get("dialect_options", {}).get("postgresql_where")]
    constraints = inspector.get_unique_constraints(table, schema=schema)
    sets: list[list[Any]] = [*(constraint["column_names"] for constraint in constraints), *(list(index["column_names"]) for index in whole)]
    return sorted(str(index["name"]) for index in indexes), {names[0] for names in sets if len(names) == 1 and names[0]}


def _differing_columns(connection: Connection, table: Table, found: dict[str, ReflectedColumn]) -> Iterator[Difference]:
    for column in table.columns:
        expected = _spelled(column.type, connection)
        other = found.get(column.name)
        if other is None:
            yield Difference(table.name, column.name, expected, "nothing")
        elif (actual := _spelled(other["type"], connection)) != expected:
            yield Difference(table.name, column.name, expected, actual)
        elif (needed := _filling(column)) != (given := _filling_found(column, other)):
            yield Difference(table.name, column.name, f"{expected} {needed}", f"{actual} {given}")


def _filling(column: Column[Any]) -> str:
    """What a row that leaves the column out gets."""
    if column.nullable:
        return "NULL"
    return "NOT NULL with a default" if column.server_default is not None else "NOT NULL"


def _filling_found(column: Column[Any], found: ReflectedColumn) -> str:
    """The same of a column of the database; a default more than expected does no harm."""
    if found["nullable"] and not column.primary_key:
        return "NULL"
    if found["default"] is not None and (column.nullable or column.server_default is not None):
        return _filling(column)
    return "NOT NULL"


def _spelled(kind: object, connection: Connection) -> str:
    """A type as one comparable text; an enum by its name and labels."""
    if isinstance(kind, Enum) and not is_sqlite(connection):
        return f"{kind.name}({', '.join(kind.enums)})"
    return str(kind.compile(connection.dialect)).lower()  # type: ignore[attr-defined]
