"""Sessions and their messages as rows: begun, found, asked in, answered. Who adds a message holds the session's row meanwhile.

So messages of one session are numbered without gaps or doubles, whichever processes talk in it at once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, func, select

from aura_cli.chat.model import Said, Usage
from aura_cli.chat.prices import dollars, total
from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.db.types import utc_now
from aura_cli.errors import NotFoundError, UsageError

TITLE_LENGTH = 60
CANDIDATES_SHOWN = 10
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.IGNORECASE)


@dataclass(frozen=True)
class Session:
    """A session. `cost`: US dollars, exactly; None where that of some answer is not known."""

    id: str
    title: str
    model: str
    system: str | None
    user_id: str | None
    operator: str
    created_at: datetime
    last_at: datetime
    turns: int
    input_tokens: int
    output_tokens: int
    cost: str | None


@dataclass(frozen=True)
class Message:
    """One message. `state` of an answer: complete, interrupted (what came is here), failed."""

    number: int
    role: str
    content: str
    source: str | None
    model: str | None
    state: str
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: str | None
    duration_ms: int | None
    created_at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of an answer: what its row is to say."""

    content: str
    source: str | None
    model: str | None
    state: str
    error: str | None
    usage: Usage | None
    cost: Decimal | None
    duration_ms: int


SESSION = [chat_sessions.c[name] for name in Session.__dataclass_fields__]
MESSAGE = [chat_messages.c[name] for name in Message.__dataclass_fields__]


def storable(text: str) -> str:
    """Text as both databases hold it: without NUL and half characters."""
    return text.replace("\0", "�").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def title_of(prompt: str) -> str:
    """The first line that says something, cut to a list's width."""
    line = next((" ".join(line.split()) for line in prompt.splitlines() if line.strip()), "untitled")
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def start(connection: Connection, session: str, title: str, model: str, operator: str, *, system: str | None, user_id: str | None) -> None:
    """Make a session that nothing was said in yet."""
    values = {"id": session, "title": title, "model": model, "system": system, "user_id": user_id, "operator": operator, "cost": "0"}
    connection.execute(chat_sessions.insert().values(values))


def get(connection: Connection, session: str) -> Session:
    """A session by its whole id. Raises NotFoundError."""
    row = connection.execute(select(*SESSION).where(chat_sessions.c.id == session)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no session {session} any more", "See: aura chat list")
    return Session(*row)


def last(connection: Connection, operator: str) -> Session:
    """The session that this operator talked in last. Raises NotFoundError where there is none."""
    mine = select(*SESSION).where(chat_sessions.c.operator == operator).order_by(chat_sessions.c.last_at.desc(), chat_sessions.c.id)
    row = connection.execute(mine.limit(1)).one_or_none()
    if row is None:
        raise NotFoundError(f"{operator} has no session yet", "Begin one: aura chat ask PROMPT")
    return Session(*row)


def find(connection: Connection, text: str) -> Session:
    """The one session that `text` names: the beginning of an id (four characters or more), a title, a part of one.

    Raises NotFoundError, and UsageError, listing ids, where several fit.
    """
    s, text = chat_sessions.c, storable(text)
    ways: list[ColumnElement[bool]] = [cast(s.id, Text).startswith(text.lower())] if _PREFIX.fullmatch(text) else []
    ways += [func.lower(s.title) == text.lower(), s.title.icontains(text, autoescape=True)] if text.strip() else []
    for way in ways:
        found = connection.execute(select(*SESSION).where(way).order_by(s.last_at.desc()).limit(CANDIDATES_SHOWN + 1)).all()
        if len(found) > 1:
            named = ", ".join(f"{row.id[:8]} ({row.title})" for row in found[:CANDIDATES_SHOWN])
            raise UsageError(f"{text[:80]!r} could be {len(found)} sessions or more", f"Name one by its id: {named}")
        if found:
            return Session(*found[0])
    raise NotFoundError(f"There is no session {text[:80]!r}", "See: aura chat list, aura chat search WORDS")


def ask(connection: Connection, session: str, prompt: str, model: str, system: str | None) -> tuple[int, int]:
    """Add a question, before it a system prompt where that is a new one, and the place of its answer. Returns both their numbers.

    The answer counts as interrupted until `settle` says otherwise: that is what it is when the power fails. Raises NotFoundError.
    """
    hold(connection, session)
    number = connection.execute(select(func.max(chat_messages.c.number)).where(chat_messages.c.session == session)).scalar() or 0
    rows = [("system", system, "complete")] if system is not None else []
    rows += [("user", prompt, "complete"), ("assistant", "", "interrupted")]
    values = [
        {"session": session, "number": number + place, "role": role, "content": content, "state": state}
        for place, (role, content, state) in enumerate(rows, 1)
    ]
    connection.execute(chat_messages.insert(), values)
    changes = {"turns": chat_sessions.c.turns + 1, "last_at": utc_now(), "model": model, "cost": None}  # not known until it is settled
    connection.execute(chat_sessions.update().where(chat_sessions.c.id == session).values(changes))
    return number + len(rows) - 1, number + len(rows)


def keep(connection: Connection, session: str, number: int, content: str) -> None:
    """Store what has come of an answer so far."""
    connection.execute(chat_messages.update().where(_place(session, number)).values(content=content))


def settle(connection: Connection, session: str, number: int, outcome: Outcome) -> None:
    """Store what became of an answer, and what the session has cost with it. Raises NotFoundError where it was deleted meanwhile."""
    hold(connection, session)
    usage = outcome.usage
    values: dict[str, Any] = {
        "content": outcome.content,
        "source": outcome.source,
        "model": outcome.model,
        "state": outcome.state,
        "error": storable(outcome.error) if outcome.error else None,
        "cost": dollars(outcome.cost) if outcome.cost is not None else None,
        "duration_ms": outcome.duration_ms,
    }
    if usage:
        values |= {name: getattr(usage, name) for name in Usage.__dataclass_fields__}
    connection.execute(chat_messages.update().where(_place(session, number)).values(values))
    connection.execute(chat_sessions.update().where(chat_sessions.c.id == session).values(_totals(connection, session)))


def _totals(connection: Connection, session: str) -> dict[str, Any]:
    """Tokens and cost of all answers of a model; of one that was interrupted neither is known."""
    m = chat_messages.c
    mine = (m.session == session) & (m.role == "assistant")
    read, written = connection.execute(select(func.sum(m.input_tokens), func.sum(m.output_tokens)).where(mine)).one()
    billed = select(m.cost).where(mine, m.state != "failed", func.coalesce(m.source, "model") == "model")
    cost = total(connection.execute(billed).scalars())
    return {
        "input_tokens": read or 0,
        "output_tokens": written or 0,
        "cost": None if cost is None else dollars(cost),
        "last_at": utc_now(),
    }


def retitle(connection: Connection, session: str, title: str) -> None:
    """Call a session something else."""
    connection.execute(chat_sessions.update().where(chat_sessions.c.id == session).values(title=title_of(storable(title))))


def system_of(connection: Connection, session: Session) -> str | None:
    """The system prompt that holds now: the last one said, else the one that it began with."""
    m = chat_messages.c
    said = select(m.content).where(m.session == session.id, m.role == "system").order_by(m.number.desc()).limit(1)
    found: str | None = connection.execute(said).scalar()
    return session.system if found is None else found


def turns(connection: Connection, session: str, before: int) -> Iterator[list[Said]]:
    """What was said before a message, turn by turn, the newest first; what a model did not say is not among it."""
    m = chat_messages.c
    said = (m.session == session) & (m.number < before) & m.role.in_(("user", "assistant"))
    rows = connection.execute(select(m.role, m.content, m.source).where(said).order_by(m.number.desc()))
    turn: list[Said] = []
    for role, content, source in rows:
        if content and source != "fallback":
            turn.insert(0, Said(role, content))
        if role == "user":
            yield turn
            turn = []


def messages(connection: Connection, session: str) -> Iterator[Message]:
    """Everything that was said, in order, streamed."""
    rows = select(*MESSAGE).where(chat_messages.c.session == session).order_by(chat_messages.c.number)
    return (Message(*row) for row in connection.execute(rows, execution_options={"yield_per": 100}))


def hold(connection: Connection, session: str) -> None:
    """Keep a session's row to the end of the transaction. Raises NotFoundError where there is none."""
    mine = select(chat_sessions.c.id).where(chat_sessions.c.id == session).with_for_update()
    if connection.execute(mine).first() is None:
        raise NotFoundError(f"There is no session {session} any more", "It was deleted meanwhile")


def _place(session: str, number: int) -> ColumnElement[bool]:
    return (chat_messages.c.session == session) & (chat_messages.c.number == number)
