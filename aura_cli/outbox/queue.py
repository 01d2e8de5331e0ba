"""Putting effects into the outbox, in the transaction of the change that causes them."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from aura_cli.db.engine import is_sqlite
from aura_cli.outbox.tables import outbox


def enqueue(connection: Connection, kind: str, key: str, payload: dict[str, Any]) -> bool:
    """Ask for an effect once: False where the same `kind` and `key` were asked for before."""
    make = sqlite.insert if is_sqlite(connection) else postgresql.insert
    statement = make(outbox).values(kind=kind, key=key, payload=payload).on_conflict_do_nothing(index_elements=["kind", "key"])
    return connection.execute(statement.returning(outbox.c.id)).first() is not None
