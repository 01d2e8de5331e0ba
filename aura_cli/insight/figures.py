"""Each day's figures, kept once a day, because what they were yesterday stands nowhere else."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, or_, select
from sqlalchemy.exc import DBAPIError

from aura_cli.db.engine import reading, upsert, writing
from aura_cli.db.shared import integrations, subscriptions, token_balances, users
from aura_cli.db.types import utc_now
from aura_cli.insight.tables import daily_figures
from aura_cli.integrations.tables import connections
from aura_cli.subscriptions.views import stats

KEPT_DAYS = 400
REVENUE = "revenue:"  # and the currency
UNSEEN = "unseen"  # how many subscriptions the revenue is without: they were never seen at Stripe


def measure(connection: Connection) -> dict[str, int]:
    """The figures as they are now, by name; revenue in each currency's smallest unit a month, of what was seen at Stripe."""
    now = _now(connection)
    s, b, c = subscriptions.c, token_balances.c, connections.c
    entitling = or_(s.status == "active", (s.status == "trialing") & (s.trial_end > now))
    held, used = connection.execute(select(func.sum(b.balance), func.sum(b.total_used))).one()
    broken = select(func.count()).select_from(connections).join(integrations, integrations.c.id == c.integration_id)
    known = stats(connection, now)
    return {
        "users": _count(connection, select(func.count()).select_from(users)),
        "subscriptions": _count(connection, select(func.count()).select_from(subscriptions).where(entitling)),
        **{f"{REVENUE}{one.currency}": one.monthly for one in known.revenue},
        UNSEEN: known.unseen,
        "tokens_left": int(held or 0),
        "tokens_used": int(used or 0),
        "connections": _count(connection, select(func.count()).select_from(integrations)),
        "connections_broken": _count(connection, broken.where(c.health.in_(("needs_consent", "unreadable", "failing")))),
    }


def keep(connection: Connection) -> bool:
    """Keep today's figures (UTC, by the database's clock) and forget those of over a year ago. False where today's were kept before."""
    now = _now(connection)
    d, today = daily_figures.c, _day(now)
    if connection.execute(select(d.day).where(d.day == today).limit(1)).first():
        return False
    found = measure(connection)
    half = bool(found.pop(UNSEEN))  # to compare with half a revenue would mislead for two weeks
    rows = [{"day": today, "name": name, "value": value} for name, value in found.items() if not (half and name.startswith(REVENUE))]
    connection.execute(upsert(connection, daily_figures).values(rows).on_conflict_do_nothing(index_elements=["day", "name"]))
    connection.execute(daily_figures.delete().where(d.day < _day(now - timedelta(days=KEPT_DAYS))))
    return True


def keep_where_possible(engine: Engine) -> bool:
    """The same in a transaction of its own; False, too, where the database takes no writes: to look at it needs none."""
    with reading(engine) as connection:
        if connection.execute(select(daily_figures.c.day).where(daily_figures.c.day == _day(_now(connection))).limit(1)).first():
            return False
    try:
        with writing(engine) as connection:
            return keep(connection)
    except DBAPIError:
        return False


def earlier(connection: Connection, now: datetime, days: int) -> dict[str, dict[str, int]]:
    """What was kept on the last `days` days before today: day → name → value."""
    d = daily_figures.c
    found: dict[str, dict[str, int]] = {}
    kept = select(d.day, d.name, d.value).where(d.day >= _day(now - timedelta(days=days)), d.day < _day(now)).order_by(d.day)
    for day, name, value in connection.execute(kept):
        found.setdefault(day, {})[name] = value
    return found


def days_before(now: datetime, days: int) -> list[str]:
    """The last `days` days before today, the oldest first, as they are kept."""
    return [_day(now - timedelta(days=number)) for number in range(days, 0, -1)]


def _count(connection: Connection, statement: object) -> int:
    return int(connection.execute(statement).scalar_one())  # type: ignore[call-overload]


def _now(connection: Connection) -> datetime:
    return connection.execute(select(utc_now())).scalar_one()


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
