"""How connections stand: rows of the web app's beside what is known of them here, and what follows from both.

Of several rows of one user and provider the newest counts, as in the web app. Rows of providers that no file describes are
looked at and left alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from aura_cli.db.shared import integrations, users
from aura_cli.db.types import utc_now
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.checking import BY_CONSENT
from aura_cli.integrations.provider import ACCESS, Kind, Provider
from aura_cli.integrations.store import COLUMNS, Opened, opened
from aura_cli.integrations.tables import connections
from aura_cli.vault.keyring import KeyRing

ROWS_AT_ONCE = 1_000
CONSENT, CREDENTIALS = "consent", "credentials"  # `connections.method`
KNOWN = (
    *("method", "account", "label", "name", "health", "since", "failure", "error", "failures", "next_try_at", "definition", "intent"),
    *("intent_at", "lease_owner", "refreshed_at", "refresh_expires_at", "verified_at"),
)


class Health(StrEnum):
    """What a connection is worth now. `unknown`: no file describes its provider."""

    OK = "ok"
    EXPIRED = "expired"  # the next refresh renews it
    FAILING = "failing"
    NEEDS_CONSENT = "needs_consent"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"


class Renewal(Enum):
    """By what a connection gets new tokens."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 (a way, no secret)
    CLIENT = "client"  # the application asks for itself
    LOGIN = "login"  # the credentials log in again


@dataclass(frozen=True)
class Known:
    """What `connections` says; all of it empty for a row that was never looked at."""

    method: str | None = None
    account: str | None = None
    label: str | None = None
    name: str | None = None
    health: str = Health.OK
    since: datetime | None = None
    failure: str | None = None
    error: str | None = None
    failures: int = 0
    next_try_at: datetime | None = None
    definition: str | None = None
    intent: str | None = None
    intent_at: datetime | None = None
    lease_owner: str | None = None
    refreshed_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    verified_at: datetime | None = None
    leased: bool = False  # by somebody whose lease has not run out


@dataclass(frozen=True)
class Seen:
    """One connection: the row, its provider where a file describes it, what is known of it. `copies`: rows of the same kind."""

    read: Opened
    provider: Provider | None
    known: Known
    connected_at: datetime | None = None
    copies: int = 1
    email: str | None = None  # of the user

    @property
    def by_hand(self) -> bool:
        """Whether credentials were typed; where nobody knows, what the provider's kind says."""
        if self.known.method:
            return self.known.method == CREDENTIALS
        return self.provider is not None and self.provider.kind not in BY_CONSENT

    @property
    def renewal(self) -> tuple[Renewal, str] | None:
        """How it is renewed, and the place whose secret must still be the same when the answer is stored. None: not at all.

        The provider's file alone says what is a refresh token: Slack's rows keep a user's token in the column of that name.
        """
        if self.provider is None:
            return None
        if self.by_hand:
            login = self.provider.credentials and self.provider.credentials.login
            return (Renewal.LOGIN, ACCESS) if login and ACCESS in login.kept else None
        if self.provider.kind is Kind.CLIENT_CREDENTIALS:
            return Renewal.CLIENT, ACCESS
        refresh = self.provider.oauth and self.provider.oauth.refresh
        if refresh and refresh.mode != "never" and self.read.secrets.get(refresh.place):
            return Renewal.REFRESH_TOKEN, refresh.place
        return None

    def health(self, now: datetime) -> Health:
        """How it is. A mark of lost consent holds for the secrets that it was made for: who connected anew has others."""
        if self.read.unreadable:
            return Health.UNREADABLE
        if self.provider is None:
            return Health.UNKNOWN
        if self.lost:
            return Health.NEEDS_CONSENT
        expired = self.read.expiry is not None and self.read.expiry <= now
        if expired and not self.renewal:
            return Health.NEEDS_CONSENT
        if self.known.failures and self.known.health != Health.NEEDS_CONSENT:
            return Health.FAILING
        return Health.EXPIRED if expired else Health.OK

    @property
    def lost(self) -> bool:
        """Whether the provider said that these very secrets are worth nothing any more."""
        return self.known.health == Health.NEEDS_CONSENT and self.known.intent in (None, fingerprint(self.read))

    def rests(self, now: datetime) -> bool:
        """Whether it failed and is left alone for a while: unless the provider's file has changed since."""
        later = self.known.next_try_at is not None and self.known.next_try_at > now
        return later and self.provider is not None and self.known.definition == definition(self.provider)

    def dies_unused(self, now: datetime) -> bool:
        """Whether its refresh token is half-way to dying of idleness, or of age where a refresh gives a new one."""
        refresh = self.provider.oauth.refresh if self.provider and self.provider.oauth else None
        if refresh is None or not self.renewal or self.renewal[0] is not Renewal.REFRESH_TOKEN:
            return False
        used = self.known.refreshed_at or self.connected_at
        lifetimes = [refresh.idle_lifetime] + ([refresh.refresh_lifetime] if refresh.rotating else [])
        return any(used is not None and lifetime and used + timedelta(seconds=lifetime / 2) <= now for lifetime in lifetimes)

    @property
    def ends_at(self) -> datetime | None:
        """When it ends for good unless a person does something; None: it does not, or nobody knows."""
        return self.known.refresh_expires_at if self.renewal else self.read.expiry

    def is_due(self, now: datetime, within: timedelta) -> bool:
        """Whether its access token ends soon, or its refresh token must be kept alive."""
        if not self.renewal:
            return False
        return (self.read.expiry is not None and self.read.expiry <= now + within) or self.dies_unused(now)


def fingerprint(read: Opened) -> str:
    """What tells a connection's secrets from others: a SHA-256 of all of them, whatever key seals them."""
    return hashlib.sha256(json.dumps(sorted(read.secrets.items())).encode()).hexdigest()


def definition(provider: Provider) -> str:
    """What tells a provider's file from others."""
    return hashlib.sha256(msgspec.json.encode(provider)).hexdigest()[:16]


def renewable(catalogue: Catalogue) -> list[str]:
    """The `provider` values of rows that may be renewed at all."""
    found: dict[str, None] = {}
    for one in catalogue.providers.values():
        refresh = one.oauth is not None and one.oauth.refresh.mode != "never"
        if refresh or one.kind is Kind.CLIENT_CREDENTIALS or (one.credentials and one.credentials.login):
            found[one.provider] = None
    return list(found)


def scan(
    connection: Connection, vault: KeyRing, catalogue: Catalogue, *among: ColumnElement[bool], limit: int | None = None, older: bool = False
) -> Iterator[Seen]:
    """Connections with what is known of them, streamed, those first that expire first. `among`: conditions on `integrations`.

    Of several of one user and provider the newest, or with `older` those that it replaced.
    """
    for row in connection.execute(_placed(*among, older=older).limit(limit), execution_options={"yield_per": ROWS_AT_ONCE}):
        yield seen(vault, catalogue, row)


def seen(vault: KeyRing, catalogue: Catalogue, row: Row[*tuple[Any, ...]], facts: Row[*tuple[Any, ...]] | None = None) -> Seen:
    """One row (`COLUMNS`, connected_at, copies) with what `facts` (`known_columns`) say of it; without them the row says it too."""
    fields = row._mapping if facts is None else facts._mapping
    known = Known(**{name: fields[name] for name in (*KNOWN, "leased") if fields.get(name) is not None})
    return Seen(opened(vault, row), catalogue.of_row(row.provider), known, row.connected_at, row.copies, row._mapping.get("email"))


def known_columns() -> tuple[ColumnElement[Any], ...]:
    """What a statement that joins `connections` selects of it."""
    c = connections.c
    held = and_(c.lease_owner.is_not(None), c.lease_expires_at > utc_now())
    return (*(c[name] for name in KNOWN), held.label("leased"))


def _placed(*among: ColumnElement[bool], older: bool) -> Select[Any]:
    i = integrations.c
    window: Mapping[str, Any] = {"partition_by": (i.user_id, i.provider)}
    place = func.row_number().over(**window, order_by=(i.created_at.desc(), i.id.desc())).label("place")
    copies = func.count().over(**window).label("copies")
    rows = select(*COLUMNS, i.connected_at, place, copies).where(*among).subquery("rows")
    beside = rows.join(users, users.c.id == rows.c.user_id).outerjoin(connections, connections.c.integration_id == rows.c.id)
    found = select(rows, users.c.email, *known_columns()).select_from(beside)
    wanted = rows.c.place > 1 if older else rows.c.place == 1
    return found.where(wanted).order_by(rows.c.token_expiry.is_(None), rows.c.token_expiry, rows.c.id)
