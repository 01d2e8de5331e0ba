"""How healthy connections are, links to connect by, revocations under way; rotations of the key that seals tokens.

Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

TABLES = ("connections", "provider_states", "connect_links", "revocations", "granted", "rotations", "reseals")
LOSES = TABLES


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = None if sqlite else "aura_ops"
    ID = sa.String(36) if sqlite else postgresql.UUID(as_uuid=False)
    TIME = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    JSONB = sa.JSON() if sqlite else postgresql.JSONB()
    TEXTS = sa.JSON() if sqlite else postgresql.ARRAY(sa.Text())
    SERIAL = sa.Integer() if sqlite else sa.BigInteger()
    NOW = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "clock_timestamp()")

    op.create_table(
        "connections",
        sa.Column("integration_id", ID, primary_key=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("method", sa.Text()),
        sa.Column("account", sa.Text()),
        sa.Column("label", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("health", sa.Text(), nullable=False, server_default="ok"),
        sa.Column("since", TIME, nullable=False, server_default=NOW),
        sa.Column("failure", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_try_at", TIME),
        sa.Column("definition", sa.Text()),
        sa.Column("intent", sa.Text()),
        sa.Column("intent_at", TIME),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_expires_at", TIME),
        sa.Column("refreshed_at", TIME),
        sa.Column("refresh_expires_at", TIME),
        sa.Column("verified_at", TIME),
        schema=schema,
    )
    op.create_index("connections_user", "connections", ["user_id", "provider"], schema=schema)
    op.create_table(
        "provider_states",
        sa.Column("provider", sa.Text(), primary_key=True),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("alike", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("since", TIME, nullable=False, server_default=NOW),
        sa.Column("stopped_until", TIME),
        sa.Column("definition", sa.Text()),
        schema=schema,
    )
    op.create_table(
        "connect_links",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("request", JSONB, nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("state", sa.Text(), unique=True),
        sa.Column("sealed", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False, server_default="open"),
        sa.Column("result", sa.Text()),
        sa.Column("finished_at", TIME),
        schema=schema,
    )
    op.create_table(
        "revocations",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("integration_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.Text()),
        sa.Column("next_try_at", TIME, nullable=False, server_default=NOW),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_index("revocations_due", "revocations", ["next_try_at"], schema=schema)
    op.create_table(
        "granted",
        sa.Column("integration_id", ID, primary_key=True),
        sa.Column("catalogue_id", sa.Text(), primary_key=True),
        sa.Column("scopes", TEXTS),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "rotations",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default="staging"),
        sa.Column("staged", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False, server_default=NOW),
        sa.Column("switched_at", TIME),
        sa.Column("finished_at", TIME),
        schema=schema,
    )
    op.create_table(
        "reseals",
        sa.Column("rotation", sa.Integer(), primary_key=True),
        sa.Column("integration_id", ID, primary_key=True),
        sa.Column("part", sa.Integer(), primary_key=True),
        sa.Column("access_before", sa.Text()),
        sa.Column("access_after", sa.Text()),
        sa.Column("refresh_before", sa.Text()),
        sa.Column("refresh_after", sa.Text()),
        sa.Column("metadata_before", sa.Text()),
        sa.Column("metadata_after", sa.Text()),
        schema=schema,
    )
    op.add_column("binding", sa.Column("other_key", sa.Text()), schema=schema)


def downgrade() -> None:
    prefix = "" if op.get_bind().dialect.name == "sqlite" else "aura_ops."
    for table in TABLES:
        op.execute(f"DROP TABLE {prefix}{table}")
    op.execute(f"ALTER TABLE {prefix}binding DROP COLUMN other_key")
