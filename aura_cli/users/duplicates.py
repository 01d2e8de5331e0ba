"""People who are here twice: rows that share an address or a customer, and ones that came back after they were merged away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select, union

from aura_cli.db.engine import reading
from aura_cli.db.shared import subscriptions, users
from aura_cli.users.tables import privy_users, user_aliases


@dataclass(frozen=True)
class Duplicate:
    """Two rows that look like one person, because they share `by` (email, customer), or as the login was merged before (`merged`).

    `proven`: of an address, that Privy has verified it for both. `stays` is the row that pays, or else the older one. `merge` is the
    command that shows what merging them would do.
    """

    by: str
    shared: str
    proven: bool
    stays: str
    goes: str
    stays_created_at: datetime
    goes_created_at: datetime
    stays_subscription: str | None
    goes_subscription: str | None
    merge: str


def find(engine: Engine) -> Iterator[Duplicate]:
    """Every pair, a person who is here thrice in two of them; pairs of the same two rows once."""
    with reading(engine) as connection:
        seen: set[frozenset[str]] = set()
        for by, shared, ids in _groups(connection):
            for one in _pairs(connection, by, shared, ids):
                if (both := frozenset((one.stays, one.goes))) not in seen:
                    seen.add(both)
                    yield one


def _groups(connection: Connection) -> Iterator[tuple[str, str, Sequence[str]]]:
    """What is shared, and the rows that share it; of one that was merged the row that it belongs to comes first."""
    back = select(user_aliases.c.privy_id, user_aliases.c.into_id, users.c.id).join(users, users.c.privy_user_id == user_aliases.c.privy_id)
    for did, into, again in connection.execute(back).all():
        yield "merged", did, (into, again)
    for by, rows in (("customer", _customers()), ("email", _addresses())):
        group: list[str] = []
        last = None
        for shared, user in connection.execute(rows):
            if shared != last and last is not None:
                yield by, last, group
            group = [user] if shared != last else [*group, user]
            last = shared
        if last is not None:
            yield by, last, group


def _customers() -> Select[Any]:
    c = users.c.stripe_customer_id
    twice = select(c).where(c.is_not(None)).group_by(c).having(func.count() > 1)
    return select(c, users.c.id).where(c.in_(twice)).order_by(c, users.c.id)


def _addresses() -> Select[Any]:
    own = select(func.lower(users.c.email).label("address"), users.c.id).where(users.c.email.is_not(None))
    p = privy_users.c
    at_privy = select(func.lower(p.verified_email).label("address"), users.c.id).join(users, users.c.privy_user_id == p.privy_user_id)
    both = union(own, at_privy.where(p.verified_email.is_not(None))).cte("both")
    twice = select(both.c.address).group_by(both.c.address).having(func.count() > 1)
    return select(both.c.address, both.c.id).where(both.c.address.in_(twice)).order_by(both.c.address, both.c.id)


def _pairs(connection: Connection, by: str, shared: str, ids: Sequence[str]) -> Iterator[Duplicate]:
    s, p = subscriptions.c, privy_users.c
    newest = select(s.status).where(s.user_id == users.c.id).order_by(s.created_at.desc()).limit(1).scalar_subquery()
    proven = select(func.lower(p.verified_email)).where(p.privy_user_id == users.c.privy_user_id).scalar_subquery()
    columns = (users.c.id, users.c.created_at, newest.label("subscription"), proven.label("proven"))
    rows = list(connection.execute(select(*columns).where(users.c.id.in_(ids))))
    if by == "merged":
        rows.sort(key=lambda row: ids.index(row.id))
    else:
        rows.sort(key=lambda row: (row.subscription not in ("active", "trialing"), row.subscription is None, row.created_at, row.id))
    for other in rows[1:]:
        stays = rows[0]
        both_proven = by == "email" and stays.proven == other.proven == shared
        merge = f"aura users merge {other.id} {stays.id}"
        times = (stays.created_at, other.created_at, stays.subscription, other.subscription)
        yield Duplicate(by, shared, both_proven, stays.id, other.id, *times, merge)
