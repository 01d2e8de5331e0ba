"""Somebody's money: what Stripe's subscriptions went through, as it was seen here, and every token that was granted."""

from collections.abc import Iterator

from sqlalchemy import Connection, or_, select

from aura_cli.audit.story import MOST, Moment, Whom
from aura_cli.db.shared import subscriptions, token_top_ups
from aura_cli.db.types import among
from aura_cli.subscriptions.stripe import time_of
from aura_cli.subscriptions.tables import grants, subscription_states


def story(connection: Connection, whom: Whom) -> Iterator[Moment]:
    """States of subscriptions when they were first seen so, grants, and top-ups that the web app booked."""
    s = subscription_states.c
    theirs = select(subscriptions.c.stripe_subscription_id).where(among(subscriptions.c.user_id, whom.users))
    states = select(s.subscription, s.status, s.as_of, s.seen_at, s.price).where(
        or_(among(s.customer, whom.customers), s.subscription.in_(theirs))
    )
    for subscription, status, as_of, seen_at, price in connection.execute(states.order_by(s.id.desc()).limit(MOST)):
        yield Moment(
            time_of(as_of) if as_of else seen_at,
            "stripe",
            f"subscription seen {status}",
            f"{subscription} {price or ''}".rstrip(),
            subscription,
        )
    g, booked = grants.c, set[str]()
    ledger = select(g.cause, g.kind, g.tokens, g.reason, g.granted_at).where(among(g.user_id, whom.users))
    for cause, kind, tokens, reason, at in connection.execute(ledger.order_by(g.id.desc()).limit(MOST)):
        booked.add(cause)
        yield Moment(at, "grants", f"{kind} {tokens:+,} tokens", f"for {cause}" + (f" ({reason})" if kind == "operator" else ""), cause)
    t = token_top_ups.c
    bought = select(t.stripe_session_id, t.tokens_added, t.created_at).where(among(t.user_id, whom.users))
    for session, tokens, at in connection.execute(bought.order_by(t.created_at.desc()).limit(MOST)):
        if f"session:{session}" not in booked:
            yield Moment(at, "grants", f"topup {tokens:+,} tokens", f"for {session}, booked by the web app", session or "")
