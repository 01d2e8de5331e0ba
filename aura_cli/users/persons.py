"""What is kept of one person as a person: their row, what Privy says, teams, their log, and what tables of others hold of them."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Table, func, literal_column, or_, select

from aura_cli.audit.tables import operator_log
from aura_cli.db.shared import audit_logs, subscriptions, team_invites, team_members, token_top_ups, users
from aura_cli.db.types import among, json_field, utc_now
from aura_cli.drift.tables import plan_rows
from aura_cli.errors import ConflictError
from aura_cli.outbox.tables import outbox
from aura_cli.users.departed import ERASED
from aura_cli.users.dependents import Catalogue, rules_of
from aura_cli.users.holdings import Holding, Row, addresses, dids, erased, ids, of_user, taken
from aura_cli.users.tables import privy_users, staged_users, user_aliases
from aura_cli.users.who import Person

MONEY = (subscriptions, token_top_ups)


def _at_privy(connection: Connection, person: Person) -> ColumnElement[bool]:
    return among(privy_users.c.privy_user_id, dids(connection, person))


def _staged(connection: Connection, person: Person) -> ColumnElement[bool]:
    return among(staged_users.c.privy_user_id, dids(connection, person))


def _in_teams(_: Connection, person: Person) -> ColumnElement[bool]:
    return or_(team_members.c.user_id == person.id, team_members.c.workspace_owner_id == person.id)


def _invited(connection: Connection, person: Person) -> ColumnElement[bool]:
    i = team_invites.c
    return or_(i.workspace_owner_id == person.id, among(func.lower(i.email), addresses(connection, person)))


def _asked_for(connection: Connection, person: Person) -> ColumnElement[bool]:
    return json_field(outbox.c.payload, literal_column("'user_id'")).in_(ids(connection, person))


def _of_all(table: Table) -> Holding:
    """A holding whose rows tell of what was, and so name rows that were merged into the person's, too."""
    return Holding(table, lambda connection, person: among(table.c.user_id, ids(connection, person)))


TEAMS = (Holding(team_invites, _invited, hidden=("token",)), Holding(team_members, _in_teams))
AT_PRIVY = Holding(privy_users, _at_privy)
SHOWN = (of_user(users, "id"), AT_PRIVY, of_user(user_aliases, "into_id"), *TEAMS, of_user(audit_logs), _of_all(operator_log))
GONE = (
    *TEAMS,
    of_user(audit_logs),
    _of_all(plan_rows),
    Holding(outbox, _asked_for),
    Holding(staged_users, _staged),
    AT_PRIVY,
    of_user(user_aliases, "into_id"),
)


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """The person with everything that is not another room's; of tables that nobody here knows the rows that lead to them."""
    yield from taken(connection, person, SHOWN)
    catalogue = Catalogue(connection)
    for rows in catalogue.belongings(catalogue.row(person.id)):
        if catalogue.mentions(rows):
            continue
        for found in connection.execute(select(rows.table).where(rows.condition)):
            yield rows.link.name, dict(found._mapping)


def erase_belongings(connection: Connection, person: Person) -> dict[str, int]:
    """Delete what leads to the person in tables that nobody here knows; rows that may name nobody stay, and do; rows by table.

    Before the rooms erase theirs, which such rows hang on. Raises ConflictError where the rules of a table forbid it.
    """
    catalogue, counts = Catalogue(connection), dict[str, int]()
    for rows in catalogue.belongings(catalogue.row(person.id)):
        name = f"{rows.link.name} (kept, of nobody)" if rows.outlive else rows.link.name
        if rows.forbidden and connection.execute(select(1).select_from(rows.table).where(rows.condition).limit(1)).first():
            raise ConflictError(f"Rows of the table {name} forbid that what they name goes", "Nothing was written; settle them by hand")
        freed, gone = rows.table.update().values(dict.fromkeys(rows.optional or rows.link.columns)), rows.table.delete()
        with rules_of(rows.link.name):
            count = connection.execute((freed if rows.outlive else gone).where(rows.condition)).rowcount
        if count:
            counts[name] = counts.get(name, 0) + count
    return counts


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Delete the person. Where money rows are left the row of `users` stays, with nothing of them in it; else it goes, too.

    Raises ConflictError where the rules of a table forbid it.
    """
    connection.execute(operator_log.update().where(among(operator_log.c.key, dids(connection, person))).values(key=ERASED))
    counts = erased(connection, person, GONE)
    mine = users.c.id == person.id
    if has_money(connection, person):
        empty: dict[str, Any] = dict.fromkeys(("email", "name", "avatar_url", "stripe_customer_id"))
        pseudonym = {**empty, "privy_user_id": f"{ERASED}{uuid4()}", "updated_at": utc_now()}
        return {**counts, "users": connection.execute(users.update().where(mine).values(pseudonym)).rowcount}
    with rules_of(users.name):
        return {**counts, "users": connection.execute(users.delete().where(mine)).rowcount}


def has_money(connection: Connection, person: Person) -> bool:
    """Whether rows about payments would be left without their user."""
    return any(connection.execute(select(1).where(table.c.user_id == person.id).limit(1)).first() for table in MONEY)
