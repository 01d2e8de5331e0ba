"""What the assistant is told of the person whom a session is about: plan and connections. No name, no address, no key, no id."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, select

from aura_cli.console import brief
from aura_cli.db.shared import integrations, token_balances
from aura_cli.integrations.tables import connections
from aura_cli.users.people import Subscription, profile

CONNECTIONS_TOLD = 70


def about(connection: Connection, user_id: str, now: datetime) -> str:
    """Lines for a system prompt, as the database has it now. Raises NotFoundError for somebody who is gone."""
    return "\n".join(("The conversation is about one customer.", *_lines(connection, user_id, now)))


def _lines(connection: Connection, user_id: str, now: datetime) -> Iterator[str]:
    found = profile(connection, user_id, now)
    yield f"Plan: {_plan(found.subscription)}"
    balance = connection.execute(select(token_balances.c.balance).where(token_balances.c.user_id == user_id)).scalar()
    if balance is not None:
        yield f"Token balance: {balance:,}"
    joined = integrations.outerjoin(connections, connections.c.integration_id == integrations.c.id)
    wanted = select(integrations.c.provider, connections.c.health).select_from(joined).where(integrations.c.user_id == user_id)
    rows = connection.execute(wanted.order_by(integrations.c.provider).limit(CONNECTIONS_TOLD)).all()
    told = (row.provider if row.health in (None, "ok") else f"{row.provider} ({row.health.replace('_', ' ')})" for row in rows)
    yield f"Connected integrations: {', '.join(told) or 'none'}"


def _plan(subscription: Subscription | None) -> str:
    if subscription is None:
        return "no subscription"
    facts = [subscription.status, f"price {subscription.price}" if subscription.price else ""]
    if subscription.status == "trialing" and subscription.trial_end:
        facts.append(f"trial until {brief(subscription.trial_end)}")
    elif subscription.current_period_end:
        facts.append(f"paid until {brief(subscription.current_period_end)}")
    facts.append("cancelled at the period's end" if subscription.cancel_at_period_end else "")
    facts.append("" if subscription.entitles else "gives no access")
    return ", ".join(fact for fact in facts if fact)
