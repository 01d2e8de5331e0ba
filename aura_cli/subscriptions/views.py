"""Subscriptions as a person wants to see them: listed, one by one, counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, Text, and_, case, cast, func, or_, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import subscriptions as local
from aura_cli.db.shared import users
from aura_cli.subscriptions.tables import subscription_states as states

# How many decimals a currency's smallest unit has, where not two (Stripe, "Supported currencies")
DECIMALS = dict.fromkeys("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(), 0) | dict.fromkeys(
    "bhd jod kwd omr tnd".split(), 3
)
MONTHS = {"day": 30.0, "week": 30.0 / 7, "month": 1.0, "year": 1 / 12}  # interval → how often a month it is paid


@dataclass(frozen=True)
class SubscriptionRow:
    """A row of the shared table beside what Stripe said last. `status` is the web app's, `stripe_status` the exact one."""

    subscription: str
    user: str
    email: str | None
    status: str
    stripe_status: str | None
    price: str | None
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool | None
    customer: str | None
    created_at: datetime


@dataclass(frozen=True)
class Revenue:
    """Monthly recurring revenue in one currency, in its smallest unit, of what is active or past due."""

    currency: str
    monthly: int
    subscriptions: int

    @property
    def shown(self) -> str:
        """The amount with the currency's decimals."""
        decimals = DECIMALS.get(self.currency, 2)
        return f"{self.monthly / 10**decimals:,.{decimals}f}"


@dataclass(frozen=True)
class Ending:
    """Trials that end within a day, counted from today (UTC)."""

    day: str
    trials: int


@dataclass(frozen=True)
class Stats:
    """`by_status` counts the web app's rows, `by_stripe_status` Stripe's exact ones as last seen.

    `unseen`: rows of paying subscriptions that were never looked at in Stripe; what they bring is not in `revenue`.
    """

    by_status: dict[str, int]
    by_stripe_status: dict[str, int]
    revenue: list[Revenue]
    unseen: int
    trials_ending: list[Ending]
    seen_at: datetime | None


def rows(engine: Engine, *, status: str | None = None, user: str | None = None, limit: int | None = None) -> Iterator[SubscriptionRow]:
    """Subscriptions, newest first, streamed; `status` is what the web app or Stripe says."""
    statement = _filtered(_rows(), status, user).order_by(local.c.created_at.desc(), local.c.id).limit(limit)
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=1_000).execute(statement):
            yield SubscriptionRow(*row)


def count(engine: Engine, *, status: str | None = None, user: str | None = None) -> int:
    """How many `rows` there are."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(_filtered(_rows(), status, user).subquery())).scalar_one()


def stats(connection: Connection, now: datetime) -> Stats:
    """Counts, revenue and the trials of the next fourteen days."""
    status = cast(local.c.status, Text)
    by_status = connection.execute(select(status, func.count()).group_by(status).order_by(status))
    exact = select(states.c.status, func.count()).where(states.c.current).group_by(states.c.status).order_by(states.c.status)
    return Stats(
        dict(by_status.all()),
        dict(connection.execute(exact).all()),
        _revenue(connection),
        _unseen(connection),
        _trials(connection, now),
        connection.execute(select(func.max(states.c.seen_at))).scalar(),
    )


def _rows() -> Select[Any]:
    state = and_(states.c.subscription == local.c.stripe_subscription_id, states.c.current)
    columns = (
        local.c.stripe_subscription_id,
        local.c.user_id,
        users.c.email,
        local.c.status,
        states.c.status,
        local.c.stripe_price_id,
        local.c.current_period_start,
        local.c.current_period_end,
        local.c.trial_end,
        local.c.cancel_at_period_end,
        func.coalesce(states.c.customer, users.c.stripe_customer_id),
        local.c.created_at,
    )
    return select(*columns).select_from(local.join(users, users.c.id == local.c.user_id).outerjoin(states, state))


def _filtered(statement: Select[Any], status: str | None, user: str | None) -> Select[Any]:
    if status:
        statement = statement.where(or_(cast(local.c.status, Text) == status, states.c.status == status))
    return statement.where(local.c.user_id == user) if user else statement


def _unseen(connection: Connection) -> int:
    seen = select(1).where(states.c.subscription == local.c.stripe_subscription_id, states.c.current).exists()
    paying = cast(local.c.status, Text).in_(("active", "past_due"))
    return connection.execute(select(func.count()).select_from(local).where(paying, ~seen)).scalar_one()


def _revenue(connection: Connection) -> list[Revenue]:
    per_month = case(MONTHS, value=states.c.interval, else_=0.0) / func.coalesce(states.c.interval_count, 1)
    monthly = func.sum(states.c.amount * per_month)
    paying = and_(states.c.current, states.c.status.in_(("active", "past_due")), states.c.currency.is_not(None))
    found = select(states.c.currency, monthly, func.count()).where(paying).group_by(states.c.currency).order_by(monthly.desc())
    return [Revenue(currency, round(float(amount or 0)), number) for currency, amount, number in connection.execute(found)]


def _trials(connection: Connection, now: datetime, days: int = 14) -> list[Ending]:
    first = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = select(local.c.trial_end).where(
        cast(local.c.status, Text) == "trialing", local.c.trial_end >= now, local.c.trial_end < first + timedelta(days=days)
    )
    counted = [0] * days
    for (end,) in connection.execute(ends):
        counted[(end - first).days] += 1
    return [Ending((first + timedelta(days=day)).date().isoformat(), number) for day, number in enumerate(counted)]
