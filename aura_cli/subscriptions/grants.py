"""Token balances and the ledger of what was granted for which cause: each cause once, whoever asks how often.

Causes: `subscription:sub_…` (first month), `invoice:in_…` (renewal), `session:cs_…` (top-up), `operator:…` (by hand).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)

from aura_cli.audit.log import record
from aura_cli.db.engine import upsert
from aura_cli.db.shared import LARGEST, subscriptions, token_balances, token_top_ups, users
from aura_cli.db.types import UtcTime, json_field, utc_now
from aura_cli.drift.kinds import field
from aura_cli.drift.tables import plan_rows
from aura_cli.errors import ConflictError, UsageError
from aura_cli.subscriptions import booking
from aura_cli.subscriptions.booking import NO_ALLOCATION
from aura_cli.subscriptions.keeping import hold_users
from aura_cli.subscriptions.tables import grants

RECONCILE = "reconcile"  # the reason of what a plan grants


@dataclass(frozen=True)
class Grant:
    """One entry of the ledger."""

    cause: str
    kind: str
    tokens: int
    reason: str | None
    granted_at: datetime


@dataclass(frozen=True)
class Balance:
    """A user's balance as the web app stores it (None where there is no row), and the ledger, newest first."""

    user: str
    balance: int | None
    monthly_allocation: int | None
    total_used: int | None
    total_purchased: int | None
    last_reset_at: datetime | None
    grants: tuple[Grant, ...]


def balance(connection: Connection, user: str) -> Balance:
    """The balance of the user with this uuid."""
    b, g = token_balances.c, grants.c
    row = connection.execute(
        select(b.balance, b.monthly_allocation, b.total_used, b.total_purchased, b.last_reset_at).where(b.user_id == user)
    ).one_or_none()
    entries = connection.execute(
        select(g.cause, g.kind, g.tokens, g.reason, g.granted_at).where(g.user_id == user).order_by(g.id.desc()).limit(50)
    )
    values = row._asdict() if row else dict.fromkeys(("balance", "monthly_allocation", "total_used", "total_purchased", "last_reset_at"))
    return Balance(user, grants=tuple(Grant(*entry) for entry in entries), **values)


def grant(connection: Connection, user: str, tokens: int, *, cause: str, reason: str, operator: str) -> None:
    """Add `tokens` to a user's balance by hand, once for `cause`, in the caller's transaction.

    Raises UsageError for a number that is not positive or would not fit, ConflictError where `cause` was granted before.
    """
    if not 0 < tokens <= LARGEST:
        raise UsageError(f"{tokens:,} tokens cannot be granted", f"Give a number from 1 to {LARGEST:,}")
    hold_users(connection, [user])  # a renewal at the same moment waits, and keeps it
    row = upsert(connection, token_balances).values(user_id=user, balance=0, monthly_allocation=NO_ALLOCATION)
    connection.execute(row.on_conflict_do_nothing(index_elements=["user_id"]))
    b = token_balances.c
    held = connection.execute(select(b.balance).where(b.user_id == user).with_for_update()).scalar_one()
    if held + tokens > LARGEST:
        raise UsageError(f"{tokens:,} tokens on top of {held:,} would not fit the balance", f"It holds at most {LARGEST:,}")
    entry = upsert(connection, grants).values(cause=cause, user_id=user, kind="operator", tokens=tokens, reason=reason)
    if connection.execute(entry.on_conflict_do_nothing(index_elements=["cause"]).returning(grants.c.id)).first() is None:
        raise ConflictError(f"{cause} was granted before", "Nothing was changed")
    connection.execute(token_balances.update().where(b.user_id == user).values(balance=b.balance + tokens, updated_at=utc_now()))
    record(connection, operator, "balance.grant", cause, user_id=user, details={"tokens": tokens, "before": held})


def ungranted() -> ColumnElement[bool]:
    """Over plan_rows: the cause stands in no ledger entry, and the user exists."""
    unknown = ~select(1).select_from(grants).where(grants.c.cause == field("after", "cause")).exists()
    return and_(unknown, select(1).select_from(users).where(users.c.id == plan_rows.c.user_id).exists())


def balance_is_absent() -> ColumnElement[bool]:
    """Over plan_rows: the subscription is the user's, who has no balance row with an allocation; the cause was never granted; it fits."""
    b, s = token_balances.c, subscriptions.c
    theirs = select(1).select_from(subscriptions)
    theirs = theirs.where(s.stripe_subscription_id == plan_rows.c.subscription, s.user_id == plan_rows.c.user_id)
    full = b.balance > literal(LARGEST) - cast(field("after", "tokens"), Integer)
    row = select(1).select_from(token_balances).where(b.user_id == plan_rows.c.user_id, or_(b.monthly_allocation != NO_ALLOCATION, full))
    return and_(ungranted(), theirs.exists(), ~row.exists())


def reset_is_as_before() -> ColumnElement[bool]:
    """Over plan_rows: nobody reset the balance since the plan was made, and the cause was never granted."""
    b = token_balances.c
    before = cast(field("before", "last_reset_at"), b.last_reset_at.type)
    same = select(1).select_from(token_balances).where(b.user_id == plan_rows.c.user_id, b.last_reset_at.is_not_distinct_from(before))
    return and_(ungranted(), same.exists())


def top_up_is_absent() -> ColumnElement[bool]:
    """Over plan_rows: the session has no top-up row, its cause was never granted, and the balance can hold all that is pending.

    Where only the customer says whose it is, that link still holds.
    """
    booked = select(1).select_from(token_top_ups).where(token_top_ups.c.stripe_session_id == plan_rows.c.key)
    customer = field("after", "customer")
    theirs = select(1).select_from(users).where(users.c.id == plan_rows.c.user_id, users.c.stripe_customer_id == customer)
    owned = or_(customer.is_(None), theirs.exists())
    return and_(ungranted(), owned, ~booked.exists(), tuple_(plan_rows.c.plan_id, plan_rows.c.user_id).not_in(_overflowing()))


def _overflowing() -> Select[Any]:
    """Plan and user of pending top-ups that would, together, not fit the user's balance."""
    row, b = plan_rows.alias("top_up"), token_balances.c
    tokens = cast(json_field(row.c.after, literal_column("'tokens'")), BigInteger)
    held = case((b.balance > b.total_purchased, b.balance), else_=b.total_purchased)
    pending = select(row.c.plan_id, row.c.user_id).select_from(row.outerjoin(token_balances, b.user_id == row.c.user_id))
    pending = pending.where(row.c.kind == "topup_missing", row.c.state == "pending", row.c.user_id.is_not(None))
    grouped = pending.group_by(row.c.plan_id, row.c.user_id, b.balance, b.total_purchased)
    return grouped.having(func.coalesce(held, 0) + func.sum(tokens) > LARGEST)


def book_first_month(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Give each chosen user what an active subscription comes with; a row that somebody else gives one meanwhile stays as it is."""
    booking.book_first_month(connection, _due(chosen, cast(null(), UtcTime())), RECONCILE, timed=False)


def book_renewal(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Reset each chosen user's balance to the monthly allocation, as the web app would have done when the renewal was paid."""
    booking.book_renewal(connection, _due(chosen, cast(field("after", "billed_at"), UtcTime())), RECONCILE)


def book_top_up(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Add each chosen session's tokens to its user's balance and write the web app's row about it."""
    sold = (
        plan_rows.c.key.label("session"),
        cast(field("after", "amount"), Integer).label("amount"),
        field("after", "package").label("package"),
    )
    booking.book_top_up(connection, _due(chosen, cast(null(), UtcTime())).add_columns(*sold), RECONCILE)


def _due(chosen: ColumnElement[bool], caused_at: ColumnElement[Any]) -> Select[Any]:
    """The chosen plan rows as `booking` takes them."""
    tokens = cast(field("after", "tokens"), Integer).label("tokens")
    return select(field("after", "cause").label("cause"), plan_rows.c.user_id, tokens, caused_at.label("caused_at")).where(chosen)
