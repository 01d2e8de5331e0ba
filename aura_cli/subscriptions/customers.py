"""Whose customer is it? Found through a mapping of our own, believed only where the user's row does not say otherwise."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Text, and_, cast, func, literal, or_, select, union

from aura_cli.db.engine import upsert
from aura_cli.db.shared import users
from aura_cli.db.types import among, utc_now
from aura_cli.subscriptions.stripe import Customer
from aura_cli.subscriptions.tables import customer_links
from aura_cli.users.departed import STRIPE, erased_among, is_somebody
from aura_cli.users.tables import other_customers, privy_users, user_aliases
from aura_cli.users.who import Person


def owners(connection: Connection, customers: Iterable[str]) -> dict[str, str]:
    """Customer → user (uuid) of those that exactly one user belongs to; what the mapping did not know yet it learns."""
    wanted = set(customers)
    link = customer_links.c
    agrees = or_(users.c.stripe_customer_id == link.customer, users.c.stripe_customer_id.is_(None))
    linked = select(link.customer, users.c.id).join(users, users.c.id == link.user_id).where(among(link.customer, wanted), agrees)
    found = {customer: str(user) for customer, user in connection.execute(linked)}
    if not (missing := wanted - found.keys()):
        return found
    theirs = users.c.stripe_customer_id  # nothing may index it: looked for once, for all that are missing, and remembered
    single = select(theirs, func.min(cast(users.c.id, Text))).where(among(theirs, missing)).group_by(theirs).having(func.count() == 1)
    learnt = {customer: str(user) for customer, user in connection.execute(single)}
    remember(connection, learnt)
    return found | learnt


def of(connection: Connection, person: Person) -> list[str]:
    """The customers that are this person's and nobody else's: the one in their row, and those that were linked to them.

    So are those that a merge left, and that an erasure which did not come to its end has deleted at Stripe.
    """
    found, other = set[str](), users.alias("other")
    for table in (customer_links, other_customers):
        shared = select(1).select_from(other).where(other.c.stripe_customer_id == table.c.customer, other.c.id != person.id).exists()
        found |= set(connection.execute(select(table.c.customer).where(table.c.user_id == person.id, ~shared)).scalars())
    own = person.stripe_customer_id
    twice = select(users.c.id).where(users.c.stripe_customer_id == own, users.c.id != person.id)
    if own is not None and connection.execute(twice).first() is None:
        found.add(own)
    return sorted(found)


def erased(connection: Connection, customers: Iterable[str]) -> set[str]:
    """Those of the customers whose person was erased, and whom nobody here is known by since."""
    gone = erased_among(connection, STRIPE, customers)
    if gone:
        theirs = users.c.stripe_customer_id
        gone -= set(connection.execute(select(theirs).where(among(theirs, gone))).scalars())
    return gone


def remember(connection: Connection, links: dict[str, str]) -> None:
    """Put customer → user into the mapping, in place of what it said."""
    if links:
        made = upsert(connection, customer_links).values(
            [{"customer": customer, "user_id": user} for customer, user in sorted(links.items())]
        )
        connection.execute(
            made.on_conflict_do_update(index_elements=["customer"], set_={"user_id": made.excluded.user_id, "linked_at": utc_now()})
        )


def candidates(connection: Connection, customer: Customer) -> Sequence[str]:
    """The users (uuid) without another customer whom a customer at Stripe may be: by our id or DID in its metadata, or by an e-mail
    that Privy verified. Exactly one is an answer."""
    said = customer.metadata or {}
    conditions: list[Any] = []
    if (user := as_uuid(said.get("userId"))) is not None:
        conditions.append(users.c.id.in_(_now(user)))
    if said.get("privyUserId"):
        merged = select(user_aliases.c.into_id).where(user_aliases.c.privy_id == said["privyUserId"])
        conditions.append(or_(users.c.privy_user_id == said["privyUserId"], users.c.id.in_(merged)))
    if customer.email:
        p = privy_users.c
        conditions.append(users.c.privy_user_id.in_(select(p.privy_user_id).where(func.lower(p.verified_email) == customer.email.lower())))
    if not conditions:
        return ()
    return [str(user) for user in connection.execute(select(users.c.id).where(or_(*conditions), _free(customer.id))).scalars()]


def free(connection: Connection, customer: str, user: str | None) -> Sequence[str]:
    """The user (uuid), if it has no other customer."""
    if user is None:
        return ()
    return [str(found) for found in connection.execute(select(users.c.id).where(users.c.id == user, _free(customer))).scalars()]


def _free(customer: str) -> ColumnElement[bool]:
    return and_(or_(users.c.stripe_customer_id.is_(None), users.c.stripe_customer_id == customer), is_somebody())


def link(connection: Connection, customer: str, user: str, *, shared: bool) -> dict[str, Any] | None:
    """Remember whose a customer is; with `shared` in the web app's row, too. Returns the change there, as `{"before", "after"}`."""
    remember(connection, {customer: user})
    if not shared:
        return None
    free = and_(users.c.id == user, users.c.stripe_customer_id.is_(None))
    done = connection.execute(users.update().where(free).values(stripe_customer_id=customer, updated_at=utc_now()))
    return {"before": {"stripe_customer_id": None}, "after": {"stripe_customer_id": customer}} if done.rowcount else None


def unlink(connection: Connection, customer: str, user: str, *, shared: bool) -> dict[str, Any] | None:
    """Forget a customer that Stripe deleted: it can pay for nothing any more, and the web app makes a new one where there is none."""
    connection.execute(customer_links.delete().where(customer_links.c.customer == customer))
    if not shared:
        return None
    theirs = and_(users.c.id == user, users.c.stripe_customer_id == customer)
    done = connection.execute(users.update().where(theirs).values(stripe_customer_id=None, updated_at=utc_now()))
    return {"before": {"stripe_customer_id": customer}, "after": {"stripe_customer_id": None}} if done.rowcount else None


def known(connection: Connection, references: Iterable[str | None]) -> set[str]:
    """Those of the given uuids (texts of others' making) that are users."""
    wanted = {user for reference in references if (user := as_uuid(reference))}
    if not wanted:
        return set()
    merged = select(user_aliases.c.into_id).where(among(user_aliases.c.user_id, wanted))
    here = and_(or_(among(users.c.id, wanted), users.c.id.in_(merged)), is_somebody())
    return {str(user) for user in connection.execute(select(users.c.id).where(here)).scalars()}


def _now(user: str) -> CompoundSelect[Any]:
    """The id of a user, and the one that it was merged into, if it was."""
    return union(select(literal(user, users.c.id.type)), select(user_aliases.c.into_id).where(user_aliases.c.user_id == user))


def as_uuid(text: str | None) -> str | None:
    """`text` as our ids are written; None where it is no uuid."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None
