"""What chat keeps about one person: the sessions that are about them, and everything that was said there."""

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, select

from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.users.holdings import Holding, Row, erased, of_user, taken
from aura_cli.users.who import Person


def _said(connection: Connection, person: Person) -> ColumnElement[bool]:
    return chat_messages.c.session.in_(select(chat_sessions.c.id).where(chat_sessions.c.user_id == person.id))


HOLDINGS = (Holding(chat_messages, _said), of_user(chat_sessions))


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """Sessions about them, and the messages."""
    return taken(connection, person, HOLDINGS)


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Delete those."""
    return erased(connection, person, HOLDINGS)
