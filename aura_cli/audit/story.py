"""What happened to one person, moment by moment: the shape in which every room tells it, and what the operator log tells."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from aura_cli.audit.tables import operator_log
from aura_cli.db.shared import audit_logs
from aura_cli.db.types import among

MOST = 200  # moments that one source tells, the newest


@dataclass(frozen=True)
class Whom:
    """Whose story it is: our users' ids (several where one person has several rows), customers at Stripe, mail addresses in lower case."""

    users: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moment:
    """One thing that happened; `key` is the id of what it happened to. `broken`: it went wrong, and stands so."""

    at: datetime
    source: str  # app, privy, stripe, webhooks, grants, mail, connections, operator
    what: str
    detail: str = ""
    key: str = ""
    broken: bool = False


def story(connection: Connection, whom: Whom) -> Iterator[Moment]:
    """What operators did to somebody, and what the customer's own log shows."""
    o, a = operator_log.c, audit_logs.c
    done = select(o.at, o.what, o.operator, o.key).where(among(o.user_id, whom.users)).order_by(o.id.desc()).limit(MOST)
    for at, what, operator, key in connection.execute(done):
        yield Moment(at, "operator", what, f"by {operator}", key)
    shown = select(a.created_at, a.action, a.description, a.status).where(among(a.user_id, whom.users))
    for at, action, description, status in connection.execute(shown.order_by(a.created_at.desc()).limit(MOST)):
        yield Moment(at, "app", action.replace("_", " "), description if status == "success" else f"{description} ({status})")
