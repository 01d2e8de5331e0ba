"""From the staging table into `users`: set-based statements that mean the same on PostgreSQL and SQLite.

A value that Privy lacks never erases one that is stored. A row is written only where something changes: an UPDATE and an INSERT in
turn, because PostgreSQL's `ON CONFLICT DO UPDATE` locks, and so writes, also the rows that it leaves as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, Update, and_, func, or_, select

from aura_cli.db.engine import load, upsert
from aura_cli.db.shared import users
from aura_cli.db.types import from_epoch, utc_now
from aura_cli.drift.tables import scans
from aura_cli.users.departed import departed_among, hold_departures
from aura_cli.users.shapes import Staged
from aura_cli.users.tables import privy_users, staged_users

SOURCE = "privy_users"
FIELDS = ("email", "name", "avatar_url")
_FACTS = ("verified_email", "linked_accounts", "created")
_COLUMNS = ("scan_id", "batch", *Staged._fields)


@dataclass(frozen=True)
class Merged:
    """How many rows of `users` a batch made and changed."""

    created: int
    updated: int


@dataclass(frozen=True)
class Change:
    """One field of one user that a sync would write. `user` is our id; None for somebody new."""

    privy_user_id: str
    user: str | None
    field: str
    before: str | None
    after: str | None


def stage(connection: Connection, scan_id: str, batch: int, rows: Sequence[Staged]) -> int:
    """Put a batch down, without whom no row is to be made for any more; returns how many of it cannot be taken over.

    A user whose data the database itself refuses is found by halving, and stands there with the reason.
    """
    hold_departures(connection, leaving=False)
    gone = departed_among(connection, [row.privy_user_id for row in rows])
    return _stage(connection, scan_id, batch, [row for row in rows if row.privy_user_id not in gone] if gone else rows)


def _stage(connection: Connection, scan_id: str, batch: int, rows: Sequence[Staged]) -> int:
    refused = connection.dialect.loaded_dbapi.DataError
    try:
        with connection.begin_nested():
            load(connection, staged_users, _COLUMNS, [(scan_id, batch, *row) for row in rows])
    except refused:
        if len(rows) == 1:
            return _stage(connection, scan_id, batch, [Staged(rows[0].privy_user_id, failure="the database refuses its data")])
        middle = len(rows) // 2
        return _stage(connection, scan_id, batch, rows[:middle]) + _stage(connection, scan_id, batch, rows[middle:])
    return sum(row.failure is not None for row in rows)


def merge(connection: Connection, scan_id: str, batch: int) -> Merged:
    """Take a staged batch over into `users`, and what else Privy says into `privy_users`.

    One look at all three tables says which of the four statements that write have anything to do: mostly none.
    """
    chosen = _usable(scan_id) & (staged_users.c.batch == batch)
    all_three = staged_users.outerjoin(users, _SAME_USER).outerjoin(privy_users, _SAME_FACTS)
    numbers = (
        func.count().filter(users.c.id.is_(None)),
        func.count().filter(_differs()),
        func.count().filter(privy_users.c.privy_user_id.is_(None)),
        func.count().filter(_facts_differ()),
    )
    new, changed, facts_new, facts_changed = connection.execute(select(*numbers).select_from(all_three).where(chosen)).one()
    updated = connection.execute(_update(chosen)).rowcount if changed else 0
    created = _insert(connection, users, _newcomers(chosen)) if new else 0
    if facts_changed:
        connection.execute(_update_facts(chosen))
    if facts_new:
        _insert(connection, privy_users, _new_facts(chosen))
    return Merged(created, updated)


def _update(chosen: ColumnElement[bool]) -> Update:
    values = {name: func.coalesce(staged_users.c[name], users.c[name]) for name in FIELDS}
    return users.update().where(_SAME_USER, chosen, _differs()).values({**values, "updated_at": utc_now()})


def _newcomers(chosen: ColumnElement[bool]) -> Select[Any]:
    created = func.coalesce(from_epoch(staged_users.c.created), utc_now()).label("created_at")
    return select(staged_users.c.privy_user_id, *(staged_users.c[name] for name in FIELDS), created).where(chosen)


def _update_facts(chosen: ColumnElement[bool]) -> Update:
    """What Privy says beside the web app's columns, exactly as it says it now: an address that it no longer vouches for goes."""
    values = {**{name: staged_users.c[name] for name in _FACTS}, "missing_since": None, "changed_at": utc_now()}
    return privy_users.update().where(_SAME_FACTS, chosen, _facts_differ()).values(values)


def _new_facts(chosen: ColumnElement[bool]) -> Select[Any]:
    facts = (staged_users.c[name] for name in _FACTS)
    return select(staged_users.c.privy_user_id, *facts, utc_now().label("changed_at")).where(chosen)


def count_changes(connection: Connection, scan_id: str) -> Merged:
    """What merging everything that is staged would make and change."""
    joined = select(func.count()).select_from(staged_users.outerjoin(users, _SAME_USER)).where(_usable(scan_id))
    created = connection.execute(joined.where(users.c.id.is_(None))).scalar_one()
    return Merged(created, connection.execute(joined.where(_differs())).scalar_one())


def changes(connection: Connection, scan_id: str) -> Iterator[Change]:
    """What merging everything that is staged would write, field by field, streamed."""
    before, after = [users.c[name] for name in FIELDS], [staged_users.c[name] for name in FIELDS]
    statement = (
        select(staged_users.c.privy_user_id, users.c.id, *before, *after)
        .select_from(staged_users.outerjoin(users, _SAME_USER))
        .where(_usable(scan_id), or_(users.c.id.is_(None), _differs()))
        .order_by(staged_users.c.batch, staged_users.c.privy_user_id)
    )
    for did, user, *values in connection.execute(statement, execution_options={"yield_per": 1_000}):
        if user is None:
            yield Change(did, None, "privy_user_id", None, did)
        for name, old, new in zip(FIELDS, values[: len(FIELDS)], values[len(FIELDS) :], strict=True):
            if new is not None and new != old:
                yield Change(did, user, name, old, new)


def failures(connection: Connection, scan_id: str) -> list[tuple[str, str]]:
    """The DIDs that could not be taken over, and why."""
    columns = staged_users.c.privy_user_id, staged_users.c.failure
    found = select(*columns).where(staged_users.c.scan_id == scan_id, staged_users.c.failure.is_not(None)).order_by(*columns)
    return [(did, str(reason)) for did, reason in connection.execute(found)]


def absent(connection: Connection, scan_id: str) -> list[tuple[str, bool]]:
    """The DIDs of `users` that a complete scan did not show, and for each whether a 404 has confirmed it before."""
    seen = select(staged_users.c.privy_user_id).where(staged_users.c.scan_id == scan_id)
    gone = select(users.c.privy_user_id).where(users.c.privy_user_id.startswith("did:privy:")).except_(seen).subquery()
    known = privy_users.c.missing_since.is_not(None)
    joined = gone.outerjoin(privy_users, privy_users.c.privy_user_id == gone.c.privy_user_id)
    found = select(gone.c.privy_user_id, known).select_from(joined).order_by(gone.c.privy_user_id)
    return [(did, bool(confirmed)) for did, confirmed in connection.execute(found)]


def mark_missing(connection: Connection, dids: Sequence[str]) -> None:
    """Remember that Privy answered 404 for these, and since when; nothing is deleted."""
    if not dids:
        return
    insert = upsert(connection, privy_users)
    since = func.coalesce(privy_users.c.missing_since, insert.excluded.missing_since)
    statement = insert.values(missing_since=utc_now()).on_conflict_do_update(
        index_elements=["privy_user_id"], set_={"missing_since": since}
    )
    connection.execute(statement, [{"privy_user_id": did} for did in dids])


def forget(connection: Connection, scan_id: str | None = None) -> None:
    """Empty the staging table of one scan, or of all whose scan is no more."""
    scan = staged_users.c.scan_id
    connection.execute(staged_users.delete().where(scan == scan_id if scan_id else scan.not_in(select(scans.c.id))))


_SAME_USER = users.c.privy_user_id == staged_users.c.privy_user_id
_SAME_FACTS = privy_users.c.privy_user_id == staged_users.c.privy_user_id


def _usable(scan_id: str) -> ColumnElement[bool]:
    return (staged_users.c.scan_id == scan_id) & staged_users.c.failure.is_(None)


def _differs() -> ColumnElement[bool]:
    """Does a known user differ? (A newcomer has no row to differ from.)"""
    fields = (and_(staged_users.c[name].is_not(None), staged_users.c[name].is_distinct_from(users.c[name])) for name in FIELDS)
    return and_(users.c.id.is_not(None), or_(*fields))


def _facts_differ() -> ColumnElement[bool]:
    facts = (privy_users.c[name].is_distinct_from(staged_users.c[name]) for name in _FACTS)
    return and_(privy_users.c.privy_user_id.is_not(None), or_(privy_users.c.missing_since.is_not(None), *facts))


def _insert(connection: Connection, table: Table, rows: Select[Any]) -> int:
    """Insert `rows` where they are new; returns how many were."""
    insert = upsert(connection, table)
    statement = insert.from_select(list(rows.selected_columns.keys()), rows).on_conflict_do_nothing()
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
