"""Plans: drift found, row by row, before anything is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, insert, literal, select

from aura_cli.db.engine import reading
from aura_cli.drift.kinds import Deed, Kind
from aura_cli.drift.tables import plan_rows, plans
from aura_cli.errors import ConflictError

FEWEST_MAX_CHANGES = 50
MAX_CHANGES_SHARE = 0.05


@dataclass(frozen=True)
class Change:
    """One thing that differs: `kind` of drift, what it is about, and its state before and after the repair."""

    kind: str
    subscription: str | None
    user: str | None
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def create(connection: Connection, command: str, scan_id: str, *, complete: bool, rows_here: int) -> str:
    """Start an empty plan, made when there were `rows_here` rows to change, and return its id.

    Earlier plans of this command that were never applied are forgotten.
    """
    connection.execute(plans.delete().where(plans.c.command == command, plans.c.applied_at.is_(None)))
    made = plans.insert().values(command=command, scan_id=scan_id, complete=complete, rows_here=rows_here).returning(plans.c.id)
    return str(connection.execute(made).scalar_one())


def add(connection: Connection, plan_id: str, kind: Kind, found: Select[Any]) -> None:
    """Add what `found` selects (key, subscription, user_id, before, after) as rows of `kind`."""
    first = connection.execute(select(func.coalesce(func.max(plan_rows.c.number), 0)).where(plan_rows.c.plan_id == plan_id)).scalar_one()
    rows = found.subquery()
    state = "reported" if kind.deed is Deed.REPORT else "pending"
    fixed = (literal(plan_id, plan_rows.c.plan_id.type), first + func.row_number().over(), literal(kind.name), literal(state))
    names = ["plan_id", "number", "kind", "state", "key", "subscription", "user_id", "before", "after"]
    connection.execute(insert(plan_rows).from_select(names, select(*fixed, *rows.c)))


def counts(connection: Connection, plan_id: str, *, state: str | None = None) -> dict[str, int]:
    """Rows by kind, of one state or of all."""
    statement = (
        select(plan_rows.c.kind, func.count()).where(plan_rows.c.plan_id == plan_id).group_by(plan_rows.c.kind).order_by(plan_rows.c.kind)
    )
    if state:
        statement = statement.where(plan_rows.c.state == state)
    return dict(connection.execute(statement).all())


def changes(engine: Engine, plan_id: str) -> Iterator[Change]:
    """All changes of a plan in its order, streamed."""
    statement = select(plan_rows).where(plan_rows.c.plan_id == plan_id).order_by(plan_rows.c.number)
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=2_000).execute(statement):
            yield Change(row.kind, row.subscription, row.user_id, row.key, row.before, row.after)


def repairable(found: Mapping[str, int], kinds: Mapping[str, Kind]) -> dict[str, int]:
    """What of the rows found applying is about to write, by kind: those that are only reported are not among them."""
    return {name: count for name, count in found.items() if kinds[name].deed is not Deed.REPORT}


def require_plausible(found: Mapping[str, int], kinds: Mapping[str, Kind], existing_rows: int, limit: int | None) -> None:
    """Raise ConflictError where a plan changes more existing rows than `limit` (default: the larger of 50 and 5 %).

    A plan that changes so much more often tells of a wrong key or a wrong database than of real drift.
    """
    allowed = max(FEWEST_MAX_CHANGES, int(existing_rows * MAX_CHANGES_SHARE)) if limit is None else limit
    changing = sum(count for name, count in found.items() if kinds[name].existing)
    if changing > allowed:
        raise ConflictError(
            f"The plan changes {changing:,} rows that exist; {allowed:,} is the limit. Nothing was written",
            f"Look at it first (without --apply); if it is right, add --max-changes {changing}",
        )
