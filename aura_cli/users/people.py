"""Looking at people: lists that are streamed, and one person in full."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, or_, select

from aura_cli.console import described
from aura_cli.db.engine import reading
from aura_cli.db.shared import subscriptions, users
from aura_cli.users.tables import privy_users
from aura_cli.users.who import resolve

ROWS_AT_ONCE = 1_000
NEUTRAL = ("id", "privy_user_id", "stripe_customer_id", "created_at", "updated_at", "missing_since")
PERSONAL = ("email", "verified_email", "name", "avatar_url")


@dataclass(frozen=True, slots=True)
class User:
    """A row of `users` with what Privy says beside it. `missing_since`: gone at Privy, seen at that time."""

    id: str
    privy_user_id: str
    email: str | None
    name: str | None
    avatar_url: str | None
    stripe_customer_id: str | None
    created_at: datetime
    updated_at: datetime
    verified_email: str | None
    missing_since: datetime | None


@dataclass(frozen=True)
class Subscription:
    """The row that the web app takes as *the* subscription: the newest. `entitles`: it lets its owner in now."""

    id: str
    status: str
    price: str | None
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    created_at: datetime
    entitles: bool


@dataclass(frozen=True)
class Profile:
    """One person. `linked_accounts` are as Privy gave them; `subscriptions` is how many rows there are."""

    user: User
    linked_accounts: Any
    subscription: Subscription | None
    subscriptions: int


@dataclass(frozen=True)
class Filter:
    """Which people: `search` is a part of an e-mail address, name or id, in any case."""

    missing: bool = False
    search: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [privy_users.c.missing_since.is_not(None)] if self.missing else []
        if self.search:
            places = (users.c.email, users.c.name, users.c.privy_user_id, users.c.stripe_customer_id)
            found.append(or_(*(place.icontains(self.search, autoescape=True) for place in places)))
        return found


EVERYBODY = Filter()
_ROWS = users.outerjoin(privy_users, privy_users.c.privy_user_id == users.c.privy_user_id)


def _select() -> Select[Any]:
    own = [users.c[name] for name in User.__dataclass_fields__ if name in users.c]
    return select(*own, privy_users.c.verified_email, privy_users.c.missing_since).select_from(_ROWS)


def everybody(engine: Engine, chosen: Filter = EVERYBODY, limit: int | None = None) -> Iterator[User]:
    """People, the newest first, streamed."""
    statement = _select().where(*chosen.conditions()).order_by(users.c.created_at.desc(), users.c.id).limit(limit)
    with reading(engine) as connection:
        for row in connection.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE}):
            yield User(*row)


def count(engine: Engine, chosen: Filter = EVERYBODY) -> int:
    """How many `everybody` would give."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(_ROWS).where(*chosen.conditions())).scalar_one()


def profile(connection: Connection, who: str, now: datetime) -> Profile:
    """One person in full. Raises as `who.resolve` does."""
    person = resolve(connection, who)
    user = User(*connection.execute(_select().where(users.c.id == person.id)).one())
    accounts = select(privy_users.c.linked_accounts).where(privy_users.c.privy_user_id == person.privy_user_id)
    rows = connection.execute(select(subscriptions).where(subscriptions.c.user_id == person.id).order_by(subscriptions.c.created_at)).all()
    return Profile(user, connection.execute(accounts).scalar(), _subscription(rows[-1], now) if rows else None, len(rows))


def _subscription(row: Any, now: datetime) -> Subscription:
    on_trial = row.status == "trialing" and row.trial_end is not None and row.trial_end > now
    return Subscription(
        row.stripe_subscription_id,
        row.status,
        row.stripe_price_id,
        row.current_period_end,
        row.trial_end,
        bool(row.cancel_at_period_end),
        row.created_at,
        entitles=row.status == "active" or on_trial,
    )


def known_as(connection: Connection, did: str) -> str | None:
    """Our id of a DID, where it is known."""
    return connection.execute(select(users.c.id).where(users.c.privy_user_id == did)).scalar()


def lines(found: Profile) -> Iterator[str]:
    """A profile as a person reads it."""
    accounts = found.linked_accounts if isinstance(found.linked_accounts, list) else []
    kinds = ", ".join(str(account.get("type")) for account in accounts if isinstance(account, dict))
    subscription = {f"subscription {name}": value for name, value in asdict(found.subscription).items()} if found.subscription else {}
    return described({**asdict(found.user), "linked accounts": kinds, "subscriptions": found.subscriptions, **subscription})
