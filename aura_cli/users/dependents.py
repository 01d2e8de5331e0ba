"""Which tables hold something of a user: found through the catalogue's foreign keys, tables that nobody here knows included."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Inspector,
    MetaData,
    Table,
    and_,
    column,
    false,
    inspect,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.exc import IntegrityError

from aura_cli.db.engine import is_sqlite
from aura_cli.db.shared import OPS, PUBLIC, SHARED, users
from aura_cli.errors import ConflictError

_CASCADE = "CASCADE"
_OUTLIVE = ("SET NULL", "SET DEFAULT")  # such rows stay when what they name goes
GO_ON = (_CASCADE, *_OUTLIVE)  # what such rows name goes without more ado
_WHO = ("id", "privy_user_id")  # the columns of `users` that tell by themselves who it is
_SYSTEM = ("pg_", "information_schema")


@dataclass(frozen=True)
class Link:
    """A foreign key: `columns` of `table` name `refers` of `parent`. Tables are (schema, name); None is the usual schema."""

    table: tuple[str | None, str]
    columns: tuple[str, ...]
    parent: tuple[str | None, str]
    refers: tuple[str, ...]
    on_delete: str

    @property
    def name(self) -> str:
        """The table as a person reads it."""
        schema, name = self.table
        return f"{schema}.{name}" if schema else name

    @property
    def column(self) -> str:
        """Its columns as a person reads them."""
        return ", ".join(self.columns)

    def among(self, table: Any, row: Mapping[str, Any]) -> ColumnElement[bool]:
        """Over `table`, or an alias of it: does a row of it name this `row` of `users`? None names what is not there."""
        if any(row[refers] is None for refers in self.refers):
            return false()
        return and_(*(table.c[column] == as_in_users(refers, row[refers]) for column, refers in self.pairs))

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each column with the one that it refers to."""
        return zip(self.columns, self.refers, strict=True)


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, which lead to a person over `link`."""

    link: Link
    table: Table
    condition: ColumnElement[bool]

    @property
    def outlive(self) -> bool:
        """Do they stay when what they name goes? They do where they may name nobody, unless their table says otherwise."""
        return self.link.on_delete in _OUTLIVE or bool(self.optional and self.link.on_delete != _CASCADE)

    @property
    def optional(self) -> Sequence[str]:
        """The link's columns that may be empty; where one is, the row names nobody. Of several that name a user those that tell whom."""
        several = len(self.link.columns) > 1 and self.link.parent == _USERS
        columns = (self.table.c[name] for name, refers in self.link.pairs if not several or refers in _WHO)
        return [column.name for column in columns if column.nullable and not column.primary_key]

    @property
    def forbidden(self) -> bool:
        """Does their table say that what they name must not go?"""
        return self.link.on_delete == "RESTRICT" and self.link.parent != _USERS and not self.outlive

    @property
    def known(self) -> bool:
        """Is it one of the tables that the web app describes?"""
        return self.link.table in _KNOWN


@dataclass
class Catalogue:
    """The database's foreign keys."""

    connection: Connection
    _tables: dict[tuple[str | None, str], Table] = field(default_factory=dict)

    def row(self, person: str) -> Mapping[str, Any]:
        """The row of `users` with this id, columns that others added included."""
        table = self._table(_USERS)
        found = self.connection.execute(select(table).where(table.c.id == person)).one()
        own = self.connection.execute(select(users).where(users.c.id == person)).one()
        return {**found._mapping, **own._mapping}

    def of_person(self, person: Mapping[str, Any]) -> Iterator[Rows]:
        """The rows that name this row (`row`) of `users` directly; by keys of several columns first, which hold one of them, too."""
        for link in sorted(self._links.get(_USERS, ()), key=lambda link: -len(link.columns)):
            table = self._table(link.table)
            yield Rows(link, table, link.among(table, person))

    def belongings(self, person: Mapping[str, Any]) -> Iterator[Rows]:
        """The rows that this row of `users` leads to, in tables that are not ours to know: those that name others before the others."""
        for rows in self.of_person(person):
            found = self._below(rows, ())
            yield from (one for one in found if not one.known)

    def mentions(self, rows: Rows) -> bool:
        """Do these rows only mention the person, and are somebody else's, whom their table names beside?"""
        owners = (link for link in self._links[_USERS] if link.table == rows.link.table)
        only = rows.outlive and rows.link.parent == _USERS
        return only and any(not Rows(link, rows.table, true()).outlive for link in owners)

    def children(self, rows: Rows) -> Iterator[Rows]:
        """The rows that name these."""
        return self.naming(rows.table, rows.condition)

    def naming(self, named_table: Table, condition: ColumnElement[bool]) -> Iterator[Rows]:
        """The rows that name those of a table of which the condition holds, by columns that others added, too."""
        for link in self._links.get((self._usual(named_table.schema), named_table.name), ()):
            table = self._table(link.table)
            refers = (named_table.c[name] if name in named_table.c else column(name) for name in link.refers)
            named = select(*refers).select_from(named_table).where(condition).correlate(None)
            naming = [table.c[name] for name in link.columns]
            yield Rows(link, table, (naming[0] if len(naming) == 1 else tuple_(*naming)).in_(named))

    def unique_keys(self, link: Link) -> Iterator[Sequence[str]]:
        """The other columns of each unique key that a link is part of. A partial one is none: it may not apply."""
        inspector, (schema, name) = self._inspector, link.table
        keys: list[Sequence[str | None]] = [inspector.get_pk_constraint(name, schema)["constrained_columns"]]
        keys += [constraint["column_names"] for constraint in inspector.get_unique_constraints(name, schema)]
        keys += [_columns(index) for index in inspector.get_indexes(name, schema) if index["unique"]]
        for key in sorted({tuple(key) for key in keys if None not in key}):
            if not set(link.columns).isdisjoint(key):
                yield [column for column in key if column and column not in link.columns]

    def _below(self, rows: Rows, path: tuple[Link, ...]) -> Iterator[Rows]:
        if not rows.outlive:
            for child in self.children(rows):
                if child.link not in path and child.link.table != rows.link.table:
                    yield from self._below(child, (*path, child.link))
        yield rows

    def _table(self, key: tuple[str | None, str]) -> Table:
        if key not in self._tables:
            schema, name = key
            self._tables[key] = Table(name, MetaData(), schema=schema, autoload_with=self.connection, resolve_fks=False)
        return self._tables[key]

    @cached_property
    def _inspector(self) -> Inspector:
        return inspect(self.connection)

    @cached_property
    def _links(self) -> dict[tuple[str | None, str], list[Link]]:
        """Foreign keys by the table that they lead to."""
        found: dict[tuple[str | None, str], list[Link]] = {}
        for link in self._in_sqlite() if is_sqlite(self.connection) else self._in_postgresql():
            found.setdefault(link.parent, []).append(link)
        return found

    def _in_postgresql(self) -> Iterator[Link]:
        for schema in self._inspector.get_schema_names():
            if schema == OPS or schema.startswith(_SYSTEM):
                continue
            everything = self._inspector.get_multi_foreign_keys(schema=self._usual(schema))
            for name, keys in sorted((name, keys) for (_, name), keys in everything.items()):
                for key in keys:
                    columns, refers = tuple(key["constrained_columns"]), tuple(key["referred_columns"])
                    parent = (self._usual(key["referred_schema"]), key["referred_table"])
                    rule = str(key["options"].get("ondelete", "")).upper()
                    yield Link((self._usual(schema), name), columns, parent, refers, rule)

    def _in_sqlite(self) -> Iterator[Link]:
        """Asked from SQLite itself (https://www.sqlite.org/pragma.html#pragma_foreign_key_list), which tells the rule of each.

        It lets a key lead to a table that is not there: such a key names nobody.
        """
        tables = set(self._inspector.get_table_names())
        for (name, _), found in groupby(self.connection.execute(_SQLITE_KEYS), key=lambda row: (row.name, row.id)):
            rows = list(found)
            if rows[0].parent not in tables:
                continue
            parent, rule, columns = rows[0].parent, rows[0].rule, tuple(row.column for row in rows)
            refers = [row.refers for row in rows]
            named = refers if None not in refers else self._inspector.get_pk_constraint(parent)["constrained_columns"]
            yield Link((None, name), columns, (None, parent), tuple(named), rule)

    def _usual(self, schema: str | None) -> str | None:
        return None if schema in (PUBLIC, None) else schema


@contextmanager
def rules_of(table: str) -> Iterator[None]:
    """Raises ConflictError, without the rows that a database's own message shows, where a table's rules forbid what the block does."""
    try:
        yield
    except IntegrityError:
        hint = "Nothing was written here; settle by hand which of its rows are right"
        raise ConflictError(f"A rule of the table {table}, or of one that names its rows, forbids it", hint) from None


_USERS = (None, users.name)
_SQLITE_KEYS = text(
    """SELECT m.name, f.id, f."from" AS "column", f."table" AS parent, f."to" AS refers, f.on_delete AS rule
    FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq"""
)
_KNOWN = {(None, table.name) for table in SHARED}


def as_in_users(column: str, value: Any) -> Any:
    """A value of `users` with that column's type, whatever the other table's column was made as."""
    return literal(value, users.c[column].type) if column in users.c else value


def _columns(index: Any) -> Sequence[str | None]:
    """An index' columns; one that has a condition or an expression gives none that could be compared."""
    options = index.get("dialect_options", {})
    conditional = any(name.endswith("_where") for name in options)
    return [None] if conditional else list(index["column_names"])


def same_but(table: Any, other: Any, columns: Sequence[str]) -> ColumnElement[bool]:
    """Do a row of `table` and one of its alias `other` say the same in `columns`?"""
    return and_(true(), *(table.c[name] == other.c[name] for name in columns))
