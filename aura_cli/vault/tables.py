"""A rotation of the key under way, and the values it re-sealed, beside the rows they are of."""

from sqlalchemy import Column, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Serial, UtcTime, utc_now

rotations = Table(
    "rotations",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("old", Text, nullable=False),  # fingerprints of the keys
    Column("new", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="staging"),  # staging, staged, switching, switched, undoing, undone
    Column("staged", Integer, nullable=False, server_default="0"),  # connections
    Column("operator", Text, nullable=False),
    Column("started_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("switched_at", UtcTime()),
    Column("finished_at", UtcTime()),
    schema=OPS,
)
reseals = Table(  # one row a connection, further ones (`part` 1 and up) for further sealed values in its metadata
    "reseals",
    METADATA,
    Column("rotation", Integer, primary_key=True),
    Column("integration_id", Id, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("access_before", Text),  # the ciphertext as the row had it, to which undo goes back
    Column("access_after", Text),
    Column("refresh_before", Text),
    Column("refresh_after", Text),
    Column("metadata_before", Text),  # of the one value, wherever in the JSON it stands
    Column("metadata_after", Text),
    schema=OPS,
)
