"""Writing the operator log, and what the customer sees, in the transaction of what they tell of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select

from aura_cli.audit.tables import operator_log
from aura_cli.db.shared import audit_logs


class Notice(NamedTuple):
    """One event on a customer's dashboard; `category` is one of the web app's."""

    user_id: str
    category: str
    action: str
    description: str
    metadata: dict[str, Any]
    status: str = "success"


def record(
    connection: Connection, operator: str, what: str, key: str, *, user_id: str | None = None, details: dict[str, Any] | None = None
) -> None:
    """Note one deed. `details` holds ids, numbers and hashes alone."""
    connection.execute(operator_log.insert().values(operator=operator, what=what, key=key, user_id=user_id, details=details))


def record_all(connection: Connection, deeds: Select[Any]) -> None:
    """Note many deeds out of a SELECT of operator, what, key, user_id, details."""
    connection.execute(operator_log.insert().from_select(["operator", "what", "key", "user_id", "details"], deeds))


def tell_customers(connection: Connection, notices: Sequence[Notice]) -> None:
    """Put down what customers would call an event."""
    if notices:
        connection.execute(audit_logs.insert(), [notice._asdict() for notice in notices])
