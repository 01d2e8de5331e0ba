"""The operator log's table."""

from sqlalchemy import Column, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, Serial, UtcTime, utc_now

operator_log = Table(
    "operator_log",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("operator", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("user_id", Id),
    Column("details", Json),  # ids, numbers and hashes; never names, addresses or tokens
    schema=OPS,
)
