"""Two rows of `users` that are one person become one, as a plan like any other, applied in one transaction.

What names the row that goes is found through foreign keys, and in our own tables by `user_id`. Its DID and id stay as an alias, so that no
sync makes a row of it again and both still lead to the person. At Stripe and Privy nothing is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, cast, false, func, literal, null, or_, select

from aura_cli.db.engine import upsert
from aura_cli.db.shared import LARGEST, METADATA, OPS, integrations, subscriptions, team_members, token_balances, users
from aura_cli.db.types import Json, utc_now, value_of
from aura_cli.drift import plan
from aura_cli.drift.kinds import Deed, Kind, field
from aura_cli.drift.tables import plan_rows
from aura_cli.errors import UsageError
from aura_cli.users.departed import hold_departures, keep_customers, was_erased
from aura_cli.users.dependents import Catalogue, Rows, as_in_users, rules_of, same_but
from aura_cli.users.holdings import addresses
from aura_cli.users.tables import privy_users, user_aliases
from aura_cli.users.who import Person, resolve

COMMAND = "users merge"
FILLED = ("email", "name", "avatar_url")  # what the row that stays lacks it gets
_HISTORY = ("operator_log", "plan_rows", "user_aliases")  # they tell of the past, in which there were two
_ROLES = ("owner", "admin", "member", "viewer")
_LIVING = ("active", "trialing", "past_due", "unpaid")


@dataclass(frozen=True)
class Step:
    """Rows of one table that change hands. `dropped`: of those, rows that the other one has already, where there can be one alone."""

    table: str
    column: str
    rows: int
    dropped: int


@dataclass(frozen=True)
class _Conflict:
    """Rows that agree with one of the person who stays in the other `columns` of a unique key."""

    condition: ColumnElement[bool]
    columns: Sequence[str]


@dataclass(frozen=True)
class Merge:
    """What is to become of two rows of `users`. `left`: the customer at Stripe that nobody is linked to afterwards.

    `twice`: what both are connected with; of such connections the web app uses the newest.
    """

    gone: Person
    stays: Person
    steps: Sequence[Step]
    customer: str | None
    left: str | None
    twice: Sequence[str] = ()


def pair(connection: Connection, gone: str, stays: str) -> tuple[Person, Person]:
    """The two people, by any of their identifiers. Raises as `resolve` does, and UsageError where they are one, or one was erased."""
    both = resolve(connection, gone), resolve(connection, stays)
    if both[0].id == both[1].id:
        raise UsageError("Both are the same row already", "Name the row that is to go, and the one that stays: aura users duplicates")
    if any(was_erased(one.privy_user_id) for one in both):
        raise UsageError("One of them was erased: there is nobody to merge")
    return both


def foresee(connection: Connection, gone: Person, stays: Person) -> Merge:
    """What merging would do now."""
    catalogue = Catalogue(connection)
    steps, moved = [], dict[tuple[str, str], int]()
    for rows in catalogue.of_person(catalogue.row(gone.id)):
        conflicts = list(_conflicts(catalogue, rows, catalogue.row(stays.id)))
        dropped = _count(connection, rows.table, or_(false(), *(one.condition for one in conflicts)))
        steps.append(Step(rows.link.name, rows.link.column, _count(connection, rows.table, rows.condition), dropped))
        for child in (child for one in conflicts for child in catalogue.children(Rows(rows.link, rows.table, one.condition))):
            place = child.link.name, child.link.column
            moved[place] = max(moved.get(place, 0), _count(connection, child.table, child.condition))
    steps += [Step(table, column, rows, 0) for (table, column), rows in moved.items()]
    steps += [Step(table.name, "user_id", _count(connection, table, table.c.user_id == gone.id), 0) for table in _ours()]
    customer, left = _customers(connection, gone, stays)
    i, other = integrations.c, integrations.alias("other").c
    both = select(i.provider).where(i.user_id == gone.id, other.user_id == stays.id, other.provider == i.provider).distinct()
    twice = connection.execute(both.order_by(i.provider)).scalars().all()
    return Merge(gone, stays, [step for step in steps if step.rows], customer, left, twice)


def make_plan(connection: Connection, merge: Merge) -> str:
    """Put it down as a plan: a row for `users`, and one for each column that leads there. Returns its id."""
    people = _count(connection, users, literal(True))
    made = plan.create(connection, COMMAND, str(uuid4()), complete=True, rows_here=people)
    who = {"from": merge.gone.id, "from_did": merge.gone.privy_user_id, "into_did": merge.stays.privy_user_id}
    into = {"into": merge.stays.id}
    customer = {"stripe_customer_id": merge.stays.stripe_customer_id}
    _add(connection, made, "merge", merge.stays.id, merge.stays.id, {**who, **customer}, {**into, "stripe_customer_id": merge.customer})
    for step in merge.steps:
        numbers = {"rows": step.rows, "dropped": step.dropped}
        _add(connection, made, "merge", f"{step.table}.{step.column}", merge.gone.id, {**who, **numbers}, into)
    if merge.left:
        why = "two customers at Stripe, and a user has one: move what it still pays for by hand"
        _add(connection, made, "merge_customer", merge.left, merge.stays.id, {"customer": merge.left, "why": why}, None)
    return made


def _add(
    connection: Connection, made: str, kind: str, key: str, user: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
) -> None:
    found: Select[Any] = select(
        literal(key).label("key"),
        cast(null(), plan_rows.c.subscription.type).label("subscription"),
        literal(user, users.c.id.type).label("user_id"),
        literal(before, Json).label("before"),
        (cast(null(), Json) if after is None else literal(after, Json)).label("after"),
    )
    plan.add(connection, made, KINDS[kind], found)


def carry_out(connection: Connection, gone: str, stays: str) -> None:
    """Merge the row with the id `gone` into the other, in the caller's transaction; what came to it since the plan comes along.

    Raises ConflictError where the rules of a table forbid it.
    """
    hold_departures(connection, leaving=True)
    held = select(users.c.id).where(or_(users.c.id == gone, users.c.id == stays)).order_by(users.c.id)
    connection.execute(held.with_for_update()).all()  # nobody adds what names them meanwhile
    catalogue = Catalogue(connection)
    before, after = catalogue.row(gone), catalogue.row(stays)
    one, other = (Person(*(row[name] for name in Person.__dataclass_fields__)) for row in (before, after))
    customer, left = _customers(connection, one, other)
    _add_balances(connection, gone, stays)
    _part_teams(connection, gone, stays)
    for rows in catalogue.of_person(before):
        with rules_of(rows.link.name):
            for conflict in _conflicts(catalogue, rows, after):
                _hand_down(connection, catalogue, rows, conflict, after)
                connection.execute(rows.table.delete().where(conflict.condition))
            now = {column: as_in_users(refers, after[refers]) for column, refers in rows.link.pairs}
            connection.execute(rows.table.update().where(rows.condition).values(now))
    for table in _ours():
        connection.execute(table.update().where(table.c.user_id == gone).values(user_id=stays))
    _tidy_teams(connection, stays)
    _leave_alias(connection, one, stays)
    if left:
        keep_customers(connection, stays, [left])
    with rules_of(users.name):
        connection.execute(users.delete().where(users.c.id == gone))
    filled = {name: before[name] for name in FILLED if after[name] is None}
    values = {**filled, "stripe_customer_id": customer, "updated_at": utc_now()}
    connection.execute(users.update().where(users.c.id == stays).values(values))


def _leave_alias(connection: Connection, gone: Person, stays: str) -> None:
    a = user_aliases.c
    connection.execute(user_aliases.update().where(a.into_id == gone.id).values(into_id=stays))
    alias = {"user_id": gone.id, "into_id": stays, "addresses": addresses(connection, gone)}
    connection.execute(privy_users.delete().where(privy_users.c.privy_user_id == gone.privy_user_id))
    made = upsert(connection, user_aliases).values(privy_id=gone.privy_user_id, **alias)
    connection.execute(made.on_conflict_do_update(index_elements=["privy_id"], set_={**alias, "at": utc_now()}))


def _customers(connection: Connection, gone: Person, stays: Person) -> tuple[str | None, str | None]:
    """Which customer the person keeps, and which is left over: the one that pays counts, else that of the row that stays."""
    own, other = stays.stripe_customer_id, gone.stripe_customer_id
    if own is None or other is None or own == other:
        return own or other, None
    alive = select(subscriptions.c.user_id).where(subscriptions.c.status.in_(_LIVING), subscriptions.c.user_id.in_((gone.id, stays.id)))
    paying = set(connection.execute(alive).scalars())
    return (other, own) if gone.id in paying and stays.id not in paying else (own, other)


def _add_balances(connection: Connection, gone: str, stays: str) -> None:
    """Both had tokens: the row that stays holds them together, and the other one's is dropped as the second of its kind."""
    b = token_balances.c
    names = ("balance", "monthly_allocation", "total_used", "total_purchased", "last_reset_at")
    held = select(b.user_id, *(b[name] for name in names)).where(b.user_id.in_((gone, stays)))
    rows = {row.user_id: row for row in connection.execute(held)}
    if len(rows) < 2:
        return
    one, other = rows[stays], rows[gone]
    sums = {name: min(LARGEST, getattr(one, name) + getattr(other, name)) for name in ("balance", "total_used", "total_purchased")}
    resets = [row.last_reset_at for row in (one, other) if row.last_reset_at is not None]
    more = {"monthly_allocation": max(one.monthly_allocation, other.monthly_allocation), "last_reset_at": max(resets, default=None)}
    connection.execute(token_balances.update().where(b.user_id == stays).values(**sums, **more, updated_at=utc_now()))


def _part_teams(connection: Connection, gone: str, stays: str) -> None:
    """Neither is a member of the other's workspace any more, which is their own from now on."""
    m = team_members.c
    crossing = or_(*(and_(m.user_id == one, m.workspace_owner_id == other) for one, other in ((gone, stays), (stays, gone))))
    connection.execute(team_members.delete().where(crossing))


def _tidy_teams(connection: Connection, stays: str) -> None:
    """Nobody is a member of one workspace twice: the strongest role stays."""
    m = team_members.c
    theirs = select(m.id, m.user_id, m.workspace_owner_id, m.role).where(or_(m.user_id == stays, m.workspace_owner_id == stays))
    seen: set[tuple[str, str]] = set()
    for row in sorted(connection.execute(theirs).all(), key=lambda row: _ROLES.index(row.role)):
        if (row.user_id, row.workspace_owner_id) in seen:
            connection.execute(team_members.delete().where(m.id == row.id))
        seen.add((row.user_id, row.workspace_owner_id))


def _conflicts(catalogue: Catalogue, rows: Rows, stays: Mapping[str, Any]) -> Iterator[_Conflict]:
    """For each unique key: those of `rows` of which the person who stays has one already."""
    other = rows.table.alias("other")
    theirs = rows.link.among(other, stays)
    for columns in catalogue.unique_keys(rows.link):
        same = select(1).select_from(other).where(theirs, same_but(rows.table, other, columns))
        yield _Conflict(and_(rows.condition, same.correlate(rows.table).exists()), columns)


def _hand_down(connection: Connection, catalogue: Catalogue, rows: Rows, conflict: _Conflict, stays: Mapping[str, Any]) -> None:
    """What names rows that are dropped names the ones that stay in their place."""
    gone, kept = rows.table.alias("gone"), rows.table.alias("kept")
    theirs = rows.link.among(kept, stays)
    for child in catalogue.children(Rows(rows.link, rows.table, conflict.condition)):
        both = gone.join(kept, same_but(gone, kept, conflict.columns))
        named = and_(*(gone.c[refers] == child.table.c[column] for column, refers in child.link.pairs))
        heirs = {
            column: select(kept.c[refers]).select_from(both).where(named, theirs).correlate(child.table).scalar_subquery()
            for column, refers in child.link.pairs
        }
        connection.execute(child.table.update().where(child.condition).values(heirs))


def _ours() -> Iterator[Table]:
    """Our own tables that name a user, of whichever room was loaded."""
    tables = (table for table in METADATA.tables.values() if table.schema == OPS and "user_id" in table.c)
    return (table for table in sorted(tables, key=lambda table: table.name) if table.name not in _HISTORY)


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()


def _both_unchanged() -> ColumnElement[bool]:
    """Over plan_rows: are both rows still there, and of the same logins?"""
    sides = (("before", "from", "from_did"), ("after", "into", "into_did"))
    same = (
        select(1)
        .select_from(users)
        .where(users.c.id == value_of(field(side, name), users.c.id), users.c.privy_user_id == field("before", did))
        for side, name, did in sides
    )
    return and_(*(one.exists() for one in same))


def _book(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Carry out every merge that the chosen plan rows are of."""
    pairs = select(field("before", "from"), field("after", "into")).where(chosen).distinct()
    for gone, stays in connection.execute(pairs).all():
        carry_out(connection, gone, stays)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("merge", "two rows that are one person", Deed.GRANT, users, "id", holds=_both_unchanged, book=_book),
        Kind("merge_customer", "a second customer at Stripe of one person", Deed.REPORT),
    )
}
