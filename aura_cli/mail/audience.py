"""To whom a mail goes: one address, one person, or all whom a QUERY describes.

A QUERY is `everybody`, or conditions with commas between, all of which hold: `subscription=active` (of *the* subscription, as the web
app sees it; `none`: there is none), `price=price_…`, `connected=slack`, `joined-after=2026-01-01`, `joined-before=…`, `search=TEXT` (a
part of an e-mail address or name).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from sqlalchemy import ColumnElement, Connection, func, or_, select

from aura_cli.db.shared import integrations, subscription_status, subscriptions, users
from aura_cli.errors import UsageError

EVERYBODY = "everybody"
_FORMS = "everybody, or of subscription=active, price=price_…, connected=slack, joined-after=2026-01-01, joined-before=…, search=TEXT"


@dataclass(frozen=True)
class Recipient:
    """Who gets a mail, and what they are called where that is known."""

    address: str
    user_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Audience:
    """All whom a QUERY describes and who have an address, in the order in which they joined; how many have none."""

    recipients: tuple[Recipient, ...]
    without_address: int


_newest = select(
    subscriptions.c.user_id,
    subscriptions.c.status,
    subscriptions.c.stripe_price_id,
    func.row_number().over(partition_by=subscriptions.c.user_id, order_by=subscriptions.c.created_at.desc()).label("age"),
).subquery("newest")


def audience(connection: Connection, query: str) -> Audience:
    """Everybody whom `query` describes. Raises UsageError for what is none."""
    joined = users.outerjoin(_newest, (_newest.c.user_id == users.c.id) & (_newest.c.age == 1))
    statement = select(users.c.email, users.c.id, users.c.name).select_from(joined).order_by(users.c.created_at, users.c.id)
    rows = connection.execute(statement.where(*_conditions(query))).all()
    found = tuple(Recipient(address.strip(), identifier, name) for address, identifier, name in rows if address and address.strip())
    return Audience(found, len(rows) - len(found))


def _conditions(query: str) -> list[ColumnElement[bool]]:
    if query.strip() == EVERYBODY:
        return []
    return [_condition(part) for part in query.split(",")]


def _condition(part: str) -> ColumnElement[bool]:
    name, _, value = (text.strip() for text in part.partition("="))
    if name not in _CONDITIONS or not value:
        raise UsageError(f"{part.strip()!a} is no condition of a QUERY", f"A QUERY is {_FORMS}, with commas between")
    return _CONDITIONS[name](value)


def _subscription(value: str) -> ColumnElement[bool]:
    if value == "none":
        return _newest.c.status.is_(None)
    if value not in subscription_status.enums:
        raise UsageError(f"There is no subscription status {value!a}", f"There are {', '.join(subscription_status.enums)}, none")
    return _newest.c.status == value


def _connected(value: str) -> ColumnElement[bool]:
    return users.c.id.in_(select(integrations.c.user_id).where(integrations.c.provider == value))


def _search(value: str) -> ColumnElement[bool]:
    return or_(users.c.email.icontains(value, autoescape=True), users.c.name.icontains(value, autoescape=True))


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UsageError(f"{value!a} is no date", "Such as 2026-01-01, or 2026-01-01T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_CONDITIONS: Mapping[str, Callable[[str], ColumnElement[bool]]] = MappingProxyType(
    {
        "subscription": _subscription,
        "price": lambda value: _newest.c.stripe_price_id == value,
        "connected": _connected,
        "joined-after": lambda value: users.c.created_at >= _moment(value),
        "joined-before": lambda value: users.c.created_at < _moment(value),
        "search": _search,
    }
)
