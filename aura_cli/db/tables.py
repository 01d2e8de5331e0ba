"""Our own tables that every room needs: what this database is bound to, and leases."""

from sqlalchemy import Boolean, Column, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import UtcTime, utc_now

binding = Table(
    "binding",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row: 1
    Column("adopted", Boolean, nullable=False),  # the shared tables were there before us
    Column("environment", Text),
    Column("stripe_account", Text),
    Column("stripe_mode", Text),
    Column("privy_app", Text),
    Column("key_fingerprint", Text),
    Column("other_key", Text),  # fingerprint of the key that a rotation under way leads to or from: as good as the one above
    Column("bound_at", UtcTime(), server_default=utc_now(), nullable=False),
    schema=OPS,
)
leases = Table(
    "leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),  # host, process and a random part
    Column("expires_at", UtcTime(), nullable=False),
    schema=OPS,
)
