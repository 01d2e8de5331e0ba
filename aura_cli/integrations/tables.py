"""What the web app's `integrations` rows do not say: how healthy a connection is, who refreshes it, links and revocations under way."""

from sqlalchemy import Column, Index, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Id, Json, Serial, TextList, UtcTime, utc_now

connections = Table(  # one row an `integrations` row that was looked at; found by (user_id, provider), then checked there
    "connections",
    METADATA,
    Column("integration_id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("provider", Text, nullable=False),  # the web app's value
    Column("method", Text),  # consent, credentials; NULL: as the catalogue's kind says
    Column("account", Text),  # the provider's own, unchanging id of the account
    Column("label", Text),  # what a person knows the account by
    Column("name", Text),  # `--as`
    Column("health", Text, nullable=False, server_default="ok"),  # ok, failing, needs_consent, unreadable
    Column("since", UtcTime(), server_default=utc_now(), nullable=False),  # of this health
    Column("failure", Text),  # class of the last failure: transient, needs_consent, client_misconfigured, provider_down
    Column("error", Text),  # what was said, without any secret
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("next_try_at", UtcTime()),  # the cool-down's end
    Column("definition", Text),  # digest of the provider's file as it was tried with; another one ends the cool-down
    Column("intent", Text),  # digest of the refresh token that is being sent; what a power cut leaves
    Column("intent_at", UtcTime()),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcTime()),
    Column("refreshed_at", UtcTime()),
    Column("refresh_expires_at", UtcTime()),  # of the refresh token, where known
    Column("verified_at", UtcTime()),
    Index("connections_user", "user_id", "provider"),
    schema=OPS,
)
provider_states = Table(  # a provider whose app or service is at fault: stopped for everybody until then
    "provider_states",
    METADATA,
    Column("provider", Text, primary_key=True),
    Column("failure", Text, nullable=False),
    Column("error", Text),
    Column("alike", Integer, nullable=False, server_default="1"),  # failures in a row, of whichever connections
    Column("since", UtcTime(), server_default=utc_now(), nullable=False),
    Column("stopped_until", UtcTime()),
    Column("definition", Text),
    schema=OPS,
)
connect_links = Table(  # `connect --link`: used once, by whoever holds the address
    "connect_links",
    METADATA,
    Column("digest", Text, primary_key=True),  # SHA-256 of the address' token
    Column("provider", Text, nullable=False),  # the catalogue's id
    Column("user_id", Id, nullable=False),
    Column("request", Json, nullable=False),  # scopes, fields, name: no secret
    Column("operator", Text, nullable=False),
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("expires_at", UtcTime(), nullable=False),
    Column("state", Text, unique=True),  # SHA-256 of the OAuth state, from the moment somebody set out
    Column("sealed", Text),  # PKCE verifier, sealed
    Column("status", Text, nullable=False, server_default="open"),  # open, started, connected, denied, failed
    Column("result", Text),  # label, or why not
    Column("finished_at", UtcTime()),
    schema=OPS,
)
revocations = Table(  # what could not be revoked yet when somebody disconnected
    "revocations",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("integration_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("provider", Text, nullable=False),  # the catalogue's id
    Column("sealed", Text, nullable=False),  # what the request needs (JSON), sealed
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("next_try_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("created_at", UtcTime(), server_default=utc_now(), nullable=False),
    Index("revocations_due", "next_try_at"),
    schema=OPS,
)
granted = Table(  # which catalogue entries share one row of the web app's (Google's), each with the scopes it asked for
    "granted",
    METADATA,
    Column("integration_id", Id, primary_key=True),
    Column("catalogue_id", Text, primary_key=True),
    Column("scopes", TextList),
    Column("at", UtcTime(), server_default=utc_now(), nullable=False),
    schema=OPS,
)
