"""Runs of cron's jobs; people merged and people erased; each day's figures.

Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

TABLES = ("job_runs", "user_aliases", "erasures", "erased_ids", "other_customers", "daily_figures")


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = None if sqlite else "aura_ops"
    ID = sa.String(36) if sqlite else postgresql.UUID(as_uuid=False)
    TIME = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    JSONB = sa.JSON() if sqlite else postgresql.JSONB()
    SERIAL = sa.Integer() if sqlite else sa.BigInteger()
    NOW = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "clock_timestamp()")

    op.create_table(
        "job_runs",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False, server_default=NOW),
        sa.Column("finished_at", TIME),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("counts", JSONB),
        sa.Column("error", sa.Text()),
        sa.Column("told", sa.Text()),
        schema=schema,
    )
    op.create_table(
        "user_aliases",
        sa.Column("privy_id", sa.Text(), primary_key=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("into_id", ID, nullable=False),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        sa.Column("addresses", JSONB, nullable=False),
        schema=schema,
    )
    op.create_table(
        "erasures",
        sa.Column("id", ID, primary_key=True),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("counts", JSONB, nullable=False),
        schema=schema,
    )
    op.create_table(
        "erased_ids",
        sa.Column("hash", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("erasure", ID, nullable=False),
        schema=schema,
    )
    op.create_table(
        "other_customers",
        sa.Column("customer", sa.Text(), primary_key=True),
        sa.Column("user_id", ID, nullable=False),
        schema=schema,
    )
    op.create_table(
        "daily_figures",
        sa.Column("day", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
        schema=schema,
    )
    op.create_index("job_runs_job", "job_runs", ["job", "id"], schema=schema)
    op.create_index("user_aliases_into", "user_aliases", ["into_id"], schema=schema)


def downgrade() -> None:
    prefix = "" if op.get_bind().dialect.name == "sqlite" else "aura_ops."
    for table in TABLES:
        op.execute(f"DROP TABLE {prefix}{table}")
