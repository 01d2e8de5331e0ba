"""Sessions that go: named ones, or those that nobody has talked in for long, chunk by chunk, each noted in the operator log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from aura_cli.audit.log import record
from aura_cli.chat.sessions import Session
from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among

CHUNK = 1_000


@dataclass(frozen=True)
class Pruned:
    """What is gone, or would be with `applied` false: sessions last talked in before `before`, and their messages."""

    before: datetime
    sessions: int
    messages: int
    applied: bool


@dataclass(frozen=True)
class Deleted:
    """The sessions that are gone, or would be with `applied` false, and how many messages with them."""

    sessions: tuple[str, ...]
    messages: int
    applied: bool


def plan(engine: Engine, before: datetime) -> Pruned:
    """What `prune` would delete."""
    s, m = chat_sessions.c, chat_messages.c
    with reading(engine) as connection:
        old = connection.execute(select(func.count()).select_from(chat_sessions).where(s.last_at < before)).scalar_one()
        joined = chat_messages.join(chat_sessions, m.session == s.id)
        said = connection.execute(select(func.count()).select_from(joined).where(s.last_at < before)).scalar_one()
    return Pruned(before, old, said, applied=False)


def prune(
    engine: Engine, before: datetime, operator: str, tick: Callable[[int], None] = lambda count: None, *, chunk: int = CHUNK
) -> Pruned:
    """Delete them, a chunk a transaction; one that somebody talks in at this moment stays."""
    s = chat_sessions.c
    old = select(s.id).where(s.last_at < before).order_by(s.last_at).limit(chunk).with_for_update(skip_locked=True)
    sessions = messages = 0
    while True:
        with writing(engine) as connection:
            ids = list(connection.execute(old).scalars())
            if not ids:
                return Pruned(before, sessions, messages, applied=True)
            said = _delete(connection, ids)
            record(connection, operator, "chat.prune", before.isoformat(), details={"sessions": len(ids), "messages": said})
        sessions, messages = sessions + len(ids), messages + said
        tick(sessions)


def counted(engine: Engine, chosen: Sequence[Session]) -> Deleted:
    """What `delete` would delete."""
    ids = [session.id for session in chosen]
    with reading(engine) as connection:
        said = select(func.count()).select_from(chat_messages).where(among(chat_messages.c.session, ids))
        return Deleted(tuple(ids), connection.execute(said).scalar_one(), applied=False)


def delete(engine: Engine, chosen: Sequence[Session], operator: str) -> Deleted:
    """Delete these sessions with everything that was said in them."""
    messages = 0
    with writing(engine) as connection:
        for session in sorted(chosen, key=lambda one: one.id):
            said = _delete(connection, [session.id])
            record(connection, operator, "chat.delete", session.id, user_id=session.user_id, details={"messages": said})
            messages += said
    return Deleted(tuple(session.id for session in chosen), messages, applied=True)


def _delete(connection: Connection, ids: Sequence[str]) -> int:
    """How many messages went; the sessions go first, so that nobody adds to them meanwhile."""
    connection.execute(chat_sessions.delete().where(among(chat_sessions.c.id, ids)))
    return connection.execute(chat_messages.delete().where(among(chat_messages.c.session, ids))).rowcount
