"""The schema's history: where it stands, up, down. One Alembic history serves both databases.

Its version table stands in `aura_ops`, so that the web app's own migration tool never meets it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from aura_cli.db.adoption import Adoption, examine
from aura_cli.db.engine import is_sqlite, writing
from aura_cli.db.shared import OPS
from aura_cli.errors import AttentionNeeded, ConfigurationError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "aura_version"
BOUND_SINCE = "0002"  # the version that brought the binding
HEAD = "0007"
_UPGRADE_LOCK = 0x61757261  # any fixed number: it names the upgrade among PostgreSQL's advisory locks


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did, or with `dry_run` would do: versions before and after, shared tables made and adopted, extras accepted."""

    before: str | None
    after: str | None
    made: tuple[str, ...]
    adopted: tuple[str, ...]
    extra: tuple[str, ...]
    dry_run: bool


def current(connection: Connection) -> str | None:
    """The database's schema version; None where `aura` never was."""
    if not inspect(connection).has_table(VERSION_TABLE, schema=None if is_sqlite(connection) else OPS):
        return None
    return connection.execute(text(f"SELECT version_num FROM {_version_table(connection)}")).scalar()


def require_current(engine: Engine, otherwise: str = "") -> None:
    """Return if the schema is this program's; else raise ConfigurationError (exit 4) that says what to run, or do `otherwise`."""
    with engine.connect() as connection:
        version = _version_quickly(connection)
    if version is None:
        raise ConfigurationError("This database has no aura schema yet", f"Run: aura db upgrade{otherwise and f'. {otherwise}'}")
    _refuse_newer(version)
    if version < HEAD:
        raise ConfigurationError(f"The database's schema ({version}) is older than this program ({HEAD})", "Run: aura db upgrade")


def upgrade(engine: Engine, *, dry_run: bool = False) -> Upgrade:
    """Bring the schema to this program's version, all or nothing.

    Raises AttentionNeeded (exit 3), having changed nothing, where a shared table differs from the web app's
    description; ConfigurationError where the database is newer.
    """
    with writing(engine) as connection:
        _wait_for_others(connection)
        before = current(connection)
        _refuse_newer(before)
        state = examine(connection)
        _refuse_differences(state)
        made = state.absent if before is None else ()
        report = Upgrade(before, HEAD, made, state.present, state.extra, dry_run)
        if not dry_run and before != HEAD:
            _run(connection, "upgrade", "head")
            if before in (None, "0001"):
                kept = _take_adoption(connection)
                _remember_adoption(connection, adopted=bool(state.present) if kept is None else kept)
        return report


def downgrade(engine: Engine, *, discard: bool = False, dry_run: bool = False) -> Upgrade:
    """Go one version back. Never touches the shared tables.

    Raises ConflictError where tables of ours hold rows and `discard` is not set, NotFoundError where there is nothing to undo.
    """
    with writing(engine) as connection:
        _wait_for_others(connection)
        before = current(connection)
        if before is None:
            raise NotFoundError("This database has no aura schema")
        _refuse_newer(before)
        if not discard and (full := _filled_tables(connection, before)):
            raise ConflictError(f"These tables hold rows: {', '.join(full)}", "Add --discard to drop them all the same")
        if not dry_run:
            if before == BOUND_SINCE:
                _keep_adoption(connection)
            _run(connection, "downgrade", "-1")
        return Upgrade(before, _version_below(connection, before), (), (), (), dry_run)


def adopted(connection: Connection) -> bool:
    """Were the web app's tables there before ours?"""
    from aura_cli.db.tables import binding

    return bool(connection.execute(select(binding.c.adopted)).scalar())


def _version_quickly(connection: Connection) -> str | None:
    """`current` in one round trip, for the start of every command."""
    try:
        return connection.execute(text(f"SELECT version_num FROM {_version_table(connection)}")).scalar()
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in ("42P01", "3F000") or "no such table" in str(error.orig):
            return None
        raise


def _version_table(connection: Connection) -> str:
    return VERSION_TABLE if is_sqlite(connection) else f"{OPS}.{VERSION_TABLE}"


def _refuse_newer(version: str | None) -> None:
    if version and version > HEAD:
        raise ConfigurationError(f"The database's schema ({version}) is newer than this program ({HEAD})", "Install the newer aura")


def _refuse_differences(state: Adoption) -> None:
    if state.differences:
        listed = "\n  ".join(str(difference) for difference in state.differences)
        raise AttentionNeeded(
            f"{len(state.differences)} columns of the web app's tables differ; nothing was changed:\n  {listed}",
            "Bring the web app's schema up to date (its own migration tool does), then run this again",
        )


def _wait_for_others(connection: Connection) -> None:
    """One at a time changes the schema; on SQLite a transaction that writes is alone in any case."""
    if not is_sqlite(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})


def _version_below(connection: Connection, version: str) -> str | None:
    from alembic.script import ScriptDirectory

    below = ScriptDirectory.from_config(_config(connection)).get_revision(version).down_revision
    return below if isinstance(below, str) else None


def _filled_tables(connection: Connection, version: str) -> list[str]:
    """The tables that going down from `version` takes rows from, which cannot be made again, and that hold some."""
    from alembic.script import ScriptDirectory

    revision = ScriptDirectory.from_config(_config(connection)).get_revision(version)
    drops = getattr(revision.module, "LOSES", None) or getattr(revision.module, "TABLES", None) or ()
    names = [name for name in drops if name not in ("binding", "leases")]
    prefix = "" if is_sqlite(connection) else f"{OPS}."
    return [name for name in names if connection.execute(text(f"SELECT 1 FROM {prefix}{name} LIMIT 1")).first()]


def _remember_adoption(connection: Connection, *, adopted: bool) -> None:
    from aura_cli.db.tables import binding

    connection.execute(binding.insert().values(id=1, adopted=adopted))


def _keep_adoption(connection: Connection) -> None:
    """The binding is about to go, and whose the tables are cannot be seen from them: it is kept beside the version."""
    table = _version_table(connection)
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN adopted BOOLEAN"))
    connection.execute(text(f"UPDATE {table} SET adopted = :adopted"), {"adopted": adopted(connection)})


def _take_adoption(connection: Connection) -> bool | None:
    """What `_keep_adoption` kept, which stands in the binding again from now on; None where nothing was."""
    table = _version_table(connection)
    columns = inspect(connection).get_columns(VERSION_TABLE, schema=None if is_sqlite(connection) else OPS)
    if "adopted" not in [column["name"] for column in columns]:
        return None
    kept = connection.execute(text(f"SELECT adopted FROM {table}")).scalar()
    connection.execute(text(f"ALTER TABLE {table} DROP COLUMN adopted"))
    return None if kept is None else bool(kept)


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    packaged = Path(__file__).parent.parent / "_migrations"
    config = Config()
    scripts = packaged if packaged.is_dir() else packaged.parent.parent / "migrations"
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _run(connection: Connection, direction: str, revision: str) -> None:
    from alembic import command

    getattr(command, direction)(_config(connection), revision)
