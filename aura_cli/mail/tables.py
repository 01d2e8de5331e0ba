"""Every mail that was asked for and what became of it, who gets none any more, and what Resend has told of."""

from sqlalchemy import Column, Index, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, UtcTime, utc_now

mails = Table(  # one row a mail to one recipient; when it is tried next stands in the outbox
    "mails",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("key", Text, nullable=False),  # template, recipient and business id: the idempotency key
    Column("template", Text, nullable=False),
    Column("user_id", Id),
    Column("address", Text),  # NULL: it was not known yet
    Column("data", Json, nullable=False),  # the template's variables
    Column("subject", Text),
    Column("state", Text, nullable=False, server_default="queued"),
    # queued, not_configured, suppressed, sent, delayed, delivered, bounced, complained, failed, expired
    Column("resend_id", Text),
    Column("error", Text),
    Column("batch", Text),  # one `send --to-all`
    Column("effect", Text),  # the key of the outbox row that it goes out with: its own, or of up to a hundred mails
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("first_try_at", UtcTime()),  # Resend knows the key for 24 hours from here on
    Column("sent_at", UtcTime()),
    Column("state_at", UtcTime(), server_default=utc_now(), nullable=False),
    Index("mails_key", "key", unique=True),
    Index("mails_resend", "resend_id"),
    Index("mails_user", "user_id"),
    Index("mails_created", "created_at"),
    Index("mails_batch", "batch"),
    schema=OPS,
)
suppressions = Table(  # addresses that get no mail
    "suppressions",
    METADATA,
    Column("address", Text, primary_key=True),  # in lower case
    Column("reason", Text, nullable=False),  # bounced, complained, manual, operator
    Column("since", UtcTime(), server_default=utc_now(), nullable=False),
    Column("mail", Id),
    schema=OPS,
)
resend_events = Table(  # what Resend's webhooks said, each once
    "resend_events",
    METADATA,
    Column("id", Text, primary_key=True),  # the header svix-id
    Column("type", Text, nullable=False),
    Column("created", UtcTime(), nullable=False),  # Resend's time
    Column("resend_id", Text),
    Column("received_at", UtcTime(), server_default=utc_now(), nullable=False),
    Index("resend_events_mail", "resend_id"),
    schema=OPS,
)
