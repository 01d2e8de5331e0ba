"""Many rows as one parameter, so that a statement about them is one, of one length, and compiled once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Subquery, Table, text

from aura_cli.db.engine import is_sqlite
from aura_cli.db.types import TIME_TEXT


def given(connection: Connection, table: Table, rows: Iterable[dict[str, Any]], *names: str) -> Subquery:
    """A FROM clause of `rows`: the columns `names`, which each row has, of the types that they have in `table`; times are aware."""
    types = {name: table.c[name].type for name in names}
    if is_sqlite(connection):
        statement = f"SELECT {', '.join(f'value ->> {name!r} AS {name}' for name in names)} FROM json_each(:given)"
        rows = [{name: _text(row[name]) for name in names} for row in rows]
    else:
        shape = ", ".join(f"{name} {kind.compile(connection.dialect)}" for name, kind in types.items())
        statement = f"SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS given({shape})"
    values = msgspec.json.encode(list(rows)).decode()
    return text(statement).bindparams(given=values).columns(**types).subquery("given")


def _text(value: Any) -> Any:
    """A time as SQLite keeps it."""
    return value.astimezone(UTC).strftime(TIME_TEXT) if isinstance(value, datetime) else value
