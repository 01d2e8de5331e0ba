"""Chat sessions and what was said in them; the oldest turns stay here when the model no longer gets them."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, func, literal_column

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Serial, UtcTime, utc_now

SEARCHED = 200_000  # characters of a message: PostgreSQL's tsvector ends at a megabyte, and would refuse the message
PIECE = (
    "'(\\S{200})'",
    "'\\1 '",
    "'g'",
)  # words end there at the latest: PostgreSQL reads a long one with underscores for minutes

chat_sessions = Table(
    "chat_sessions",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("title", Text, nullable=False),
    Column("model", Text, nullable=False),  # of the last turn
    Column("system", Text),  # the prompt that it began with
    Column("user_id", Id),  # whom it is about
    Column("operator", Text, nullable=False),
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("last_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("turns", Integer, nullable=False, server_default="0"),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost", Text),  # US dollars, exactly; NULL: of some turn it is not known
    Index("chat_sessions_last", "last_at"),
    Index("chat_sessions_user", "user_id"),
    schema=OPS,
)
chat_messages = Table(
    "chat_messages",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("session", Id, nullable=False),
    Column("number", Integer, nullable=False),  # in its session, from 1
    Column("role", Text, nullable=False),  # system, user, assistant
    Column("content", Text, nullable=False),
    Column("source", Text),  # of an answer: model, fallback
    Column("model", Text),
    Column("state", Text, nullable=False, server_default="complete"),  # complete, interrupted, failed
    Column("error", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("cost", Text),  # US dollars, exactly; NULL: not known
    Column("duration_ms", Integer),
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Index("chat_messages_session", "session", "number", unique=True),
    schema=OPS,
)
Index(
    "chat_messages_words",
    func.to_tsvector(
        literal_column("'simple'::regconfig"),
        func.regexp_replace(func.left(chat_messages.c.content, literal_column(str(SEARCHED))), *map(literal_column, PIECE)),
    ),
    postgresql_using="gin",
).ddl_if(dialect="postgresql")  # SQLite has the FTS5 table `chat_search` for it, which the migration makes
