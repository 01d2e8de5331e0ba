"""`aura email` in the hands of a test: people in a database, Resend's stand-in, and what became of mails on both sides."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import users
from aura_cli.mail.sending import Mailing
from aura_cli.mail.tables import mails, suppressions
from aura_cli.outbox.carrying import Carried, Carrier
from aura_cli.outbox.queue import enqueue
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings
from tests.parts.program import Aura, Completed
from tests.parts.resend import Post

APP_URL = "https://app.example.com"


def user_id(number: int) -> str:
    return str(UUID(int=number + (4 << 76) + (8 << 60)))


# as handling an event asks for a mail
CONFIRMATION = {"template": "subscription_confirmation", "user_id": user_id(1), "subscription": "sub_1", "price": None}


@dataclass
class Office:
    """`office("send", …)` is `aura email send …`; `other` are further variables, empty ones hide."""

    aura: Aura
    engine: Engine
    url: str
    post: Post
    more: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        own = {"AURA_ENV": "development", "DATABASE_URL": self.url, "NEXT_PUBLIC_APP_URL": APP_URL, "FROM_EMAIL": "AURA <mail@example.com>"}
        return {**own, **self.post.env, **self.more}

    def __call__(self, *words: str, data: dict[str, Any] | None = None, timeout: float = 60, **other: str) -> Completed:
        given = ("--data", "-") if data is not None else ()
        stdin = json.dumps(data) if data is not None else None
        return self.aura("email", *words, *given, env={**self.env, **other}, input=stdin, timeout=timeout)

    def people(self, count: int, first: int = 1, **values: Any) -> list[str]:
        """So many people, `person<number>@example.com`; their ids."""
        numbers = range(first, first + count)
        rows = [
            {"id": user_id(n), "privy_user_id": f"did:privy:p{n}", "email": f"person{n}@example.com", "name": f"Person {n}", **values}
            for n in numbers
        ]
        with writing(self.engine) as connection:
            connection.execute(users.insert(), rows)
        return [row["id"] for row in rows]

    def mailing(self) -> Mailing:
        """Who delivers mail, as the program has it."""
        return Mailing.of(self.engine, Settings.load(self.env, self.aura.work))

    def carry(self) -> list[Carried]:
        """A worker's round."""
        return Carrier(self.engine, self.mailing()).once()

    def ask(self, key: str, payload: dict[str, Any]) -> None:
        """As handling an event asks for a mail."""
        with writing(self.engine) as connection:
            enqueue(connection, "mail", key, payload)

    @property
    def rows(self) -> list[Any]:
        """The mails' rows, oldest first."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(mails).order_by(mails.c.created_at, mails.c.id)))

    @property
    def row(self) -> Any:
        """The only mail's row."""
        (row,) = self.rows
        return row

    @property
    def states(self) -> Counter[str]:
        return Counter(row.state for row in self.rows)

    @property
    def effects(self) -> list[tuple[str, int, str | None]]:
        """State, attempts and error of each outbox row, oldest first."""
        o = outbox.c
        with reading(self.engine) as connection:
            return [(row.state, row.attempts, row.error) for row in connection.execute(select(o.state, o.attempts, o.error).order_by(o.id))]

    @property
    def payloads(self) -> list[dict[str, Any]]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(outbox.c.payload).order_by(outbox.c.id)).scalars())

    @property
    def suppressed(self) -> dict[str, str]:
        with reading(self.engine) as connection:
            return {row.address: row.reason for row in connection.execute(select(suppressions))}

    def suppress(self, address: str) -> None:
        assert self("suppress", address).exit == 0

    def make_due(self) -> None:
        """Let all waiting and all claims run out."""
        with writing(self.engine) as connection:
            connection.execute(outbox.update().values(next_try_at=outbox.c.created_at, lease_expires_at=outbox.c.created_at))

    def days_ago(self, days: float) -> None:
        """Let it be so long ago that mails were first tried."""
        with writing(self.engine) as connection:
            moment = connection.execute(select(mails.c.first_try_at).where(mails.c.first_try_at.is_not(None)).limit(1)).scalar_one()
            connection.execute(mails.update().where(mails.c.first_try_at.is_not(None)).values(first_try_at=moment - timedelta(days=days)))

    def sql(self, statement: str, **values: Any) -> Any:
        with writing(self.engine) as connection:
            found = connection.execute(text(statement), values)
            return found.all() if found.returns_rows else None

    def arrived(self) -> Counter[str]:
        """How many mails the stand-in took for each address."""
        return Counter(to for mail in self.post.mails for to in mail.message.to)

    def sent(self) -> Sequence[Any]:
        """The sending requests of the stand-in's journal."""
        return [entry for entry in self.post.state.journal if entry.method == "POST"]
