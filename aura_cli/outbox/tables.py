"""The outbox: what is to happen outside after a commit, one row an effect, unique by key."""

from sqlalchemy import Column, Index, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Json, Serial, UtcTime, utc_now

outbox = Table(
    "outbox",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", Json, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),  # pending, sending, done, dead
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_try_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcTime()),
    Column("error", Text),
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("done_at", UtcTime()),
    Index("outbox_kind_key", "kind", "key", unique=True),
    Index("outbox_due", "state", "next_try_at"),
    schema=OPS,
)
