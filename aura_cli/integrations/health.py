"""Looking at connections: lists that are streamed, and one in full. No token is in any of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import integrations
from aura_cli.errors import NotFoundError
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.state import CONSENT, CREDENTIALS, Health, Known, Seen, scan
from aura_cli.vault.keyring import KeyRing

LABELS = (
    "label",
    "email",
    "teamName",
    "team_name",
    "workspaceName",
    "accountName",
    "username",
    "login",
    "name",
)  # as the web app keeps them


@dataclass(frozen=True)
class Listed:
    """One connection. `provider` is the web app's value; `ends_at`: when a person is needed at the latest, where that is known;
    `rows`: how many there are of this user and provider, of which the newest counts."""

    id: str
    user: str
    email: str | None
    provider: str
    label: str | None
    account: str | None
    name: str | None
    health: Health
    expires_at: datetime | None
    ends_at: datetime | None
    renewed: bool
    scopes: tuple[str, ...]
    method: str
    connected_at: datetime | None
    refreshed_at: datetime | None
    verified_at: datetime | None
    failure: str | None
    error: str | None
    next_try_at: datetime | None
    rows: int


@dataclass(frozen=True)
class Filter:
    """Which connections: a user's, those with the web app's `provider` value, of this health, ending for good within that time."""

    user_id: str | None = None
    provider: str | None = None
    health: Health | None = None
    ending: timedelta | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What SQL can tell."""
        if self.user_id:
            yield integrations.c.user_id == self.user_id
        if self.provider:
            yield integrations.c.provider == self.provider

    def takes(self, one: Listed, now: datetime) -> bool:
        """What only an opened row tells."""
        soon = self.ending is None or (one.ends_at is not None and one.ends_at <= now + self.ending)
        return soon and self.health in (None, one.health)


@dataclass(frozen=True)
class Desk:
    """Where connections are looked at."""

    engine: Engine
    vault: KeyRing
    catalogue: Catalogue

    def listed(self, chosen: Filter, now: datetime) -> Iterator[Listed]:
        """Connections, streamed, those first that expire first."""
        found = (listed(one, now) for one in self.seen(chosen))
        return (one for one in found if chosen.takes(one, now))

    def seen(self, chosen: Filter) -> Iterator[Seen]:
        """The same with all that is in them, whatever their health."""
        with reading(self.engine) as connection:
            yield from scan(connection, self.vault, self.catalogue, *chosen.conditions())

    def one(self, user_id: str, provider: str) -> Seen:
        """A user's connection with what a person named. Raises NotFoundError."""
        value = self.row_value(provider)
        found = next(self.seen(Filter(user_id, value)), None)
        if found is None:
            entry = self.catalogue.providers.get(provider.lower()) or self.catalogue.of_row(value)
            hint = f"aura integrations connect {entry.id} --user {user_id}" if entry else "aura integrations list shows what there is"
            raise NotFoundError(f"{user_id} is not connected with {provider}", hint)
        return found

    def row_value(self, provider: str) -> str:
        """The web app's value in rows for what a person named: a catalogue's id, or the value itself, of whichever row there is.

        Raises NotFoundError for what is neither.
        """
        if known := self.catalogue.providers.get(provider.lower()):
            return known.provider
        if self.catalogue.of_row(provider) is None:
            with reading(self.engine) as connection:
                row = connection.execute(select(integrations.c.id).where(integrations.c.provider == provider).limit(1)).first()
            if row is None:
                self.catalogue.get(provider)  # raises, and says what may have been meant
        return provider


def listed(one: Seen, now: datetime) -> Listed:
    """A connection without what is secret in it."""
    known, read, health = one.known, one.read, one.health(now)
    trouble = known if health not in (Health.OK, Health.EXPIRED) else Known()  # of a connection that was made anew it is past
    return Listed(
        id=read.id,
        user=read.user_id,
        email=one.email,
        provider=read.provider,
        label=known.label or label_in(read.metadata),
        account=known.account,
        name=known.name,
        health=health,
        expires_at=read.expiry,
        ends_at=one.ends_at,
        renewed=one.renewal is not None,
        scopes=read.scopes or (),
        method=CREDENTIALS if one.by_hand else CONSENT,
        connected_at=one.connected_at,
        refreshed_at=known.refreshed_at,
        verified_at=known.verified_at,
        failure=trouble.failure,
        error=trouble.error,
        next_try_at=trouble.next_try_at,
        rows=one.copies,
    )


def label_in(metadata: Mapping[str, Any]) -> str | None:
    """What a person knows the account by, where the web app kept it."""
    return next((text for name in LABELS if isinstance(text := metadata.get(name), str) and text), None)
