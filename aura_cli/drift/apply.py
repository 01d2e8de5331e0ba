"""Applying a plan: chunk by chunk, each its own transaction, only where a row's `before` still holds.

A chunk locks its target rows, marks which plan rows hold, writes those, notes them in the operator log and commits. It
can be killed anywhere: what is marked applied is written, and nothing else is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, case, func, literal, select

from aura_cli.audit.log import record_all
from aura_cli.db.engine import is_sqlite, reading, upsert, writing
from aura_cli.db.leases import Lease
from aura_cli.db.shared import users
from aura_cli.db.types import json_record, utc_now, value_of
from aura_cli.drift.kinds import Deed, Kind, field
from aura_cli.drift.tables import plan_rows, plans

CHUNK = 10_000
_APPLY_LOCK = 0x61706C79  # any fixed number: it names the work on a chunk among PostgreSQL's advisory locks


@dataclass(frozen=True)
class Applied:
    """How many rows of a plan were written, and how many skipped because they had moved."""

    applied: int
    skipped: int


def apply(
    engine: Engine,
    plan_id: str,
    kinds: Mapping[str, Kind],
    operator: str,
    *,
    lease: Lease,
    tick: Callable[[int], None] = lambda count: None,
) -> Applied:
    """Apply the pending rows of a plan, kind by kind in the order of `kinds`. Counts what this call did."""
    done = 0
    with reading(engine) as connection:
        before = _states(connection, plan_id)
    for kind in _repairable(kinds):
        while True:
            with writing(engine) as connection:
                lease.assert_held(connection)
                count = _apply_chunk(connection, plan_id, kind, operator)
            if not count:
                break
            done += count
            tick(done)
    with writing(engine) as connection:
        connection.execute(plans.update().where(plans.c.id == plan_id).values(applied_at=utc_now()))
        return _difference(before, _states(connection, plan_id))


def foresee(connection: Connection, plan_id: str, kinds: Mapping[str, Kind]) -> Applied:
    """What `apply` would do now: done in this transaction, in which later kinds see the work of earlier ones, and taken back.

    With it goes whatever else was written in the transaction.
    """
    before = _states(connection, plan_id)
    for kind in _repairable(kinds):
        while _apply_chunk(connection, plan_id, kind, "nobody"):
            pass
    done = _difference(before, _states(connection, plan_id))
    connection.get_transaction().rollback()  # type: ignore[union-attr]
    return done


def _repairable(kinds: Mapping[str, Kind]) -> Iterator[Kind]:
    return (kind for kind in kinds.values() if kind.deed is not Deed.REPORT)


def _states(connection: Connection, plan_id: str) -> dict[str, int]:
    states = select(plan_rows.c.state, func.count()).where(plan_rows.c.plan_id == plan_id).group_by(plan_rows.c.state)
    return dict(connection.execute(states).all())


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> Applied:
    return Applied(*(after.get(state, 0) - before.get(state, 0) for state in ("applied", "skipped")))


def _apply_chunk(connection: Connection, plan_id: str, kind: Kind, operator: str) -> int:
    """Carry out the next pending rows of `kind`; returns how many were looked at."""
    if not is_sqlite(connection):  # two runs may plan the same repair: the later one must see what the earlier one committed
        connection.execute(select(func.pg_advisory_xact_lock(_APPLY_LOCK)))
    pending = (plan_rows.c.plan_id == plan_id) & (plan_rows.c.kind == kind.name) & (plan_rows.c.state == "pending")
    numbers = select(plan_rows.c.number).where(pending).order_by(plan_rows.c.number).limit(CHUNK).subquery()
    first, last, count = connection.execute(
        select(func.min(numbers.c.number), func.max(numbers.c.number), func.count()).select_from(numbers)
    ).one()
    if not count:
        return 0
    chunk = (plan_rows.c.plan_id == plan_id) & (plan_rows.c.kind == kind.name) & plan_rows.c.number.between(first, last)
    _lock(connection, kind, chunk & (plan_rows.c.state == "pending"))
    marked = plan_rows.update().where(chunk, plan_rows.c.state == "pending")
    connection.execute(marked.values(state=case((kind.still_holds(), "applied"), else_="skipped")))
    chosen = chunk & (plan_rows.c.state == "applied")
    match kind.deed:
        case Deed.UPDATE:
            _update(connection, kind, chosen)
        case Deed.INSERT:
            _insert(connection, kind, chosen)
        case Deed.GRANT:
            assert kind.book is not None, f"{kind.name} books nothing"
            kind.book(connection, chosen)
    details = json_record("plan", literal(plan_id), "number", plan_rows.c.number)
    record_all(
        connection, select(literal(operator), literal(f"drift.{kind.name}"), plan_rows.c.key, plan_rows.c.user_id, details).where(chosen)
    )
    return int(count)


def _lock(connection: Connection, kind: Kind, chunk: ColumnElement[bool]) -> None:
    """Hold what a chunk is about to change: the rows of an update; for the others the users, so that grants to one wait for each other.

    In the order of their ids, as everybody does, so that nobody waits in a circle.
    """
    if is_sqlite(connection):
        return  # BEGIN IMMEDIATE holds everything
    table, match = (kind.target(), kind.match()) if kind.deed is Deed.UPDATE else (users, users.c.id == plan_rows.c.user_id)
    locked = select(1).select_from(table).where(match, chunk).order_by(table.c.id).with_for_update(of=table, key_share=True)
    connection.execute(select(func.count()).select_from(locked.cte("locked")))


def _update(connection: Connection, kind: Kind, chosen: ColumnElement[bool]) -> None:
    table = kind.target()
    values = {name: value_of(field("after", name), table.c[name]) for name in kind.columns}
    connection.execute(table.update().where(kind.match(), chosen).values({**values, "updated_at": utc_now()}))


def _insert(connection: Connection, kind: Kind, chosen: ColumnElement[bool]) -> None:
    table = kind.target()
    values = [value_of(field("after", name), table.c[name]) for name in kind.columns]
    insert = upsert(connection, table)
    # SQLite wants a WHERE before ON CONFLICT in INSERT … SELECT (its grammar is ambiguous without); `chosen` is one
    connection.execute(insert.from_select(list(kind.columns), select(*values).where(chosen)).on_conflict_do_nothing())
