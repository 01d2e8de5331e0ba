"""What we remember of Privy's users beside the web app's columns, and where a scan puts them down."""

from sqlalchemy import BigInteger, Column, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, UtcTime

privy_users = Table(
    "privy_users",
    METADATA,
    Column("privy_user_id", Text, primary_key=True),
    Column("verified_email", Text),
    Column("linked_accounts", Json),  # as Privy gave them, types that we do not know included
    Column("created", BigInteger),  # epoch seconds, Privy's
    Column("seen_at", UtcTime()),
    Column("missing_since", UtcTime()),  # Privy answered 404 for this DID
    schema=OPS,
)
staged_users = Table(
    "staged_users",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("privy_user_id", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("email", Text),
    Column("verified_email", Text),
    Column("name", Text),
    Column("avatar_url", Text),
    Column("linked_accounts", Json),
    Column("created", BigInteger),
    schema=OPS,
)
