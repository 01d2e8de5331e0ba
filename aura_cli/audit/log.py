"""Writing the operator log, in the transaction of what it tells of."""

from typing import Any

from sqlalchemy import Connection, Select

from aura_cli.audit.tables import operator_log


def record(
    connection: Connection, operator: str, what: str, key: str, *, user_id: str | None = None, details: dict[str, Any] | None = None
) -> None:
    """Note one deed. `details` holds ids, numbers and hashes alone."""
    connection.execute(operator_log.insert().values(operator=operator, what=what, key=key, user_id=user_id, details=details))


def record_all(connection: Connection, deeds: Select[Any]) -> None:
    """Note many deeds out of a SELECT of operator, what, key, user_id, details."""
    connection.execute(operator_log.insert().from_select(["operator", "what", "key", "user_id", "details"], deeds))
