"""Chat sessions and their search; mails, suppressed addresses and what Resend told.

Frozen: later changes are migrations of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

TABLES = ("chat_sessions", "chat_messages", "mails", "suppressions", "resend_events")
# FTS5 over the messages' own text (https://www.sqlite.org/fts5.html#external_content_tables): triggers keep it in step.
SEARCH = (
    "CREATE VIRTUAL TABLE chat_search USING fts5(content, content='chat_messages', content_rowid='id', tokenize='unicode61')",
    (
        "CREATE TRIGGER chat_search_insert AFTER INSERT ON chat_messages BEGIN"
        " INSERT INTO chat_search(rowid, content) VALUES (new.id, new.content); END"
    ),
    (
        "CREATE TRIGGER chat_search_delete AFTER DELETE ON chat_messages BEGIN"
        " INSERT INTO chat_search(chat_search, rowid, content) VALUES ('delete', old.id, old.content); END"
    ),
    (
        "CREATE TRIGGER chat_search_update AFTER UPDATE OF content ON chat_messages BEGIN"
        " INSERT INTO chat_search(chat_search, rowid, content) VALUES ('delete', old.id, old.content);"
        " INSERT INTO chat_search(rowid, content) VALUES (new.id, new.content); END"
    ),
)
WORDS = r"""CREATE INDEX chat_messages_words ON aura_ops.chat_messages
    USING gin (to_tsvector('simple'::regconfig, regexp_replace(left(content, 200000), '(\S{200})', '\1 ', 'g')))"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = None if sqlite else "aura_ops"
    ID = sa.String(36) if sqlite else postgresql.UUID(as_uuid=False)
    TIME = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    JSONB = sa.JSON() if sqlite else postgresql.JSONB()
    SERIAL = sa.Integer() if sqlite else sa.BigInteger()
    NOW = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "clock_timestamp()")

    op.create_table(
        "chat_sessions",
        sa.Column("id", ID, primary_key=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("system", sa.Text()),
        sa.Column("user_id", ID),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("last_at", TIME, nullable=False, server_default=NOW),
        sa.Column("turns", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("cost", sa.Text()),
        schema=schema,
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("session", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False, server_default="complete"),
        sa.Column("error", sa.Text()),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("cached_tokens", sa.Integer()),
        sa.Column("reasoning_tokens", sa.Integer()),
        sa.Column("cost", sa.Text()),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "mails",
        sa.Column("id", ID, primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("user_id", ID),
        sa.Column("address", sa.Text()),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False, server_default="queued"),
        sa.Column("resend_id", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("batch", sa.Text()),
        sa.Column("effect", sa.Text()),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("first_try_at", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("state_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    op.create_table(
        "suppressions",
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False, server_default=NOW),
        sa.Column("mail", ID),
        schema=schema,
    )
    op.create_table(
        "resend_events",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("resend_id", sa.Text()),
        sa.Column("received_at", TIME, nullable=False, server_default=NOW),
        schema=schema,
    )
    for name, table, columns, unique in (
        ("chat_sessions_last", "chat_sessions", ["last_at"], False),
        ("chat_sessions_user", "chat_sessions", ["user_id"], False),
        ("chat_messages_session", "chat_messages", ["session", "number"], True),
        ("mails_key", "mails", ["key"], True),
        ("mails_resend", "mails", ["resend_id"], False),
        ("mails_user", "mails", ["user_id"], False),
        ("mails_created", "mails", ["created_at"], False),
        ("mails_batch", "mails", ["batch"], False),
        ("resend_events_mail", "resend_events", ["resend_id"], False),
    ):
        op.create_index(name, table, columns, schema=schema, unique=unique)
    for statement in SEARCH if sqlite else (WORDS,):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        op.execute("DROP TABLE chat_search")
    for table in TABLES:
        op.execute(f"DROP TABLE {'' if sqlite else 'aura_ops.'}{table}")
