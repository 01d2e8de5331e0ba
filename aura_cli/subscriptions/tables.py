"""Stripe's side of the money: what was seen, how customers belong to users, what was granted, and scans' staging."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, true

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Serial, UtcTime, utc_now


def _facts() -> list[Column[Any]]:
    """A subscription as Stripe has it; times in epoch seconds, `amount` in the currency's smallest unit an interval."""
    return [
        Column("customer", Text, nullable=False),
        Column("status", Text, nullable=False),  # one of Stripe's eight, or one that we do not know yet
        Column("price", Text),
        Column("period_start", BigInteger),
        Column("period_end", BigInteger),
        Column("trial_end", BigInteger),
        Column("cancel_at_period_end", Boolean, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("currency", Text),
        Column("amount", BigInteger),
        Column("interval", Text),
        Column("interval_count", Integer),
    ]


FACTS = [column.name for column in _facts()]

staged_subscriptions = Table(
    "staged_subscriptions", METADATA, Column("scan_id", Id, primary_key=True), Column("id", Text, primary_key=True), *_facts(), schema=OPS
)
staged_sessions = Table(  # paid checkouts for tokens
    "staged_sessions",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("customer", Text),
    Column("user_reference", Text),  # metadata.user_id, where it is a uuid
    Column("tokens", Integer, nullable=False),  # 0: what was sold cannot be read
    Column("amount", Integer, nullable=False),
    Column("package", Text),
    Column("created", BigInteger, nullable=False),
    schema=OPS,
)
staged_customers = Table(  # customers that nobody here is known by
    "staged_customers",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("deleted", Boolean, nullable=False),
    Column("email", Text),
    Column("user_reference", Text),  # metadata.userId, where it is a uuid
    Column("privy_reference", Text),  # metadata.privyUserId
    schema=OPS,
)
staged_invoices = Table(  # newest paid cycle invoice of a subscription whose balance looks old
    "staged_invoices",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("subscription", Text, primary_key=True),
    Column("id", Text),  # NULL: there is none
    Column("created", BigInteger),
    schema=OPS,
)
staged_differences = Table(  # what one comparison of both sides found to look at
    "staged_differences",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("subscription", Text, primary_key=True),  # or a user, where side is crowd
    Column("side", Text, nullable=False),  # remote: only at Stripe, local: only here, crowd: has several, else the kinds of drift
    schema=OPS,
)
staged_absences = Table(  # rows here whose subscription a GET looked for; `absent` where Stripe said 404
    "staged_absences",
    METADATA,
    Column("scan_id", Id, primary_key=True),
    Column("subscription", Text, primary_key=True),
    Column("absent", Boolean, nullable=False),
    schema=OPS,
)
STAGING = (staged_subscriptions, staged_sessions, staged_customers, staged_invoices, staged_differences, staged_absences)

subscription_states = Table(  # appended on change; `current` marks the newest of each subscription
    "subscription_states",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("subscription", Text, nullable=False),
    *_facts(),
    Column("seen_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("current", Boolean, server_default=true(), nullable=False),
    Column("as_of", BigInteger),  # epoch seconds at which Stripe's side was so: an event's time, or ours when we asked
    schema=OPS,
)
Index(
    "subscription_states_current",
    subscription_states.c.subscription,
    unique=True,
    postgresql_where=subscription_states.c.current,
    sqlite_where=subscription_states.c.current,
)
customer_links = Table(  # found fast here, believed only where users.stripe_customer_id of that row agrees or is empty
    "customer_links",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("linked_at", UtcTime(), server_default=utc_now(), nullable=False),
    schema=OPS,
)
grants = Table(
    "grants",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("cause", Text, nullable=False, unique=True),  # subscription:sub_…, invoice:in_…, session:cs_…, operator:…
    Column("user_id", Id, nullable=False),
    Column("kind", Text, nullable=False),  # initial, renewal, topup, operator
    Column("tokens", Integer, nullable=False),
    Column("reason", Text),
    Column("granted_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("caused_at", UtcTime()),  # Stripe's time of the cause: balances move as if causes had come in its order
    Index("grants_user", "user_id"),
    schema=OPS,
)
billing_owners = Table(  # who grants for what happened at Stripe from `since` (epoch seconds) on
    "billing_owners",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("owner", Text, nullable=False),  # web, aura
    Column("since", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    schema=OPS,
)
