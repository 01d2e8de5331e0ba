"""What a room keeps about one person, table by table, as data: from it follow what a takeout shows and what an erasure does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Table, func, select

from aura_cli.db.shared import users
from aura_cli.users.tables import privy_users, user_aliases
from aura_cli.users.who import Person

Row = Mapping[str, Any]
ROWS_AT_ONCE = 500
KEPT_BACK = "(a secret: not taken out)"


class Room(Protocol):
    """What each room's `persons` answers about one person, in the caller's transaction."""

    def takeout(self, connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
        """Everything that is kept about them: name of a file and a row of it, those of one name together. No secret is in it."""

    def erase(self, connection: Connection, person: Person) -> Mapping[str, int]:
        """Take them out of the room's tables; how many rows went or lost what told of them, by table."""


@dataclass(frozen=True)
class Holding:
    """Rows of `table` that are about a person, by the condition `whose`.

    `hidden` columns hold secrets, which nobody takes out; nor is it told which operator did something. An erasure deletes the rows, or
    with `becomes` sets these columns in them, for what has to stay without its person; empty: it leaves them as they are, because they
    tell of ids and money alone.
    """

    table: Table
    whose: Callable[[Connection, Person], ColumnElement[bool]]
    hidden: Sequence[str] = ()
    becomes: Mapping[str, Any] | None = None

    def rows(self, connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
        columns = [column for column in self.table.c if column.name not in (*self.hidden, "operator")]
        found = select(*columns).where(self.whose(connection, person))
        for row in connection.execute(found, execution_options={"yield_per": ROWS_AT_ONCE}):
            yield self.table.name, dict(row._mapping)

    def erase(self, connection: Connection, person: Person) -> int:
        whose = self.whose(connection, person)
        if self.becomes is None:
            return connection.execute(self.table.delete().where(whose)).rowcount
        return connection.execute(self.table.update().where(whose).values(self.becomes)).rowcount if self.becomes else 0


def of_user(table: Table, column: str = "user_id", **more: Any) -> Holding:
    """A holding whose rows name the user's id in `column`."""
    return Holding(table, lambda _, person: table.c[column] == person.id, **more)


def taken(connection: Connection, person: Person, holdings: Sequence[Holding]) -> Iterator[tuple[str, Row]]:
    """The rows of all `holdings`."""
    for holding in holdings:
        yield from holding.rows(connection, person)


def erased(connection: Connection, person: Person, holdings: Sequence[Holding]) -> dict[str, int]:
    """Erase all `holdings`, in their order; rows by table."""
    counts: dict[str, int] = {}
    for holding in holdings:
        counts[holding.table.name] = counts.get(holding.table.name, 0) + holding.erase(connection, person)
    return {name: count for name, count in counts.items() if count}


def dids(connection: Connection, person: Person) -> list[str]:
    """The DIDs that are this person: theirs, and of rows that were merged into it."""
    a = user_aliases.c
    return [person.privy_user_id, *connection.execute(select(a.privy_id).where(a.into_id == person.id).order_by(a.privy_id)).scalars()]


def addresses(connection: Connection, person: Person) -> list[str]:
    """The e-mail addresses that are this person's, in lower case: of the row, the one that Privy verified, and of rows merged into it."""
    p, a = privy_users.c, user_aliases.c
    merged = connection.execute(select(a.addresses).where(a.into_id == person.id)).scalars()
    own = select(func.lower(users.c.email)).where(users.c.id == person.id)
    proven = select(func.lower(p.verified_email)).where(p.privy_user_id.in_(dids(connection, person)))
    now = connection.execute(own.union(proven)).scalars()
    return sorted({text for text in (*now, *(old for some in merged for old in some)) if text})


def ids(connection: Connection, person: Person) -> list[str]:
    """The ids that are this person: theirs, and of rows that were merged into it."""
    a = user_aliases.c
    return [person.id, *connection.execute(select(a.user_id).where(a.into_id == person.id).order_by(a.user_id)).scalars()]
