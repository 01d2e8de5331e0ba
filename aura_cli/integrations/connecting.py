"""From an answer or credentials to a row: verified with the provider, told whose they are, stored once.

A connection is one row a user and web-app provider. Connecting again writes over it, keeps what the answer does not replace, and asks
before it becomes another account's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from aura_cli.audit.log import Notice, record, tell_customers
from aura_cli.db.engine import reading, upsert, writing
from aura_cli.db.types import utc_now
from aura_cli.errors import ConfigurationError, ConflictError
from aura_cli.integrations.answers import Grant
from aura_cli.integrations.consent import Consent, Parameters, answered
from aura_cli.integrations.failures import Failure, Refused
from aura_cli.integrations.health import label_in
from aura_cli.integrations.oauth import Client, authorize_url, exchange
from aura_cli.integrations.provider import ACCESS, REFRESH, Provider
from aura_cli.integrations.state import CONSENT, CREDENTIALS
from aura_cli.integrations.store import METADATA, Content, Opened, fields_of, find, share, values_of, write_new, write_over
from aura_cli.integrations.tables import connections, granted
from aura_cli.integrations.verify import Account, log_in, who_is_it
from aura_cli.integrations.wire import Wire
from aura_cli.vault.keyring import KeyRing

_TRIES = 5  # at a row that others change meanwhile


@dataclass(frozen=True)
class Wish:
    """What is to be connected: for whom, with which fields (name → value), asking for which scopes, called what, checked or not.

    `also`: scopes of other providers that share the row, who would lose them with their token (Google's services).
    """

    provider: Provider
    user_id: str
    fields: Mapping[str, str] = field(repr=False)
    scopes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    name: str | None = None
    verify: bool = True

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Every scope that a consent asks for, each once."""
        return tuple(dict.fromkeys((*self.scopes, *self.also)))


@dataclass(frozen=True)
class Means:
    """What connecting works with. `ambient`: settings by name, for fields that have one; `home`: the data directory."""

    engine: Engine
    vault: KeyRing
    wire: Wire
    client: Client | None
    ambient: Mapping[str, str] = field(repr=False)
    operator: str
    clock: Callable[[], datetime]
    home: Path


@dataclass(frozen=True)
class Standing:
    """The connection that there is already. `account` is None where nobody looked whose it is."""

    id: str
    method: str | None
    account: str | None
    label: str | None
    scopes: tuple[str, ...]
    older: int  # further rows of the same user and provider
    is_the_web_apps: bool = False  # its label


@dataclass(frozen=True)
class Gained:
    """What a provider gave or accepted, and is not stored yet."""

    method: str
    content: Content
    account: Account
    refresh_expires_at: datetime | None = None


@dataclass(frozen=True)
class Connected:
    """A stored connection. `row`: the web app's value; `replaced`: there was one already, and it was written over."""

    id: str
    provider: str
    row: str
    user_id: str
    account: str | None
    label: str | None
    name: str | None
    method: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    verified: bool
    replaced: bool


Then = Callable[[Connection, Connected], None]


def from_facts(facts: Mapping[str, Any]) -> Connected:
    """A connection out of the facts that a link's end holds: JSON, its time as text."""
    ends = facts["expires_at"]
    return Connected(**{**facts, "scopes": tuple(facts["scopes"]), "expires_at": datetime.fromisoformat(ends) if ends else None})


def standing(means: Means, wish: Wish) -> Standing | None:
    """The connection that this one would write over; None where there is none."""
    with reading(means.engine) as connection:
        return _standing(connection, means, wish)[0]


def also_needed(connection: Connection, means: Means, provider: Provider, user_id: str) -> tuple[str, ...]:
    """The scopes that other providers have by the row that `provider` shares with them: by what each asked for, else by what it says."""
    read = find(connection, means.vault, user_id, provider.provider)
    if read is None:
        return ()
    g = granted.c
    each = dict(connection.execute(select(g.catalogue_id, g.scopes).where(g.integration_id == read.id)).tuples().all())
    if not each:
        return read.scopes or ()
    return tuple(scope for name, scopes in each.items() if name != provider.id for scope in scopes or ())


def values(means: Means, wish: Wish, secrets: Mapping[str, str] | None = None, metadata: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What fills the provider's placeholders, just as it will be out of the row."""
    given, known = placed(wish.provider, wish.fields)
    held = Opened("", wish.user_id, wish.provider.provider, {**given, **(secrets or {})}, None, None, {**known, **(metadata or {})}, {})
    return values_of(wish.provider, held, means.client.values if means.client else None, means.ambient)


def placed(provider: Provider, fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Where a row keeps the fields' values: those to be sealed by place, and those of its metadata by name."""
    secrets: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, one in fields_of(provider).items():
        place = one.stored or METADATA + name
        if name in fields and (one.secret or place in (ACCESS, REFRESH)):
            secrets[place] = fields[name]
        elif name in fields:
            metadata[place.removeprefix(METADATA)] = fields[name]
    return secrets, metadata


def consent_url(means: Means, wish: Wish, consent: Consent) -> str:
    """The provider's page for this consent. Raises ConfigurationError for a value that its address lacks."""
    assert means.client
    return authorize_url(
        wish.provider,
        means.client,
        redirect_uri=consent.redirect_uri,
        state=consent.state,
        verifier=consent.verifier,
        scopes=wish.asks_for,
        values=values(means, wish),
    )


def redeem(means: Means, wish: Wish, consent: Consent, found: Parameters) -> Gained:
    """What the right answer to a consent is worth. Raises as `consent.answered`, `oauth.exchange` and `by_consent` do."""
    assert means.client
    answer = answered(wish.provider, found, values(means, wish))
    grant = exchange(
        means.wire,
        wish.provider,
        means.client,
        code=answer.code,
        redirect_uri=consent.redirect_uri,
        verifier=consent.verifier,
        values=values(means, wish, metadata=answer.kept),
    )
    return by_consent(means, wish, grant, answer.kept)


def by_consent(means: Means, wish: Wish, grant: Grant, callback: Mapping[str, str] | None = None) -> Gained:
    """A grant, with the account that it is of; `callback` is what came along with its code.

    Raises Refused, UnreachableError where the provider does not say whose it is.
    """
    secrets, metadata = placed(wish.provider, wish.fields)
    secrets, metadata = {**secrets, **grant.secrets}, {**metadata, **(callback or {}), **grant.kept}
    account = _account(means, wish, secrets, metadata, by_hand=False)
    scopes = account.scopes or grant.scopes or wish.asks_for
    content = Content(secrets, _after(means, grant.expires_in), scopes or None, {**metadata, **account.kept})
    return Gained(CONSENT, content, account, _after(means, grant.refresh_expires_in))


def by_hand(means: Means, wish: Wish) -> Gained:
    """Credentials that somebody typed, with a session where the provider wants one, and the account that they are of.

    Raises ConfigurationError where the provider does not take them, Refused for another answer that says nothing, UnreachableError.
    """
    secrets, metadata = placed(wish.provider, wish.fields)
    expiry = None
    try:
        if wish.provider.credentials and wish.provider.credentials.login and wish.verify:
            session = log_in(means.wire, wish.provider, values(means, wish))
            secrets, expiry = {**secrets, **session.secrets}, _after(means, session.expires_in)
            metadata = {**metadata, **session.kept}
        account = _account(means, wish, secrets, metadata, by_hand=True)
    except Refused as refused:
        if refused.failure is Failure.NEEDS_CONSENT:
            raise ConfigurationError(refused.message, "Look at them again where they were made; nothing was stored") from None
        raise
    return Gained(CREDENTIALS, Content(secrets, expiry, account.scopes, {**metadata, **account.kept}), account)


def is_another(known: Standing | None, gained: Gained) -> bool:
    """Whether what was gained is of another account than what is connected, as far as both are known."""
    if known is None:
        return False
    if known.account and gained.account.id:
        return known.account != gained.account.id
    mine, theirs = known.label, gained.account.label
    if known.account or not mine or not theirs:
        return False
    if known.is_the_web_apps:  # it has labels of its own: an e-mail address is the same in both
        return "@" in mine and "@" in theirs and " " not in theirs and mine.casefold() != theirs.casefold()
    return mine != theirs


def stored(means: Means, wish: Wish, gained: Gained, *, replaces: bool = False, then: Then | None = None) -> Connected:
    """Store it, in one transaction with the operator log, what the customer sees, and what `then` does.

    Raises ConflictError where it is another account than the one connected and not `replaces`.
    """
    for _ in range(_TRIES):
        with writing(means.engine) as connection:
            known, read = _standing(connection, means, wish)
            other = is_another(known, gained)
            if other and not replaces:
                raise ConflictError(
                    f"{wish.provider.name} is connected as {known.label if known else None}, and this is {gained.account.label}",
                    "Nothing was stored. Disconnect the other one first, or add --yes",
                )
            content = _emptying(gained, read) if known and (other or known.method not in (None, gained.method)) else gained.content
            if read is None:
                identifier = write_new(connection, means.vault, wish.user_id, wish.provider.provider, content)
            elif write_over(connection, means.vault, read, content, reconnected=True):
                identifier = read.id
            else:
                continue
            connected = _told(connection, means, wish, gained, identifier, replaced=read is not None)
            if then:
                then(connection, connected)
            return connected
    raise ConflictError("The connection is being changed by others all the time", "Try again")


def _account(means: Means, wish: Wish, secrets: Mapping[str, str], metadata: Mapping[str, Any], *, by_hand: bool) -> Account:
    if not wish.verify:
        return Account(None, None)
    return who_is_it(means.wire, wish.provider, values(means, wish, secrets, metadata), by_hand=by_hand)


def _after(means: Means, seconds: int | None) -> datetime | None:
    return means.clock() + timedelta(seconds=seconds) if seconds else None


def _standing(connection: Connection, means: Means, wish: Wish) -> tuple[Standing | None, Opened | None]:
    read = find(connection, means.vault, wish.user_id, wish.provider.provider)
    if read is None:
        return None, None
    c = connections.c
    seen = connection.execute(select(c.method, c.account, c.label).where(c.integration_id == read.id)).first()
    method, account, label = seen or (None, None, None)
    named = label or label_in(read.metadata)
    return Standing(read.id, method, account, named, read.scopes or (), len(read.older), named is not None and label is None), read


def _emptying(gained: Gained, read: Opened | None) -> Content:
    """What also takes away the other account's secrets: its refresh token would bring it back."""
    left = {place: "" for place in (read.sealed if read else ()) if place not in gained.content.secrets}
    return replace(gained.content, secrets={**left, **gained.content.secrets})


def _told(connection: Connection, means: Means, wish: Wish, gained: Gained, identifier: str, *, replaced: bool) -> Connected:
    """Note whose it is and that it is well, share its scopes, and tell the operator log and the customer."""
    provider, account = wish.provider, gained.account
    _note(connection, wish, gained, identifier)
    if gained.content.scopes:
        share(connection, identifier, provider.id, wish.scopes or gained.content.scopes)
    facts = {"provider": provider.id, "method": gained.method, "replaced": replaced, "verified": wish.verify}
    record(connection, means.operator, "integrations.connect", identifier, user_id=wish.user_id, details=facts)
    text = f"{provider.name} was connected{f' ({account.label})' if account.label else ''}"
    tell_customers(connection, [Notice(wish.user_id, "integration", "integration_connected", text, {"provider": provider.provider})])
    scopes = tuple(gained.content.scopes or ())
    return Connected(
        id=identifier,
        provider=provider.id,
        row=provider.provider,
        user_id=wish.user_id,
        account=account.id,
        label=account.label,
        name=wish.name,
        method=gained.method,
        scopes=scopes,
        expires_at=gained.content.expiry,
        verified=wish.verify,
        replaced=replaced,
    )


def _note(connection: Connection, wish: Wish, gained: Gained, identifier: str) -> None:
    """What the row does not say; whatever ailed the connection before is over."""
    now = utc_now()
    known: dict[str, Any] = {
        "user_id": wish.user_id,
        "provider": wish.provider.provider,
        "method": gained.method,
        "account": gained.account.id,
        "label": gained.account.label,
        "health": "ok",
        "since": now,
        "failures": 0,
        "refreshed_at": now,
        "refresh_expires_at": gained.refresh_expires_at,
        "verified_at": now if wish.verify else None,
    }
    known |= dict.fromkeys(("failure", "error", "next_try_at", "intent", "intent_at"))
    known |= {"name": wish.name} if wish.name else {}
    statement = upsert(connection, connections).values(integration_id=identifier, **known)
    connection.execute(statement.on_conflict_do_update(index_elements=["integration_id"], set_=known))
