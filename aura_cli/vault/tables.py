"""A rotation of the key under way, and the values it re-sealed, beside the rows they are of."""

from sqlalchemy import Column, Index, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Serial, UtcTime, utc_now

rotations = Table(
    "rotations",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("old", Text, nullable=False),  # fingerprints of the keys
    Column("new", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="staging"),  # staging, staged, switching, switched, undoing, undone
    Column("cursor", Id),  # the last row that was staged
    Column("staged", Integer, nullable=False, server_default="0"),
    Column("operator", Text, nullable=False),
    Column("started_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("switched_at", UtcTime()),
    Column("finished_at", UtcTime()),
    schema=OPS,
)
reseals = Table(
    "reseals",
    METADATA,
    Column("rotation", Integer, primary_key=True),
    Column("integration_id", Id, primary_key=True),
    Column("place", Text, primary_key=True),  # access_token, refresh_token, metadata and the path in it
    Column("before", Text, nullable=False),  # the ciphertext under the old key, to which undo goes back
    Column("after", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="staged"),  # staged, switched, moved (the row changed meanwhile)
    Index("reseals_state", "rotation", "state"),
    schema=OPS,
)
