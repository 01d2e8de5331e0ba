"""What is kept about one person's connections. The tokens are nobody's to take out; who erases revokes them first (`revoke.Ender`)."""

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, Table, func, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import integrations
from aura_cli.integrations import revoke, spool, unstored
from aura_cli.integrations.revoke import Disconnected, Ender
from aura_cli.integrations.state import Seen, scan
from aura_cli.integrations.tables import connect_links, connections, granted, revocations
from aura_cli.users.holdings import Holding, Row, erased, ids, of_user, taken
from aura_cli.users.who import Person
from aura_cli.vault.tables import reseals


def _of_theirs(table: Table) -> Holding:
    """Rows about integrations of theirs, or about ones that are no more."""

    def whose(_: Connection, person: Person) -> ColumnElement[bool]:
        others = select(integrations.c.id).where(integrations.c.user_id != person.id)
        return table.c.integration_id.not_in(others)

    return Holding(table, whose)


SHOWN = (
    of_user(integrations, hidden=("access_token", "refresh_token")),
    of_user(connections, hidden=("intent", "lease_owner")),
    of_user(connect_links, hidden=("digest", "state", "sealed")),
)
ERASED = (
    _of_theirs(reseals),
    _of_theirs(granted),
    of_user(connections),
    of_user(connect_links),
    of_user(integrations),
    of_user(revocations, becomes={}),  # what could not be revoked yet is tried again, and then goes
)


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """Connections, how they are, and links to make some; without tokens and keys, wherever they stand."""
    return taken(connection, person, SHOWN)


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Delete what is known of their connections, and the connections that are still there."""
    return erased(connection, person, ERASED)


def require_loose(connection: Connection, person: Person) -> None:
    """Raises ConflictError where rows of a table that nobody here knows would keep one of their connections from being deleted."""
    revoke.require_loose(connection, integrations.c.user_id == person.id)


def revoke_all(ender: Ender, person: Person) -> tuple[int, int]:
    """End everything that somebody is connected with, at its provider, here, and in this machine's files.

    Returns how many were revoked, and how many are still to be, by an earlier try, too: `Ender.retry` goes on with those. Raises
    ConfigurationError where no key is there to seal those with, ConflictError where one is being refreshed at this moment: running it
    again goes on.
    """
    ended: list[Disconnected] = []
    older = _connected(ender, person.id, older=True)
    while seen := _connected(ender, person.id):  # what somebody connects meanwhile, too
        ender.vault.require_sealing()
        ended += [ender.end(one) for one in seen]
    home = ender.settings.home
    r = revocations.c
    with reading(ender.engine) as connection:
        known_as = ids(connection, person)
        waiting = connection.execute(select(func.count(r.provider.distinct())).where(r.user_id == person.id)).scalar_one()
    left = [path for one in known_as for path in (home / unstored.FOLDER).glob(f"*-{one}*")]
    for id_ in (*(one.id for one in ended), *(one.read.id for one in older)):
        left += (home / spool.FOLDER).glob(f"{id_}-*")
    for path in left:
        path.unlink(missing_ok=True)
    return sum(one.revoked == "yes" for one in ended), waiting


def _connected(ender: Ender, user_id: str, *, older: bool = False) -> list[Seen]:
    with reading(ender.engine) as connection:
        return list(scan(connection, ender.vault, ender.catalogue, integrations.c.user_id == user_id, older=older))
