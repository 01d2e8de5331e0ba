"""Our own tables, in `aura_ops` on PostgreSQL and without a prefix on SQLite.

Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

TABLES = """binding leases operator_log outbox privy_users staged_users scan_windows scans plan_rows plans staged_subscriptions
    staged_sessions staged_customers staged_invoices staged_differences staged_absences subscription_states customer_links grants""".split()


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = None if sqlite else "aura_ops"
    ID = sa.String(36) if sqlite else postgresql.UUID(as_uuid=False)
    TIME = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    JSONB = sa.JSON() if sqlite else postgresql.JSONB()
    SERIAL = sa.Integer() if sqlite else sa.BigInteger()
    NEW_ID = sa.text(
        "(lower(hex(randomblob(4))||'-'||hex(randomblob(2))||'-4'||substr(hex(randomblob(2)),2)||'-'"
        "||substr('89AB',1+(abs(random())%4),1)||substr(hex(randomblob(2)),2)||'-'||hex(randomblob(6))))"
        if sqlite
        else "gen_random_uuid()"
    )
    NOW = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "clock_timestamp()")

    def _named(reference: str) -> str:
        return reference if sqlite else f"aura_ops.{reference}"

    op.create_table(
        "binding",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("environment", sa.Text()),
        sa.Column("stripe_account", sa.Text()),
        sa.Column("stripe_mode", sa.Text()),
        sa.Column("privy_app", sa.Text()),
        sa.Column("key_fingerprint", sa.Text()),
        sa.Column("bound_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "customer_links",
        sa.Column("customer", sa.Text(), primary_key=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("linked_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "grants",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("cause", sa.Text(), nullable=False, unique=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("granted_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_index("grants_user", "grants", ["user_id"], schema=schema)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        schema=schema,
    )
    op.create_table(
        "operator_log",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", ID),
        sa.Column("details", JSONB),
        schema=schema,
    )
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_try_at", TIME, nullable=False, server_default=NOW),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_expires_at", TIME),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("done_at", TIME),
        schema=schema,
    )
    op.create_index("outbox_due", "outbox", ["state", "next_try_at"], schema=schema)
    op.create_index("outbox_kind_key", "outbox", ["kind", "key"], unique=True, schema=schema)
    op.create_table(
        "plans",
        sa.Column("id", ID, primary_key=True, server_default=NEW_ID),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("scan_id", ID, nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("rows_here", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("applied_at", TIME),
        schema=schema,
    )
    op.create_table(
        "privy_users",
        sa.Column("privy_user_id", sa.Text(), primary_key=True),
        sa.Column("verified_email", sa.Text()),
        sa.Column("linked_accounts", JSONB),
        sa.Column("created", sa.BigInteger()),
        sa.Column("changed_at", TIME),
        sa.Column("missing_since", TIME),
        schema=schema,
    )
    op.create_table(
        "scans",
        sa.Column("id", ID, primary_key=True, server_default=NEW_ID),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, server_default=""),
        sa.Column("parameters", JSONB),
        sa.Column("counts", JSONB),
        sa.Column("started_at", TIME, nullable=False, server_default=NOW),
        sa.Column("completed_at", TIME),
        schema=schema,
    )
    op.create_table(
        "staged_absences",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("subscription", sa.Text(), primary_key=True),
        sa.Column("absent", sa.Boolean(), nullable=False),
        schema=schema,
    )
    op.create_table(
        "staged_customers",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("user_reference", sa.Text()),
        sa.Column("privy_reference", sa.Text()),
        schema=schema,
    )
    op.create_table(
        "staged_differences",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("subscription", sa.Text(), primary_key=True),
        sa.Column("side", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_table(
        "staged_invoices",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("subscription", sa.Text(), primary_key=True),
        sa.Column("id", sa.Text()),
        sa.Column("created", sa.BigInteger()),
        schema=schema,
    )
    op.create_table(
        "staged_sessions",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("customer", sa.Text()),
        sa.Column("user_reference", sa.Text()),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("package", sa.Text()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        schema=schema,
    )
    op.create_table(
        "staged_subscriptions",
        sa.Column("scan_id", ID, primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price", sa.Text()),
        sa.Column("period_start", sa.BigInteger()),
        sa.Column("period_end", sa.BigInteger()),
        sa.Column("trial_end", sa.BigInteger()),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text()),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("interval", sa.Text()),
        sa.Column("interval_count", sa.Integer()),
        schema=schema,
    )
    op.create_table(
        "staged_users",
        sa.Column("scan_id", ID, nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("privy_user_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("verified_email", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("linked_accounts", JSONB),
        sa.Column("created", sa.BigInteger()),
        sa.Column("failure", sa.Text()),
        schema=schema,
    )
    op.create_index("staged_users_batch", "staged_users", ["scan_id", "batch"], schema=schema)
    op.create_table(
        "subscription_states",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price", sa.Text()),
        sa.Column("period_start", sa.BigInteger()),
        sa.Column("period_end", sa.BigInteger()),
        sa.Column("trial_end", sa.BigInteger()),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text()),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("interval", sa.Text()),
        sa.Column("interval_count", sa.Integer()),
        sa.Column("seen_at", TIME, nullable=False, server_default=NOW),
        sa.Column("current", sa.Boolean(), nullable=False, server_default=sa.true()),
        schema=schema,
    )
    op.create_index(
        "subscription_states_current",
        "subscription_states",
        ["subscription"],
        unique=True,
        schema=schema,
        postgresql_where=sa.text("current"),
        sqlite_where=sa.text("current = 1"),  # as our queries say it: SQLite compares the text
    )
    op.create_table(
        "plan_rows",
        sa.Column("plan_id", ID, sa.ForeignKey(_named("plans.id"), ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text()),
        sa.Column("user_id", ID),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.Column("state", sa.Text(), nullable=False, server_default="pending"),
        schema=schema,
    )
    op.create_table(
        "scan_windows",
        sa.Column("scan_id", ID, sa.ForeignKey(_named("scans.id"), ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("since", sa.BigInteger()),
        sa.Column("until", sa.BigInteger()),
        sa.Column("cursor", sa.Text()),
        sa.Column("position", sa.BigInteger()),
        sa.Column("done", sa.Boolean(), nullable=False, server_default=sa.false()),
        schema=schema,
    )


def downgrade() -> None:
    prefix = "" if op.get_bind().dialect.name == "sqlite" else "aura_ops."
    for table in TABLES:
        op.execute(f"DROP TABLE {prefix}{table}")
