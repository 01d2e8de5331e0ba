"""The webhook inbox, who owned the billing when, and the moments of causes and states.

Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

TABLES = ("webhook_events", "webhook_attempts", "webhook_secrets", "webhook_cursors", "billing_owners")
LOSES = (*TABLES, "grants", "subscription_states")  # the last two a column each


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = None if sqlite else "aura_ops"
    TIME = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    JSONB = sa.JSON() if sqlite else postgresql.JSONB()
    SERIAL = sa.Integer() if sqlite else sa.BigInteger()
    NOW = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "clock_timestamp()")

    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("api_version", sa.Text()),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("account", sa.Text()),
        sa.Column("object", sa.Text()),
        sa.Column("customer", sa.Text()),
        sa.Column("thin", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", TIME, nullable=False, server_default=NOW),
        sa.Column("state", sa.Text(), nullable=False, server_default="received"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", TIME, server_default=NOW),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("finished_at", TIME),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        schema=schema,
    )
    for name, column, where in (
        ("due", "due_at", "due_at IS NOT NULL"),
        ("unmatched", "customer", "state = 'unmatched'"),
        ("dead", "received_at", "state = 'dead'"),
        ("received", "received_at", None),
        ("object", "object", None),
    ):
        only = sa.text(where) if where else None
        op.create_index(f"webhook_events_{name}", "webhook_events", [column], schema=schema, postgresql_where=only, sqlite_where=only)
    op.create_table(
        "webhook_attempts",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("changes", JSONB),
        schema=schema,
    )
    op.create_index("webhook_attempts_event", "webhook_attempts", ["event"], schema=schema)
    op.create_table(
        "webhook_secrets",
        sa.Column("label", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("first_matched_at", TIME, nullable=False, server_default=NOW),
        sa.Column("last_matched_at", TIME, nullable=False, server_default=NOW),
        sa.Column("matched", sa.BigInteger(), nullable=False, server_default="0"),
        schema=schema,
    )
    op.create_table(
        "webhook_cursors",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text()),
        sa.Column("moved_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "billing_owners",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        schema=schema,
    )
    op.add_column("grants", sa.Column("caused_at", TIME), schema=schema)
    op.add_column("subscription_states", sa.Column("as_of", sa.BigInteger()), schema=schema)


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    prefix = "" if sqlite else "aura_ops."
    for table in TABLES:
        op.execute(f"DROP TABLE {prefix}{table}")
    op.drop_column("grants", "caused_at", schema=None if sqlite else "aura_ops")
    op.drop_column("subscription_states", "as_of", schema=None if sqlite else "aura_ops")
