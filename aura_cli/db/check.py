"""Can each room work on this database? Tables there, columns right, role allowed."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from aura_cli.db.adoption import examine
from aura_cli.db.engine import is_sqlite, reading
from aura_cli.db.migrate import HEAD, current
from aura_cli.db.shared import OPS, PUBLIC

ROOMS: Mapping[str, Sequence[str]] = {  # room → the web app's tables that it needs
    "users": ("users",),
    "subscriptions": ("users", "subscriptions", "token_balances", "token_top_ups"),
    "integrations": ("users", "integrations", "audit_logs"),
    "mail": ("users", "team_invites", "team_members"),
}


@dataclass(frozen=True)
class RoomState:
    """`usable`, or the reasons why not."""

    room: str
    usable: bool
    reasons: tuple[str, ...]


def check(engine: Engine) -> list[RoomState]:
    """One state a room, by looking alone."""
    with reading(engine) as connection:
        state = examine(connection)
        denied = _denied(connection, state.present)
        outdated = () if OPS in denied else _outdated(current(connection))
        wrong = [str(difference) for difference in (*state.differences, *state.obstacles)]
        return [_room(room, tables, outdated, state.absent, wrong, denied) for room, tables in ROOMS.items()]


def _outdated(version: str | None) -> tuple[str, ...]:
    return () if version == HEAD else (f"schema is {version or 'absent'}, this program needs {HEAD}: run aura db upgrade",)


def _room(
    room: str, tables: Sequence[str], outdated: tuple[str, ...], absent: Sequence[str], wrong: Sequence[str], denied: Set[str]
) -> RoomState:
    reasons = [
        *outdated,
        *(f"table {name} is absent" for name in tables if name in absent),
        *(line for line in wrong if line.split(".")[0] in tables),
        *(f"the role may not read and write {'all of ' * (name == OPS)}{name}" for name in (*tables, OPS) if name in denied),
    ]
    return RoomState(room, not reasons, tuple(reasons))


def _denied(connection: Connection, present: Sequence[str]) -> set[str]:
    """The shared tables that the role may not read and write; `aura_ops` where that is so of any table of ours."""
    if is_sqlite(connection):
        return set()
    lacking = text(
        """SELECT DISTINCT CASE nspname WHEN :ours THEN nspname ELSE relname END FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p') AND (nspname = :ours OR (nspname = :theirs AND relname = ANY(CAST(:present AS text[]))))
        AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
                 AND has_table_privilege(pg_class.oid, 'INSERT') AND has_table_privilege(pg_class.oid, 'UPDATE'))"""
    )
    return set(connection.execute(lacking, {"ours": OPS, "theirs": PUBLIC, "present": list(present)}).scalars())
