"""What a database belongs to: a Stripe account and mode, a Privy app, an encryption key, an environment.

The first write remembers it; a later write from elsewhere finds out before it begins.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Self

from sqlalchemy import Connection, Engine, func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.tables import binding
from aura_cli.errors import ConfigurationError
from aura_cli.settings import SANDBOX, Settings


@dataclass(frozen=True)
class Identity:
    """Who is about to write. None: not configured, which is no contradiction. The key stands as a fingerprint."""

    environment: str | None
    stripe_account: str | None
    stripe_mode: str | None
    privy_app: str | None
    key_fingerprint: str | None

    @classmethod
    def of(cls, settings: Settings, stripe_account: Callable[[], str]) -> Self:
        """The identity in `settings`; `stripe_account` is asked only where there is a Stripe key."""
        key = settings.secret("INTEGRATION_ENCRYPTION_KEY")
        return cls(
            environment=settings.environment,
            stripe_account=stripe_account() if settings.stripe_mode else None,
            stripe_mode=settings.stripe_mode,
            privy_app=settings.get("NEXT_PUBLIC_PRIVY_APP_ID"),
            key_fingerprint=key.fingerprint if key else None,
        )


def check(engine: Engine, identity: Identity, *, store: bool, keys: Collection[str] = ()) -> None:
    """Compare `identity` with the database's binding; with `store`, remember what was not yet bound.

    `keys` are fingerprints between which no difference is made: those of a rotation, to whoever carries it on or takes it back.
    Raises ConfigurationError naming each thing that differs.
    """
    with reading(engine) as connection:
        new = _compare(connection, identity, keys)
    if new and store:
        with writing(engine) as connection:
            if not (new := _compare(connection, identity, keys)):  # somebody else's first write bound it since the look
                return
            values = {name: func.coalesce(binding.c[name], value) for name, value in new.items()}
            if connection.execute(binding.update().values(values)).rowcount == 0:
                connection.execute(binding.insert().values(id=1, adopted=False, **new))
            _compare(connection, identity, keys)  # another first write may have been committed between the look and the update


def bound(connection: Connection) -> Identity | None:
    """What the database is bound to; None where nothing was ever written."""
    columns = [binding.c[name] for name in Identity.__dataclass_fields__]
    row = connection.execute(select(*columns)).one_or_none()
    return Identity(**row._mapping) if row else None


def move_key(connection: Connection, fingerprint: str | None, other: str | None = None) -> None:
    """Bind to another key than before; `other` is accepted beside it, as long as a rotation is under way."""
    connection.execute(binding.update().values(key_fingerprint=fingerprint, other_key=other))


def require_sandbox(engine: Engine) -> None:
    """Raise ConfigurationError unless the database is the sandbox's: bound to it, or made by us and never written to."""
    with reading(engine) as connection:
        found = connection.execute(select(binding.c.environment, binding.c.adopted)).one_or_none()
    if found and found.environment != SANDBOX and (found.environment or found.adopted):
        raise ConfigurationError("AURA_ENV is sandbox, and this database does not belong to the sandbox", "Start it with: aura sandbox")


def _compare(connection: Connection, identity: Identity, keys: Collection[str]) -> dict[str, str]:
    """What is new; raises where something contradicts."""
    known = bound(connection)
    ours = {name: value for name, value in asdict(identity).items() if value is not None}
    if known is None:
        return ours
    theirs = asdict(known)
    key, other = identity.key_fingerprint, connection.execute(select(binding.c.other_key)).scalar()
    if key and (key == other or {key, known.key_fingerprint} <= set(keys)):
        del ours["key_fingerprint"]
    contradictions = [
        f"{name.replace('_', ' ')}: bound to {theirs[name]}, configured {value}"
        for name, value in ours.items()
        if theirs[name] not in (None, value)
    ]
    if contradictions:
        raise ConfigurationError(
            "This database belongs to another environment: " + "; ".join(contradictions),
            "Nothing was changed. Check --env and DATABASE_URL; aura env bind moves the binding",
        )
    return {name: value for name, value in ours.items() if theirs[name] is None}
