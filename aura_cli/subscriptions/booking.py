"""Booking what is due: ledger entries, and what they do to balances, set by set. Each cause once, whoever asks how often.

Balances move as if causes had come in the order of Stripe's times, in whatever order they do come: a renewal resets to the
allocation and keeps what was added since it was billed; what is older than a renewal that was booked already adds nothing any more,
because that renewal would have taken it away. `last_reset_at` is the cause's time, so that our own resets can be told from the web
app's (which writes its clock): one of the web app's, at or after a cause, has dealt with that cause. A purchase is no such cause: it is
added after the web app's reset too, whose time may be that of a row's beginning; a worker that is late gives, and takes nothing
away. For that reason, too, a row in which nothing ever was but purchases is no month that the web app gave.

The caller holds the users' rows, so that nobody else of us books for them meanwhile.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.exc import IntegrityError

from aura_cli.db.engine import upsert
from aura_cli.db.given import given
from aura_cli.db.shared import LARGEST, MONTHLY_ALLOCATION, token_balances, token_top_ups
from aura_cli.db.types import Id, UtcTime, utc_now
from aura_cli.errors import ConflictError
from aura_cli.subscriptions.tables import grants

NO_ALLOCATION = 0  # in a balance row that no subscription came with: the first month is still owed


class Due(NamedTuple):
    """One grant that is due: `caused_at` is Stripe's time (None: now). The last three are of top-ups alone; `amount` is in cents."""

    cause: str
    user_id: str
    tokens: int
    caused_at: datetime | None
    session: str | None = None
    amount: int | None = None
    package: str | None = None


_LATER = grants.alias("later")
_DUE = Table(  # the shape of what is given: never a table of the database
    "due",
    MetaData(),
    Column("cause", Text),
    Column("user_id", Id),
    Column("tokens", Integer),
    Column("caused_at", UtcTime()),
    Column("session", Text),
    Column("amount", Integer),
    Column("package", Text),
)


def rows_of(connection: Connection, dues: Sequence[Due]) -> Select[Any]:
    """A selection of the given grants, in the shape that the functions below take."""
    return select(given(connection, _DUE, [due._asdict() for due in dues], *Due._fields))


def book_first_month(connection: Connection, dues: Select[Any], reason: str, *, timed: bool = True) -> None:
    """Add what a new subscription comes with. Not `timed` (no due says its time): only to those who have no allocation yet."""
    due, b, g = _fresh(dues), token_balances.c, _LATER.c
    held = select(1).select_from(token_balances).where(b.user_id == due.c.user_id, b.monthly_allocation != NO_ALLOCATION)
    theirs = and_(b.last_reset_at >= due.c.caused_at, ~_bought_alone(b), ~_ours(b.user_id, b.last_reset_at))
    by_web = held.where(or_(due.c.caused_at.is_(None), theirs))
    owed = and_(~by_web.exists(), ~_outlived(due, g.caused_at > due.c.caused_at))
    now = func.coalesce(func.min(due.c.caused_at), utc_now(), type_=UtcTime())
    sums = select(due.c.user_id, func.sum(due.c.tokens), literal(MONTHLY_ALLOCATION), now).where(owed).group_by(due.c.user_id)
    made = upsert(connection, token_balances).from_select(["user_id", "balance", "monthly_allocation", "last_reset_at"], sums)
    first = b.monthly_allocation == NO_ALLOCATION
    values = {
        "balance": _fitting(b.balance, made.excluded.balance),
        "monthly_allocation": case((first, made.excluded.monthly_allocation), else_=b.monthly_allocation),
        "last_reset_at": case((first, made.excluded.last_reset_at), else_=b.last_reset_at),
    }
    # the web app, which knows no lock, may have given one since we looked: where no time is said, that is enough
    where = None if timed else first
    connection.execute(made.on_conflict_do_update(index_elements=["user_id"], set_={**values, "updated_at": utc_now()}, where=where))
    _enter(connection, "initial", due, reason)
    if timed:
        _date_back(connection, dues)


def book_renewal(connection: Connection, dues: Select[Any], reason: str) -> None:
    """Reset balances to the monthly allocation, and keep what was added since the renewal was billed."""
    due, b = _fresh(dues), token_balances.c
    by_web = select(1).select_from(token_balances).where(b.user_id == due.c.user_id, b.last_reset_at >= due.c.caused_at)
    newest = (
        select(due.c.user_id, func.max(due.c.caused_at).label("at"))
        .where(~_outlived(due, _LATER.c.caused_at >= due.c.caused_at), ~by_web.where(~_ours(b.user_id, b.last_reset_at)).exists())
        .group_by(due.c.user_id)
        .subquery("newest")
    )
    kept, held = _kept(newest), token_balances.alias("held")
    allocation = case((held.c.monthly_allocation > 0, held.c.monthly_allocation), else_=MONTHLY_ALLOCATION)
    source = newest.join(kept, kept.c.user_id == newest.c.user_id).outerjoin(held, held.c.user_id == newest.c.user_id)
    rows = select(newest.c.user_id, _fitting(allocation, kept.c.tokens), allocation, newest.c.at).select_from(source)
    columns = ["balance", "monthly_allocation", "last_reset_at"]
    made = upsert(connection, token_balances).from_select(["user_id", *columns], rows.where(newest.c.user_id.is_not(None)))
    values = {name: made.excluded[name] for name in columns}
    connection.execute(made.on_conflict_do_update(index_elements=["user_id"], set_={**values, "updated_at": utc_now()}))
    _enter(connection, "renewal", due, reason)


def book_top_up(connection: Connection, dues: Select[Any], reason: str) -> None:
    """Add what was bought, and write the web app's row about it. What the web app has booked itself is only noted in the ledger."""
    due, b, t = _fresh(dues), token_balances.c, token_top_ups.c
    absent = ~select(1).select_from(token_top_ups).where(t.stripe_session_id == due.c.session).exists()
    usable = case((_outlived(due, _LATER.c.caused_at > due.c.caused_at), 0), else_=due.c.tokens)
    totals = (_fitting(literal(0), func.sum(tokens)) for tokens in (usable, due.c.tokens))
    sums = select(due.c.user_id, *totals, literal(NO_ALLOCATION)).where(absent).group_by(due.c.user_id)
    added = upsert(connection, token_balances).from_select(["user_id", "balance", "total_purchased", "monthly_allocation"], sums)
    both = {name: _fitting(b[name], added.excluded[name]) for name in ("balance", "total_purchased")}
    connection.execute(added.on_conflict_do_update(index_elements=["user_id"], set_={**both, "updated_at": utc_now()}))
    columns = ["user_id", "stripe_session_id", "tokens_added", "amount_paid", "package_id", "created_at"]
    moment = func.coalesce(due.c.caused_at, utc_now(), type_=UtcTime())
    rows = select(due.c.user_id, due.c.session, due.c.tokens, due.c.amount, due.c.package, moment).where(absent)
    connection.execute(insert(token_top_ups).from_select(columns, rows))
    _enter(connection, "topup", due, reason)


def _date_back(connection: Connection, dues: Select[Any]) -> None:
    """The first month is that of the oldest subscription, whichever was told of first; until a renewal the balance dates from it."""
    b, said = token_balances.c, dues.subquery("said")
    initial, renewal = grants.alias("initial"), grants.alias("renewal")
    begun = select(func.min(initial.c.caused_at)).where(initial.c.user_id == b.user_id, initial.c.kind == "initial").scalar_subquery()
    renewed = select(1).where(renewal.c.user_id == b.user_id, renewal.c.kind == "renewal", renewal.c.caused_at == b.last_reset_at).exists()
    theirs = and_(b.user_id.in_(select(said.c.user_id)), _ours(b.user_id, b.last_reset_at), ~renewed, begun < b.last_reset_at)
    connection.execute(token_balances.update().where(theirs).values(last_reset_at=begun))


def _fresh(dues: Select[Any]) -> FromClause:
    """Those whose cause stands in no ledger entry."""
    said = dues.subquery("said")
    known = select(1).select_from(grants).where(grants.c.cause == said.c.cause).exists()
    return select(said).where(~known).subquery("due")


def _ours(user: ColumnElement[Any], moment: ColumnElement[Any]) -> ColumnElement[bool]:
    """Was the reset of that moment booked by us?"""
    g = grants.c
    return select(1).select_from(grants).where(g.user_id == user, g.kind.in_(("initial", "renewal")), g.caused_at == moment).exists()


def _bought_alone(b: Any) -> ColumnElement[bool]:
    """Was never anything in a balance (`b` its columns) but what was bought, or given by an operator, since the row began?

    A month adds to what was bought after it, and a reset keeps what was used before in `total_used`: neither ever comes to the same sum.
    """
    t, g = token_top_ups.c, grants.c
    before = select(1).select_from(token_top_ups).where(t.user_id == b.user_id, t.created_at < b.last_reset_at).exists()
    by_hand = select(func.coalesce(func.sum(g.tokens), 0)).where(
        g.user_id == b.user_id, g.kind == "operator", g.granted_at >= b.last_reset_at
    )
    return and_(~before, cast(b.balance, BigInteger) + b.total_used == b.total_purchased + by_hand.scalar_subquery())


def _outlived(due: FromClause, later: ColumnElement[bool]) -> ColumnElement[bool]:
    """A `later` renewal was booked: the cause, had it come in time, would have been reset away by now."""
    same = and_(_LATER.c.user_id == due.c.user_id, _LATER.c.kind == "renewal", later)
    return select(1).select_from(_LATER).where(same).exists()


def _kept(since: FromClause) -> FromClause:
    """User and tokens: what each user bought, was given, or came to by another subscription since `at`."""
    t, g = token_top_ups.c, grants.c
    moment = func.coalesce(g.caused_at, g.granted_at, type_=UtcTime())
    bought = select(t.user_id, t.tokens_added.label("tokens")).join(since, and_(t.user_id == since.c.user_id, t.created_at >= since.c.at))
    given = select(g.user_id, g.tokens).join(since, and_(g.user_id == since.c.user_id, moment >= since.c.at))
    nothing = select(since.c.user_id, literal(0).label("tokens"))
    parts = union_all(nothing, bought, given.where(g.kind.in_(("operator", "initial")))).subquery()
    return select(parts.c.user_id, func.sum(parts.c.tokens).label("tokens")).group_by(parts.c.user_id).subquery("kept")


def _fitting(held: Any, added: Any) -> ColumnElement[Any]:
    """A sum, or as much of it as the web app's column holds."""
    total = cast(held, BigInteger) + added
    return case((total > LARGEST, LARGEST), else_=total)


def _enter(connection: Connection, kind: str, due: FromClause, reason: str) -> None:
    """The ledger entries. Raises ConflictError where one of the causes was granted at the same moment, to somebody else."""
    columns = (due.c.cause, due.c.user_id, literal(kind), due.c.tokens, literal(reason), due.c.caused_at)
    names = ["cause", "user_id", "kind", "tokens", "reason", "caused_at"]
    try:
        connection.execute(insert(grants).from_select(names, select(*columns)))
    except IntegrityError as error:
        raise ConflictError(
            "A grant was made by somebody else at the same moment", "Nothing of this step was written; run it again"
        ) from error
