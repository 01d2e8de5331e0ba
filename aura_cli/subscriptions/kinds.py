"""The kinds of drift between Stripe and the database, in the order in which they are repaired.

Links come first, because a missing row needs its customer's user; `shadowed` after all that moves a row; grants last.
"""

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, select

from aura_cli.db.shared import subscriptions, users
from aura_cli.drift.kinds import Deed, Kind, field
from aura_cli.drift.tables import plan_rows
from aura_cli.subscriptions import grants
from aura_cli.users.departed import is_somebody

INSERTED = (
    "user_id",
    "stripe_subscription_id",
    "stripe_price_id",
    "status",
    "current_period_start",
    "current_period_end",
    "trial_end",
    "cancel_at_period_end",
    "created_at",
)


def _update(name: str, means: str, *columns: str) -> Kind:
    return Kind(name, means, Deed.UPDATE, subscriptions, "stripe_subscription_id", columns)


def _grant(
    name: str, means: str, holds: Callable[[], ColumnElement[bool]], book: Callable[[Connection, ColumnElement[bool]], None]
) -> Kind:
    return Kind(name, means, Deed.GRANT, holds=holds, book=book)


def _customer_is_linked() -> ColumnElement[bool]:
    """Over plan_rows: the user is there, and the customer who pays is theirs (linked long ago, or by this plan a moment ago)."""
    theirs = users.c.stripe_customer_id == field("after", "customer")
    return select(1).select_from(users).where(users.c.id == plan_rows.c.user_id, theirs).exists()


def _is_somebody() -> ColumnElement[bool]:
    """Over plan_rows: the user was not erased since."""
    return select(1).select_from(users).where(users.c.id == plan_rows.c.user_id, is_somebody()).exists()


_ALL = (
    Kind(
        "unknown_customer", "no user for a customer, and exactly one fits", Deed.UPDATE, users, "id", ("stripe_customer_id",), _is_somebody
    ),
    Kind(
        "missing_locally",
        "at Stripe, not here (ended ones with `--history`)",
        Deed.INSERT,
        subscriptions,
        "stripe_subscription_id",
        INSERTED,
        holds=_customer_is_linked,
    ),
    _update("status", "statuses differ", "status"),
    _update("period", "current periods differ", "current_period_start", "current_period_end"),
    _update("price", "prices differ", "stripe_price_id"),
    _update("trial", "ends of trial differ", "trial_end"),
    _update("cancel_flag", "`cancel_at_period_end` differs", "cancel_at_period_end"),
    _update("shadowed", "the web app would choose a row that does not entitle", "created_at"),
    _grant("balance", "access without a balance", grants.balance_is_absent, grants.book_first_month),
    _grant("renewal_missing", "a paid renewal newer than the last reset", grants.reset_is_as_before, grants.book_renewal),
    _grant("topup_missing", "a paid top-up without its row", grants.top_up_is_absent, grants.book_top_up),
    Kind("missing_remotely", "here, not at Stripe (confirmed one by one)", Deed.REPORT),
    Kind("duplicate_active", "billed for more than one subscription", Deed.REPORT),
    Kind("ambiguous_link", "a customer that nobody, or more than one user, may be", Deed.REPORT),
)
KINDS = {kind.name: kind for kind in _ALL}
