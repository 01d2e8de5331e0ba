"""Does a database hold the web app's tables as they must be? Verified column by column, never changed."""

from dataclasses import dataclass

from sqlalchemy import Connection, Enum, Table, Text, inspect
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
    """What stands in the shared schema: tables present and absent, what differs (stops) and what is extra (accepted)."""

    present: tuple[str, ...]
    absent: tuple[str, ...]
    differences: tuple[Difference, ...]
    extra: tuple[str, ...]


def examine(connection: Connection) -> Adoption:
    """Compare the shared tables of the database with the web app's description."""
    inspector = inspect(connection)
    schema = None if is_sqlite(connection) else PUBLIC
    existing = set(inspector.get_table_names(schema=schema))
    present = tuple(table for table in SHARED if table.name in existing)
    differences: list[Difference] = []
    extra = sorted(f"table {name}" for name in existing - {table.name for table in SHARED}) if schema else []
    for table in present:
        found = {column["name"]: column for column in inspector.get_columns(table.name, schema=schema)}
        differences += _differences(connection, table, found)
        extra += sorted(f"column {table.name}.{name}" for name in found.keys() - set(table.columns.keys()))
    return Adoption(
        tuple(table.name for table in present),
        tuple(table.name for table in SHARED if table.name not in existing),
        tuple(differences),
        tuple(extra),
    )


def _differences(connection: Connection, table: Table, found: dict[str, ReflectedColumn]) -> list[Difference]:
    differences = []
    for column in table.columns:
        expected = _spelled(column.type, connection)
        other = found.get(column.name)
        if other is None:
            differences.append(Difference(table.name, column.name, expected, "nothing"))
            continue
        actual = _spelled(other["type"], connection)
        if actual != expected:
            differences.append(Difference(table.name, column.name, expected, actual))
        elif not column.nullable and other["nullable"] and not column.primary_key:
            differences.append(Difference(table.name, column.name, f"{expected} NOT NULL", f"{actual} NULL"))
    return differences


def _spelled(kind: object, connection: Connection) -> str:
    """A type as one comparable text; an enum by its name and labels."""
    if isinstance(kind, Enum) and not is_sqlite(connection):
        return f"{kind.name}({', '.join(kind.enums)})"
    text = kind.compile(connection.dialect).lower()  # type: ignore[attr-defined]
    if text.startswith("varchar") and not is_sqlite(connection):
        return text if isinstance(kind, Text) else "varchar"
    return str(text)
