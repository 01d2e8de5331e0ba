"""Looking at mails: lists that are streamed, and one with what Resend told of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, or_, select

from aura_cli.console import MASK
from aura_cli.db.engine import reading
from aura_cli.db.types import UUID, among
from aura_cli.errors import NotFoundError, UsageError
from aura_cli.mail.asking import MAIL
from aura_cli.mail.tables import mails, resend_events
from aura_cli.outbox.tables import outbox

_UNSAID = {"team-invite": {"link"}}  # variables that only a mail's reader gets to see, by template
_ID = re.compile(UUID, re.IGNORECASE)


@dataclass(frozen=True)
class Mail:
    """One mail and how it stands; `error` is why it stands so. `batch` names the many that it was asked for with."""

    id: str
    template: str
    address: str | None
    user_id: str | None
    state: str
    subject: str | None
    error: str | None
    resend_id: str | None
    batch: str | None
    created_at: datetime
    sent_at: datetime | None
    state_at: datetime


@dataclass(frozen=True)
class Told:
    """An event of Resend's about a mail: Resend's time of it."""

    type: str
    created: datetime


@dataclass(frozen=True)
class Story:
    """One mail in full: its variables, when it is tried next and after how many tries, and what Resend told."""

    mail: Mail
    key: str
    data: Any
    attempts: int
    next_try_at: datetime | None
    events: list[Told]


@dataclass(frozen=True)
class Filter:
    """Which mails; `about` is an id of a mail, a user or Resend's, or an address."""

    about: str | None = None
    state: str | None = None
    template: str | None = None
    batch: str | None = None
    since: datetime | None = None
    ids: tuple[str, ...] = ()

    def conditions(self) -> list[ColumnElement[bool]]:
        m = mails.c
        exact = {m.state: self.state, m.template: self.template, m.batch: self.batch}
        found = [column == value for column, value in exact.items() if value is not None]
        found += [m.created_at >= self.since] if self.since else []
        found += [among(m.id, self.ids)] if self.ids else []
        found += [_about(self.about)] if self.about else []
        return found


def _about(text: str) -> ColumnElement[bool]:
    m = mails.c
    if "@" in text:
        return func.lower(m.address) == text.lower()
    if _ID.fullmatch(text):
        return or_(m.id == text.lower(), m.user_id == text.lower(), m.resend_id == text.lower())
    return m.resend_id == text


def _columns() -> list[Any]:
    return [mails.c[name] for name in Mail.__dataclass_fields__]


def rows(engine: Engine, chosen: Filter, limit: int | None = None) -> Iterator[Mail]:
    """Mails, the last asked for first, streamed."""
    statement = select(*_columns()).where(*chosen.conditions()).order_by(mails.c.created_at.desc(), mails.c.id).limit(limit)
    with reading(engine) as connection:
        for row in connection.execute(statement, execution_options={"yield_per": 1_000}):
            yield Mail(*row)


def count(engine: Engine, chosen: Filter) -> int:
    """How many `rows` would give."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(mails).where(*chosen.conditions())).scalar_one()


def named(connection: Connection, ids: Sequence[str]) -> list[Mail]:
    """Mails by their ids. Raises UsageError for what is no id, NotFoundError where one is not there."""
    if wrong := [one for one in ids if not _ID.fullmatch(one)]:
        raise UsageError(f"{wrong[0][:80]!a} is no mail's id", "aura email log lists them")
    found = [Mail(*row) for row in connection.execute(select(*_columns()).where(among(mails.c.id, [one.lower() for one in ids])))]
    if missing := {one.lower() for one in ids} - {mail.id for mail in found}:
        raise NotFoundError(f"No such mail here: {', '.join(sorted(missing)[:5])}", "aura email log lists them")
    return found


def story(connection: Connection, identifier: str) -> Story:
    """One mail in full, but for what lets its reader in. Raises as `named` does."""
    (mail,) = named(connection, [identifier])
    m, o, e = mails.c, outbox.c, resend_events.c
    key, data, effect = connection.execute(select(m.key, m.data, m.effect).where(m.id == mail.id)).one()
    tried = connection.execute(select(o.attempts, o.next_try_at, o.state).where(o.kind == MAIL, o.key == effect)).first()
    events = (
        connection.execute(select(e.type, e.created).where(e.resend_id == mail.resend_id).order_by(e.created)).all()
        if mail.resend_id
        else []
    )
    unsaid = {name: MASK for name in data if name in _UNSAID.get(mail.template, ())}
    following = tried.next_try_at if tried and tried.state == "pending" else None
    return Story(mail, key, {**data, **unsaid}, tried.attempts if tried else 0, following, [Told(*event) for event in events])
