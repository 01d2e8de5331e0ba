"""The webhook inbox: what arrived, what was done with it, which secret it was signed with, how far Stripe's list was read."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Json, Serial, UtcTime, utc_now

webhook_events = Table(  # one row an event id, whoever delivered it how often
    "webhook_events",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("created", BigInteger, nullable=False),  # Stripe's time, epoch seconds
    Column("api_version", Text),  # the shape that `payload` has
    Column("livemode", Boolean, nullable=False),
    Column("account", Text),  # of a connected account
    Column("object", Text),  # the id of what it is about
    Column("customer", Text),
    Column("thin", Boolean, nullable=False),
    Column("source", Text, nullable=False),  # label of the secret that matched; backfill; send
    Column("received_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("state", Text, nullable=False, server_default="received"),  # received, processing, done, failed, unmatched, dead
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcTime(), server_default=utc_now()),  # when to look at it: the next try, or the end of the lease; NULL: never
    Column("lease_owner", Text),
    Column("outcome", Text),  # applied, unchanged, stale, observed, ignored; of dead ones the error
    Column("finished_at", UtcTime()),
    Column("payload", LargeBinary, nullable=False),  # as it arrived, byte for byte; last: SQLite reads through what stands before
    schema=OPS,
)
Index(
    "webhook_events_due",
    webhook_events.c.due_at,
    postgresql_where=webhook_events.c.due_at.is_not(None),
    sqlite_where=webhook_events.c.due_at.is_not(None),
)
Index(
    "webhook_events_unmatched",
    webhook_events.c.customer,
    postgresql_where=webhook_events.c.state == "unmatched",
    sqlite_where=webhook_events.c.state == "unmatched",
)
Index(
    "webhook_events_dead",
    webhook_events.c.received_at,
    postgresql_where=webhook_events.c.state == "dead",
    sqlite_where=webhook_events.c.state == "dead",
)
Index("webhook_events_received", webhook_events.c.received_at)
Index("webhook_events_object", webhook_events.c.object)

webhook_attempts = Table(  # every time a worker handled an event: how it went, and which rows it changed
    "webhook_attempts",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("event", Text, nullable=False),
    Column("at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("outcome", Text, nullable=False),  # as above, or failed, unmatched, dead
    Column("note", Text),  # the error, or why nothing was done
    Column("changes", Json),  # [{"table", "key", "before", "after"}]
    Index("webhook_attempts_event", "event"),
    schema=OPS,
)
webhook_secrets = Table(  # when a signing secret was last needed: says when an old one can go
    "webhook_secrets",
    METADATA,
    Column("label", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("first_matched_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("last_matched_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("matched", BigInteger, nullable=False, server_default="0"),
    schema=OPS,
)
webhook_cursors = Table(  # how far a reading of Stripe's events came
    "webhook_cursors",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # epoch seconds up to which everything was stored
    Column("event", Text),  # the last event stored
    Column("moved_at", UtcTime(), server_default=utc_now(), nullable=False),
    schema=OPS,
)
