"""Sessions in a list, a line each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, func, select

from aura_cli.chat.tables import chat_sessions
from aura_cli.db.engine import reading

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Listed:
    """A session. `tokens`: read and written by models. `cost`: US dollars; None where that of some answer is not known."""

    id: str
    title: str
    turns: int
    last_at: datetime
    model: str
    tokens: int
    cost: str | None
    operator: str
    user_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class Filter:
    """Which sessions: about a person, of an operator, talked in since."""

    user_id: str | None = None
    operator: str | None = None
    since: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        s = chat_sessions.c
        found = [column == value for column, value in ((s.user_id, self.user_id), (s.operator, self.operator)) if value is not None]
        return [*found, s.last_at >= self.since] if self.since else found


def rows(engine: Engine, chosen: Filter, limit: int | None = None) -> Iterator[Listed]:
    """Sessions, the one talked in last first, streamed."""
    s = chat_sessions.c
    columns = (s.id, s.title, s.turns, s.last_at, s.model, s.input_tokens + s.output_tokens, s.cost, s.operator, s.user_id, s.created_at)
    statement: Select[Any] = select(*columns).where(*chosen.conditions()).order_by(s.last_at.desc(), s.id).limit(limit)
    with reading(engine) as connection:
        for row in connection.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE}):
            yield Listed(*row)


def count(engine: Engine, chosen: Filter) -> int:
    """How many `rows` would give."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(chat_sessions).where(*chosen.conditions())).scalar_one()


def shortened(row: Listed) -> Listed:
    """As a table on a terminal has room for it: what can be typed to name it is enough."""
    return replace(row, id=row.id[:8], title=row.title if len(row.title) <= 40 else row.title[:39] + "…")
