"""What we remember of Privy's users beside the web app's columns, where a scan puts them down, who was merged and who was erased."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, UtcTime, utc_now

privy_users = Table(
    "privy_users",
    METADATA,
    Column("privy_user_id", Text, primary_key=True),
    Column("verified_email", Text),
    Column("linked_accounts", Json),  # as Privy gave them, types that we do not know included
    Column("created", BigInteger),  # epoch seconds, Privy's
    Column("changed_at", UtcTime()),  # when these facts were last found to be others
    Column("missing_since", UtcTime()),  # Privy answered 404 for this DID
    schema=OPS,
)
staged_users = Table(  # a scan's batches; a user who comes twice in one scan stands in two of them
    "staged_users",
    METADATA,
    Column("scan_id", Id, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("privy_user_id", Text, nullable=False),
    Column("email", Text),
    Column("verified_email", Text),
    Column("name", Text),
    Column("avatar_url", Text),
    Column("linked_accounts", Json),
    Column("created", BigInteger),
    Column("failure", Text),  # why this user cannot be taken over
    Index("staged_users_batch", "scan_id", "batch"),  # not the DID too: an index of texts would take a third of the time of a scan
    schema=OPS,
)
user_aliases = Table(  # a DID whose person was merged into another one: no sync makes a row of it again
    "user_aliases",
    METADATA,
    Column("privy_id", Text, primary_key=True),
    Column("user_id", Id, nullable=False),  # what the row's id was
    Column("into_id", Id, nullable=False),
    Column("at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("addresses", Json, nullable=False),  # what mail went to, in lower case: the person's still
    Index("user_aliases_into", "into_id"),
    schema=OPS,
)
erasures = Table(  # the receipt of an erasure: nothing of the person
    "erasures",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("operator", Text, nullable=False),
    Column("counts", Json, nullable=False),  # rows by room
    schema=OPS,
)
erased_ids = Table(  # what an erased person was known by elsewhere: no sync, no event brings it back
    "erased_ids",
    METADATA,
    Column("hash", Text, primary_key=True),  # SHA-256, in hex
    Column("kind", Text, nullable=False),  # privy, stripe
    Column("erasure", Id, nullable=False),
    schema=OPS,
)
other_customers = Table(  # a person's at Stripe beside the one in their row: left by a merge, or what an erasure is about to delete there
    "other_customers",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("user_id", Id, nullable=False),
    schema=OPS,
)
