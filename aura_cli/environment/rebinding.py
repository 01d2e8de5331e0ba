"""Moving a database's binding to what is configured now."""

from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from aura_cli.audit.log import record
from aura_cli.db.binding import Identity, bound
from aura_cli.db.engine import writing
from aura_cli.db.tables import binding
from aura_cli.errors import ConfigurationError


@dataclass(frozen=True)
class Bound:
    """What the database belonged to (None: to nothing), what it belongs to now, and which of that is new."""

    before: Identity | None
    after: Identity
    changed: tuple[str, ...]
    dry_run: bool


def rebind(engine: Engine, identity: Identity, operator: str, *, dry_run: bool = False) -> Bound:
    """Bind to `identity`; what is not configured (None) stays as it is bound.

    Raises ConfigurationError where nothing is configured that it could be bound to.
    """
    wanted = {name: value for name, value in asdict(identity).items() if value is not None}
    if not wanted:
        raise ConfigurationError("Nothing is configured that a database could be bound to", "Set STRIPE_SECRET_KEY, AURA_ENV, …")
    with writing(engine) as connection:
        before = bound(connection)
        known = asdict(before) if before else dict.fromkeys(Identity.__dataclass_fields__)
        changed = {name: value for name, value in wanted.items() if known[name] != value}
        if changed and not dry_run:
            if before is None:
                connection.execute(binding.insert().values(id=1, adopted=False, **wanted))
            else:
                forgotten = {"other_key": None} if "key_fingerprint" in changed else {}
                connection.execute(binding.update().values({**changed, **forgotten}))
            record(connection, operator, "env.bind", "binding", details={name: [known[name], value] for name, value in changed.items()})
    return Bound(before, Identity(**{**known, **wanted}), tuple(changed), dry_run)
