"""Somebody's connections: made, renewed, in trouble, asked for by a link."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from aura_cli.audit.story import MOST, Moment, Whom
from aura_cli.db.shared import integrations
from aura_cli.db.types import among
from aura_cli.integrations.tables import connect_links, connections


def story(connection: Connection, whom: Whom) -> Iterator[Moment]:
    """What the rows and what is known beside them tell; no token is looked at."""
    i, c, k = integrations.c, connections.c, connect_links.c
    rows = integrations.outerjoin(connections, c.integration_id == i.id)
    found = select(i.id, i.provider, i.connected_at, c.label, c.health, c.since, c.error, c.refreshed_at).select_from(rows)
    for row in connection.execute(found.where(among(i.user_id, whom.users)).order_by(i.created_at.desc()).limit(MOST)):
        if row.connected_at:
            yield Moment(row.connected_at, "connections", f"{row.provider} connected", row.label or "", row.id)
        if row.refreshed_at:
            yield Moment(row.refreshed_at, "connections", f"{row.provider} renewed", "", row.id)
        if row.health not in (None, "ok"):
            yield Moment(row.since, "connections", f"{row.provider} {row.health.replace('_', ' ')}", row.error or "", row.id, broken=True)
    links = select(k.provider, k.status, k.result, k.created_at, k.operator).where(among(k.user_id, whom.users))
    for provider, status, result, at, operator in connection.execute(links.order_by(k.created_at.desc()).limit(MOST)):
        yield Moment(at, "connections", f"{provider} link {status}", result or f"made by {operator}", provider)
