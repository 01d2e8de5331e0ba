"""Is the person known, here as at Privy?"""

from collections.abc import Iterator

from sqlalchemy import select

from aura_cli.db.types import among
from aura_cli.insight.case import Break, Case, command
from aura_cli.users.departed import departed_among
from aura_cli.users.tables import privy_users

LINK = "person"


def breaks(case: Case) -> Iterator[Break]:
    """Gone at Privy; or at Privy and not here."""
    if case.remote.people is None:
        p = privy_users.c
        dids = [one.privy_user_id for one in case.subject.people]
        gone = set(
            case.connection.execute(select(p.privy_user_id).where(among(p.privy_user_id, dids), p.missing_since.is_not(None))).scalars()
        )
    else:
        gone = {did for did, found in case.remote.people.items() if found is None}
        if not case.subject.people:
            for did in sorted(case.remote.people.keys() - gone - departed_among(case.connection, case.remote.people)):
                yield Break(LINK, f"{did} has signed up at Privy and is not here", command("users sync {}", did))
    for one in case.subject.people:
        if one.privy_user_id in gone:
            yield Break(
                LINK, f"Privy has no {one.privy_user_id} any more: nobody can sign in as {one.id}", command("users sync {}", one.id)
            )
