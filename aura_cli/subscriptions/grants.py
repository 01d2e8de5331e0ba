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
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from aura_cli.audit.log import record
from aura_cli.db.engine import upsert
from aura_cli.db.shared import LARGEST, MONTHLY_ALLOCATION, subscriptions, token_balances, token_top_ups, users
from aura_cli.db.types import json_field, utc_now
from aura_cli.drift.kinds import field
from aura_cli.drift.tables import plan_rows
from aura_cli.errors import ConflictError, UsageError
from aura_cli.subscriptions.tables import grants

NO_ALLOCATION = 0  # in a balance row that no subscription came with: the first month is still owed


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
    _enter(connection, "initial", chosen)
    tokens = cast(field("after", "tokens"), Integer)
    rows = select(plan_rows.c.user_id, tokens, tokens, utc_now()).where(chosen)
    made = upsert(connection, token_balances).from_select(["user_id", "balance", "monthly_allocation", "last_reset_at"], rows)
    b, new = token_balances.c, made.excluded
    both = {"balance": b.balance + new.balance, "monthly_allocation": new.monthly_allocation, "last_reset_at": new.last_reset_at}
    owed = b.monthly_allocation == NO_ALLOCATION
    connection.execute(made.on_conflict_do_update(index_elements=["user_id"], set_={**both, "updated_at": utc_now()}, where=owed))


def book_renewal(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Reset each chosen user's balance to the monthly allocation, as the web app would have done when the renewal was paid.

    What was bought or given by hand since then stays: the customer paid for it after the reset that did not happen.
    """
    _enter(connection, "renewal", chosen)
    b, kept = token_balances.c, _kept(chosen)
    allocation = case((b.monthly_allocation > 0, b.monthly_allocation), else_=MONTHLY_ALLOCATION)
    balance = cast(allocation, BigInteger) + kept.c.tokens
    values = {"balance": case((balance > LARGEST, LARGEST), else_=balance), "monthly_allocation": allocation}
    moment = {"last_reset_at": utc_now(), "updated_at": utc_now()}
    connection.execute(token_balances.update().where(b.user_id == kept.c.user_id).values({**values, **moment}))


def _kept(chosen: ColumnElement[bool]) -> FromClause:
    """User and tokens: what each user of the chosen renewals bought or was given since the newest of them was billed."""
    billed_at = cast(field("after", "billed_at"), token_top_ups.c.created_at.type)
    since = select(plan_rows.c.user_id, func.max(billed_at).label("at")).where(chosen).group_by(plan_rows.c.user_id).subquery("since")
    t, g = token_top_ups.c, grants.c
    bought = select(t.user_id, t.tokens_added.label("tokens")).join(since, and_(t.user_id == since.c.user_id, t.created_at >= since.c.at))
    given = select(g.user_id, g.tokens).join(since, and_(g.user_id == since.c.user_id, g.granted_at >= since.c.at))
    parts = union_all(select(since.c.user_id, literal(0).label("tokens")), bought, given.where(g.kind == "operator")).subquery()
    return select(parts.c.user_id, func.sum(parts.c.tokens).label("tokens")).group_by(parts.c.user_id).subquery("kept")


def book_top_up(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Add each chosen session's tokens to its user's balance and write the web app's row about it."""
    _enter(connection, "topup", chosen)
    tokens = cast(field("after", "tokens"), Integer)
    sums = (
        select(plan_rows.c.user_id, func.sum(tokens), func.sum(tokens), literal(NO_ALLOCATION)).where(chosen).group_by(plan_rows.c.user_id)
    )
    added = upsert(connection, token_balances).from_select(["user_id", "balance", "total_purchased", "monthly_allocation"], sums)
    b = token_balances.c
    both = {name: b[name] + added.excluded[name] for name in ("balance", "total_purchased")}
    connection.execute(added.on_conflict_do_update(index_elements=["user_id"], set_={**both, "updated_at": utc_now()}))
    columns = ["user_id", "stripe_session_id", "tokens_added", "amount_paid", "package_id"]
    amount = cast(field("after", "amount"), Integer)
    rows: Select[Any] = select(plan_rows.c.user_id, plan_rows.c.key, tokens, amount, field("after", "package")).where(chosen)
    connection.execute(insert(token_top_ups).from_select(columns, rows))


def _enter(connection: Connection, kind: str, chosen: ColumnElement[bool]) -> None:
    """The ledger entries of the chosen plan rows."""
    tokens = cast(field("after", "tokens"), Integer)
    rows = select(field("after", "cause"), plan_rows.c.user_id, literal(kind), tokens, literal("reconcile")).where(chosen)
    connection.execute(insert(grants).from_select(["cause", "user_id", "kind", "tokens", "reason"], rows))
