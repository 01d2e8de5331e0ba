"""Payloads of webhooks compressed by lz4, where the server has it: pglz took two fifths of the time that storing one takes.

Rows that are there keep what they have (https://www.postgresql.org/docs/current/sql-altertable.html, SET COMPRESSION).
Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KNOWN = sa.text("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")  # PostgreSQL 14 or later


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql" and bind.scalar(KNOWN):
        op.execute("ALTER TABLE aura_ops.webhook_events ALTER COLUMN payload SET COMPRESSION lz4")


def downgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql" and bind.scalar(KNOWN):
        op.execute("ALTER TABLE aura_ops.webhook_events ALTER COLUMN payload SET COMPRESSION default")
