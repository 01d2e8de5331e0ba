"""What is known of how somebody came: signed up at Privy, came to the web app, was merged, went."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from aura_cli.audit.story import Moment, Whom
from aura_cli.db.shared import users
from aura_cli.db.types import among
from aura_cli.users.tables import privy_users, user_aliases


def story(connection: Connection, whom: Whom) -> Iterator[Moment]:
    """A person's beginning here and at Privy, and what became of them there."""
    p = privy_users.c
    rows = users.outerjoin(privy_users, p.privy_user_id == users.c.privy_user_id)
    found = select(users.c.id, users.c.created_at, users.c.privy_user_id, p.created, p.missing_since).select_from(rows)
    for identifier, created_at, did, created, missing in connection.execute(found.where(among(users.c.id, whom.users))):
        yield Moment(created_at, "app", "came to the web app", f"as {identifier}", identifier)
        if created is not None:
            yield Moment(datetime.fromtimestamp(created, UTC), "privy", "signed up", did, did)
        if missing:
            yield Moment(missing, "privy", "found to be gone", did, did, broken=True)
    a = user_aliases.c
    for at, old, into in connection.execute(select(a.at, a.user_id, a.into_id).where(among(a.into_id, whom.users))):
        yield Moment(at, "app", "another account was merged in", f"{old} into {into}", old)
