"""Can each room work on this database? Tables there, columns right, role allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text

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
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE")


@dataclass(frozen=True)
class RoomState:
    """`usable`, or the reasons why not."""

    room: str
    usable: bool
    reasons: tuple[str, ...]


def check(engine: Engine) -> list[RoomState]:
    """One state a room, by looking alone."""
    with reading(engine) as connection:
        version = current(connection)
        general = () if version == HEAD else (f"schema is {version or 'absent'}, this program needs {HEAD}: run aura db upgrade",)
        state = examine(connection)
        denied = _denied(connection, state.present)
        return [_room(room, tables, general, state.absent, [str(d) for d in state.differences], denied) for room, tables in ROOMS.items()]


def _room(
    room: str, tables: Sequence[str], general: tuple[str, ...], absent: Sequence[str], differences: Sequence[str], denied: Mapping[str, str]
) -> RoomState:
    reasons = [
        *general,
        *(f"table {name} is absent" for name in tables if name in absent),
        *(line for line in differences if line.split(".")[0] in tables),
        *(f"the role may not {denied[name]} {name}" for name in (*tables, OPS) if name in denied),
    ]
    return RoomState(room, not reasons, tuple(reasons))


def _denied(connection: Connection, present: Sequence[str]) -> dict[str, str]:
    """Table → what the role lacks there; `aura_ops` → the first lack in any table of ours."""
    if is_sqlite(connection):
        return {}
    question = text("SELECT bool_and(has_table_privilege(CAST(:table AS text), p)) FROM unnest(CAST(:privileges AS text[])) p")
    lacks: dict[str, str] = {}
    ours = [f"{OPS}.{name}" for name in inspect(connection).get_table_names(schema=OPS)]
    for name in (*(f"{PUBLIC}.{name}" for name in present), *ours):
        if not connection.execute(question, {"table": name, "privileges": list(_PRIVILEGES)}).scalar():
            schema, _, table = name.partition(".")
            lacks.setdefault(OPS if schema == OPS else table, "read and write" if schema == PUBLIC else "read and write all of")
    return lacks
