"""Where an operator chats: the program, a database of each kind, OpenAI's stand-in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, select

from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.db.engine import reading
from tests.parts.migrated import engine_of
from tests.parts.openai import Assistant, assistant
from tests.parts.program import Aura, Completed


@dataclass(frozen=True)
class Desk:
    """`model` is the stand-in: order its answers and trouble there, and look at what it was asked."""

    aura: Aura
    engine: Engine
    env: dict[str, str]
    model: Assistant

    def __call__(self, *args: str, input: str | None = None, env: Mapping[str, str] | None = None, exit: int = 0) -> Completed:  # noqa: A002
        """`aura chat …`, which must end with `exit`."""
        done = self.aura("chat", *args, env={**self.env, **(env or {})}, input=input)
        assert done.exit == exit, (done.exit, done.out, done.err)
        return done

    def ask(self, *args: str, exit: int = 0, **more: Any) -> dict[str, Any]:  # noqa: A002
        """`aura chat ask … --json`, parsed."""
        found: dict[str, Any] = self("ask", *args, "--json", exit=exit, **more).json
        return found

    def sessions(self) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(chat_sessions).order_by(chat_sessions.c.created_at)))

    def messages(self, session: str | None = None) -> list[Any]:
        """Everything that was said, in order."""
        wanted = select(chat_messages).order_by(chat_messages.c.session, chat_messages.c.number)
        with reading(self.engine) as connection:
            return list(connection.execute(wanted if session is None else wanted.where(chat_messages.c.session == session)))


@pytest.fixture
def desk(aura: Aura, database_url: str, engine: Engine) -> Iterator[Desk]:
    """A desk of its own for each test, on both databases."""
    with assistant() as model:
        yield Desk(aura, engine, {"DATABASE_URL": database_url, "AURA_OPERATOR": "ada", **model.env}, model)


@pytest.fixture
def light(aura: Aura, migrated: None, sqlite_database: str) -> Iterator[Desk]:
    """A desk on SQLite alone, where the database plays no part."""
    with assistant() as model, engine_of(sqlite_database) as engine:
        yield Desk(aura, engine, {"DATABASE_URL": sqlite_database, "AURA_OPERATOR": "ada", **model.env}, model)


def said(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Role and content of the messages of a request, the system prompt left out."""
    return [(one["role"], one["content"]) for one in request["messages"] if one["role"] != "system"]
