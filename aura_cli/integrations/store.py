"""Connections in the web app's rows: opened, written anew, written over, never doubled, never over something newer.

A *place* is where a row keeps a value: `access_token`, `refresh_token`, `metadata.NAME`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from aura_cli.db.engine import upsert
from aura_cli.db.shared import integrations, users
from aura_cli.db.types import utc_now
from aura_cli.errors import ConflictError, NotFoundError
from aura_cli.integrations.provider import ACCESS, REFRESH, Field, Provider
from aura_cli.integrations.tables import granted
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.sealing import Unreadable, looks_sealed

METADATA = "metadata."
COLUMNS = tuple(integrations.c[name] for name in ("id", "user_id", "provider", ACCESS, REFRESH, "token_expiry", "scopes", "metadata"))


@dataclass(frozen=True)
class Opened:
    """One connection. `secrets`: place → plain text; `sealed`: place → what the row holds (unsealed where the web app left it so).

    `unreadable`: places whose value no key opens. `older`: ids of further rows of the same user and provider, which do not count.
    """

    id: str
    user_id: str
    provider: str
    secrets: Mapping[str, str] = field(repr=False)
    expiry: datetime | None
    scopes: tuple[str, ...] | None
    metadata: Mapping[str, Any] = field(repr=False)
    sealed: Mapping[str, str] = field(repr=False)
    unreadable: tuple[str, ...] = ()
    older: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """What is to be written. `secrets`: place → plain text; a place that is not named keeps what it holds, an empty text empties it.

    `scopes` None: as they were. `metadata` is added to what is there.
    """

    secrets: Mapping[str, str] = field(repr=False)
    expiry: datetime | None
    scopes: Sequence[str] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def find(connection: Connection, vault: KeyRing, user_id: str, provider: str, *, lock: bool = False) -> Opened | None:
    """A user's connection by the web app's `provider` value: the newest of several, as the web app takes it. None: there is none."""
    i = integrations.c
    rows = connection.execute(_rows((i.user_id == user_id) & (i.provider == provider), lock)).all()
    return opened(vault, rows[0], [row.id for row in rows[1:]]) if rows else None


def find_by_id(connection: Connection, vault: KeyRing, integration_id: str, *, lock: bool = False) -> Opened | None:
    """One row by its id. `lock`: nobody changes it before the transaction ends."""
    row = connection.execute(_rows(integrations.c.id == integration_id, lock)).first()
    return opened(vault, row) if row else None


def opened(vault: KeyRing, row: Row[Any], older: Iterable[str] = ()) -> Opened:
    """A row (`COLUMNS`), opened as far as the keys go. Raises nothing: what cannot be opened is named in `unreadable`."""
    metadata = row.metadata if isinstance(row.metadata, dict) else {}
    held = {ACCESS: row.access_token, REFRESH: row.refresh_token}
    held |= {METADATA + name: value for name, value in metadata.items() if isinstance(value, str) and looks_sealed(value)}
    sealed = {place: value for place, value in held.items() if value}
    secrets: dict[str, str] = {}
    for place, value in sealed.items():
        try:
            secrets[place] = vault.open(value) if looks_sealed(value) else value
        except Unreadable:
            continue
    shut = tuple(place for place in sealed if place not in secrets)
    scopes = tuple(row.scopes) if isinstance(row.scopes, list) and row.scopes else None
    return Opened(row.id, row.user_id, row.provider, secrets, row.token_expiry, scopes, metadata, sealed, shut, tuple(older))


def write_new(connection: Connection, vault: KeyRing, user_id: str, provider: str, content: Content) -> str:
    """Write a user's first connection with `provider` (the web app's value); its id.

    Raises ConflictError where there is one by now, NotFoundError where the user is gone, ConfigurationError where nothing can be sealed.
    """
    person = select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)  # one writer of a user at a time
    if connection.execute(person).first() is None:
        raise NotFoundError(f"The user {user_id} is gone")
    if find(connection, vault, user_id, provider):
        raise ConflictError(f"Somebody connected {provider} for this user meanwhile", "Look at it: aura integrations list")
    row: dict[str, Any] = {name: vault.seal(content.secrets[name]) for name in (ACCESS, REFRESH) if content.secrets.get(name)}
    row |= {"token_expiry": content.expiry, "scopes": list(content.scopes) if content.scopes else None}
    row |= {"user_id": user_id, "provider": provider, "metadata": _metadata(vault, {}, content) or None}
    return str(connection.execute(integrations.insert().values(row).returning(integrations.c.id)).scalar_one())


def write_over(connection: Connection, vault: KeyRing, read: Opened, content: Content, *, reconnected: bool = False) -> bool:
    """Write over the row that was `read`. False, and nothing written, where it is gone or a secret in it is another by now.

    A rotation that re-sealed the same secret under another key is no change. `reconnected` moves `connected_at`.
    """
    now = find_by_id(connection, vault, read.id, lock=True)
    if now is None or not same_secrets(read, now):
        return False
    row = over(vault, now, content) | ({"connected_at": utc_now()} if reconnected else {})
    changed = integrations.update().where(integrations.c.id == read.id).values(**row, updated_at=utc_now())
    return connection.execute(changed).rowcount == 1


def over(vault: KeyRing, now: Opened, content: Content) -> dict[str, Any]:
    """The columns of the row that is `now`, with `content` in it."""
    row: dict[str, Any] = {name: now.sealed.get(name) for name in (ACCESS, REFRESH)}
    row |= {name: _sealed(vault, content.secrets[name]) for name in (ACCESS, REFRESH) if name in content.secrets}
    scopes = now.scopes if content.scopes is None else content.scopes
    row |= {"token_expiry": content.expiry, "scopes": list(scopes) if scopes is not None else None}
    return row | {"metadata": _metadata(vault, now.metadata, content) or None}


def same_secrets(one: Opened, other: Opened, places: Iterable[str] | None = None) -> bool:
    """Whether two readings hold the same secrets (in `places`), compared as the row has them, else opened."""
    compared = set(one.sealed) | set(other.sealed) if places is None else set(places)
    return all(
        one.sealed.get(place) == other.sealed.get(place) or (place in one.secrets and one.secrets[place] == other.secrets.get(place))
        for place in compared
    )


def values_of(
    provider: Provider, read: Opened, client: Mapping[str, str] | None = None, ambient: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What fills a provider's placeholders for a connection: its metadata, the fields' places, what choices give, its secrets.

    `client`: the application's (`Client.values`). `ambient`: settings by name, for fields that have one (`Field.env`).
    Fields that were never given have their default, or "" where they are not required.
    """
    values = {name: _as_text(value) for name, value in read.metadata.items() if isinstance(value, str | int | float)}
    values |= {place.removeprefix(METADATA): text for place, text in read.secrets.items()}
    for name, one in fields_of(provider).items():
        place = one.stored or METADATA + name
        kept = read.secrets.get(place) or values.get(place.removeprefix(METADATA)) or (ambient or {}).get(one.env or "") or one.default
        if kept is not None or not one.required:
            values |= filling(name, one, kept or "")
    return values | dict(client or {})


def fields_of(provider: Provider) -> dict[str, Field]:
    """Everything that a person may have given, however they connected."""
    return {**provider.fields, **(provider.credentials.fields if provider.credentials else {})}


def filling(name: str, one: Field, value: str) -> dict[str, str]:
    """The placeholders that a field's value gives: its own, and those of the choice that it is."""
    return {name: value, **one.choices.get(value, {})}


def share(connection: Connection, integration_id: str, catalogue_id: str, scopes: Sequence[str]) -> tuple[str, ...]:
    """Note that a catalogue entry uses a row, and with which scopes; returns those of all that use it, each once.

    Google's services have one row: a consent for one of them must ask for what the others have, and the row holds all.
    """
    statement = upsert(connection, granted).values(integration_id=integration_id, catalogue_id=catalogue_id, scopes=list(scopes))
    new = {"scopes": statement.excluded.scopes, "at": utc_now()}
    connection.execute(statement.on_conflict_do_update(index_elements=["integration_id", "catalogue_id"], set_=new))
    return shared_scopes(connection, integration_id)


def shared_scopes(connection: Connection, integration_id: str) -> tuple[str, ...]:
    """The scopes of every catalogue entry that uses a row."""
    g = granted.c
    rows = connection.execute(select(g.scopes).where(g.integration_id == integration_id).order_by(g.catalogue_id)).scalars()
    return tuple(dict.fromkeys(scope for scopes in rows for scope in scopes or ()))


def sharers(connection: Connection, integration_id: str) -> list[str]:
    """The catalogue entries that use a row."""
    g = granted.c
    return list(connection.execute(select(g.catalogue_id).where(g.integration_id == integration_id).order_by(g.catalogue_id)).scalars())


def _rows(condition: ColumnElement[bool], lock: bool) -> Select[Any]:
    i = integrations.c
    statement = select(*COLUMNS).where(condition).order_by(i.created_at.desc(), i.id.desc())
    return statement.with_for_update() if lock else statement


def _metadata(vault: KeyRing, before: Mapping[str, Any], content: Content) -> dict[str, Any]:
    sealed = {place.removeprefix(METADATA): _sealed(vault, text) for place, text in content.secrets.items() if place.startswith(METADATA)}
    return {name: value for name, value in {**before, **content.metadata, **sealed}.items() if value is not None or name not in sealed}


def _sealed(vault: KeyRing, text: str) -> str | None:
    return vault.seal(text) if text else None


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
