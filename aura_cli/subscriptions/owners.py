"""Whose is a Stripe customer? The users that are linked, those that could be, and the customers that nobody can be sure of."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    Text,
    and_,
    case,
    cast,
    except_,
    func,
    literal,
    null,
    or_,
    select,
    union,
    union_all,
)

from aura_cli.db.shared import users
from aura_cli.db.types import Json, json_record
from aura_cli.drift.kinds import field
from aura_cli.drift.tables import plan_rows
from aura_cli.subscriptions.compare import REMOTE, Scope, nearest, on_side
from aura_cli.subscriptions.stripe import ENDED
from aura_cli.subscriptions.tables import staged_customers
from aura_cli.subscriptions.tables import staged_subscriptions as remote
from aura_cli.users.departed import ERASED, is_somebody
from aura_cli.users.tables import privy_users, user_aliases


def owners(scope: Scope, plan_id: str, among: ColumnElement[Any] | None = None) -> FromClause:
    """Customer and user_id: the one user who is linked to a customer, or whom this plan is going to link.

    Of the customers with subscriptions that we miss, or `among` a column of customers.
    """
    wanted = select(remote.c.customer).where(scope.seen, remote.c.id.in_(on_side(scope, REMOTE))) if among is None else select(among)
    first = func.min(cast(users.c.id, Text)).label("user_id")
    linked = select(users.c.stripe_customer_id.label("customer"), first).where(users.c.stripe_customer_id.in_(wanted))
    one = linked.group_by(users.c.stripe_customer_id).having(func.count() == 1).subquery()
    planned = select(field("after", "stripe_customer_id").label("customer"), plan_rows.c.user_id)
    planned = planned.where(plan_rows.c.plan_id == plan_id, plan_rows.c.kind == "unknown_customer")
    return union_all(select(one.c.customer, cast(one.c.user_id, users.c.id.type).label("user_id")), planned).subquery("owner")


def unlinked_customers(scope: Scope) -> CompoundSelect[Any]:
    """Customers with a subscription that matters and no user, which have not been asked about yet.

    As sets, because nothing of ours may index the web app's column.
    """
    asked = select(staged_customers.c.id).where(staged_customers.c.scan_id == scope.scan_id)
    matters = nearest(remote.c.status).is_not(None) if scope.history else remote.c.status.not_in(ENDED)
    return except_(select(remote.c.customer).where(scope.seen, matters), select(users.c.stripe_customer_id), asked)


def _matches(scope: Scope) -> FromClause:
    """Customer and user (as text) for each way in which they may belong together."""
    c, p = staged_customers.c, privy_users.c
    user = cast(users.c.id, Text)
    ours = and_(c.scan_id == scope.scan_id, ~c.deleted)
    same = and_(users.c.id == cast(c.user_reference, users.c.id.type), is_somebody())
    by_id = select(c.id, user.label("user_id")).join_from(staged_customers, users, same)
    by_did = select(c.id, user).join_from(staged_customers, users, users.c.privy_user_id == c.privy_reference)
    verified = staged_customers.join(privy_users, func.lower(p.verified_email) == func.lower(c.email))
    by_email = select(c.id, user).select_from(verified.join(users, users.c.privy_user_id == p.privy_user_id))
    was = or_(user_aliases.c.user_id == cast(c.user_reference, user_aliases.c.user_id.type), user_aliases.c.privy_id == c.privy_reference)
    merged = select(c.id, cast(user_aliases.c.into_id, Text)).join_from(staged_customers, user_aliases, was)
    return union(by_id.where(ours), by_did.where(ours), by_email.where(ours), merged.where(ours)).subquery("matches")


def unknown_customer(scope: Scope) -> Select[Any]:
    """Customers that exactly one user without a customer matches, and that match no other customer's user."""
    found = _matches(scope)
    single = (
        select(found.c.id.label("customer"), func.min(found.c.user_id).label("user_id"))
        .group_by(found.c.id)
        .having(func.count() == 1)
        .subquery()
    )
    free = single.join(users, cast(users.c.id, Text) == single.c.user_id)
    shared = func.count().over(partition_by=users.c.id).label("claims")
    claim = (
        select(single.c.customer, users.c.id.label("user_id"), shared)
        .select_from(free)
        .where(users.c.stripe_customer_id.is_(None))
        .subquery()
    )
    before = json_record("stripe_customer_id", cast(null(), Text))
    after = json_record("stripe_customer_id", claim.c.customer)
    columns = (cast(claim.c.user_id, Text).label("key"), cast(null(), Text).label("subscription"), claim.c.user_id)
    return select(*columns, before.label("before"), after.label("after")).where(claim.c.claims == 1).order_by(claim.c.customer)


def ambiguous_link(scope: Scope, plan_id: str) -> Select[Any]:
    """Customers with subscriptions that matter which nobody, or more than one user, may be: a person has to look."""
    c = staged_customers.c
    found = _matches(scope)
    matching = select(func.count()).where(found.c.id == c.id).scalar_subquery()
    planned = select(field("after", "stripe_customer_id")).where(plan_rows.c.plan_id == plan_id, plan_rows.c.kind == "unknown_customer")
    erased = select(1).where(users.c.id == cast(c.user_reference, users.c.id.type), ~is_somebody()).correlate(staged_customers).exists()
    why = case(
        (c.deleted, "deleted at Stripe"),
        (and_(matching == 0, or_(c.privy_reference == ERASED, erased)), "the person was erased"),
        (matching == 0, "nobody matches"),
        (matching == 1, "the user has another customer"),
        else_="several users match",
    )
    living = select(remote.c.customer).where(scope.seen, remote.c.status.not_in(ENDED))
    unlinked = ~select(1).select_from(users).where(users.c.stripe_customer_id == c.id).exists()  # somebody may have linked it meanwhile
    open_ = and_(c.id.in_(living), unlinked, or_(c.deleted, c.id.not_in(planned)))
    asked = _reported(c.id, why).where(c.scan_id == scope.scan_id, open_)
    wanted = select(remote.c.customer).where(scope.seen, remote.c.id.in_(on_side(scope, REMOTE)))
    linked = select(users.c.stripe_customer_id.label("customer")).where(users.c.stripe_customer_id.in_(wanted))
    missing = linked.group_by(users.c.stripe_customer_id).having(func.count() > 1).subquery()
    both = union_all(asked, _reported(missing.c.customer, literal("several users are linked"))).subquery()
    return select(*both.c).order_by(both.c.key)


def _reported(customer: ColumnElement[Any], why: ColumnElement[Any]) -> Select[Any]:
    before = json_record("customer", customer, "why", why)
    nobody = cast(null(), users.c.id.type)
    return select(
        customer.label("key"),
        cast(null(), Text).label("subscription"),
        nobody.label("user_id"),
        before.label("before"),
        cast(null(), Json).label("after"),
    )
