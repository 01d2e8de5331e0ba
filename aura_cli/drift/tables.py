"""Scans with their windows and cursors, plans with their rows."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, Table, Text, false, true

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, UtcTime, new_id, utc_now

scans = Table(
    "scans",
    METADATA,
    Column("id", Id, primary_key=True, server_default=new_id()),
    Column("source", Text, nullable=False),  # privy_users, stripe_subscriptions, …
    Column("scope", Text, nullable=False, server_default=""),  # empty: all of it
    Column("parameters", Json),  # what a resumed scan must have in common with the begun one
    Column("counts", Json),
    Column("started_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("completed_at", UtcTime()),
    schema=OPS,
)
scan_windows = Table(
    "scan_windows",
    METADATA,
    Column("scan_id", Id, ForeignKey(f"{OPS}.scans.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("since", BigInteger),  # epoch seconds, inclusive; NULL: from the beginning
    Column("until", BigInteger),  # epoch seconds, exclusive; NULL: to the end
    Column("cursor", Text),
    Column("position", BigInteger),  # created of the last row that was stored
    Column("done", Boolean, nullable=False, server_default=false()),
    schema=OPS,
)
plans = Table(
    "plans",
    METADATA,
    Column("id", Id, primary_key=True, server_default=new_id()),
    Column("command", Text, nullable=False),
    Column("scan_id", Id, nullable=False),
    Column("complete", Boolean, nullable=False, server_default=true()),
    Column("rows_here", BigInteger, nullable=False),  # what --max-changes is a share of
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("applied_at", UtcTime()),
    schema=OPS,
)
plan_rows = Table(
    "plan_rows",
    METADATA,
    Column("plan_id", Id, ForeignKey(f"{OPS}.plans.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),  # what finds the row: a subscription's, customer's, session's or invoice's id
    Column("subscription", Text),
    Column("user_id", Id),
    Column("before", Json),
    Column("after", Json),
    Column("state", Text, nullable=False, server_default="pending"),  # pending, applied, skipped, reported
    schema=OPS,
)
