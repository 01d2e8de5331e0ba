"""No table that can hold somebody's data is forgotten: each is a room's to take out and to erase, or stands here with the reason."""

import importlib
from collections.abc import Iterator

from sqlalchemy import Table

from aura_cli.chat import persons as chat
from aura_cli.db.shared import METADATA
from aura_cli.integrations import persons as integrations
from aura_cli.mail import persons as mail
from aura_cli.subscriptions import persons as subscriptions
from aura_cli.users import persons as users
from tests.parts.program import REPOSITORY

TELLING = ("user_id", "email", "address", "privy_user_id", "privy_id", "customer", "workspace_owner_id", "user_reference", "label")
OTHERWISE = {
    "webhook_events": "emptied by webhooks.persons, which keeps the ids",
    "operator_log": "ids and hashes alone; a DID in it is taken out",
    "staged_subscriptions": "Stripe's ids, until the next scan",
    "staged_sessions": "ids, until the next scan",
    "webhook_secrets": "labels of secrets",
}


def answered() -> Iterator[Table]:
    """The tables that a room's takeout or erasure names."""
    for holdings in (chat.HOLDINGS, mail.HOLDINGS, integrations.ERASED, subscriptions.HOLDINGS, users.GONE):
        yield from (holding.table for holding in holdings)
    yield from (holding.table for holding in users.SHOWN if holding.table.name == "users")


def test_every_table_is_answered_for() -> None:
    """A new table with a column that says whose its rows are needs a line in its room's persons.py."""
    for path in (REPOSITORY / "aura_cli").glob("*/tables.py"):
        importlib.import_module(f"aura_cli.{path.parent.name}.tables")
    telling = {table.name for table in METADATA.tables.values() if any(name in table.c for name in TELLING)}
    assert telling - {table.name for table in answered()} - OTHERWISE.keys() == set()
    assert not OTHERWISE.keys() - telling
