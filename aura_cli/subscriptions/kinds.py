"""The kinds of drift between Stripe and the database, in the order in which they are repaired.

Links come first, because a missing row needs its customer's user; `shadowed` after all that moves a row; grants last.
"""

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, select

from aura_cli.db.shared import subscriptions, token_balances, users
from aura_cli.drift.kinds import Deed, Kind
from aura_cli.drift.tables import plan_rows
from aura_cli.subscriptions import grants

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


def _update(name: str, *columns: str) -> Kind:
    return Kind(name, Deed.UPDATE, subscriptions, "stripe_subscription_id", columns)


def _grant(name: str, holds: Callable[[], ColumnElement[bool]], book: Callable[[Connection, ColumnElement[bool]], None]) -> Kind:
    return Kind(name, Deed.GRANT, token_balances, "user_id", holds=holds, book=book)


def _user_exists() -> ColumnElement[bool]:
    return select(1).select_from(users).where(users.c.id == plan_rows.c.user_id).exists()


_ALL = (
    Kind("unknown_customer", Deed.UPDATE, users, "id", ("stripe_customer_id",)),
    Kind("missing_locally", Deed.INSERT, subscriptions, "stripe_subscription_id", INSERTED, holds=_user_exists),
    _update("status", "status"),
    _update("period", "current_period_start", "current_period_end"),
    _update("price", "stripe_price_id"),
    _update("trial", "trial_end"),
    _update("cancel_flag", "cancel_at_period_end"),
    _update("shadowed", "created_at"),
    _grant("balance", grants.balance_is_absent, grants.book_first_month),
    _grant("renewal_missing", grants.reset_is_as_before, grants.book_renewal),
    _grant("topup_missing", grants.top_up_is_absent, grants.book_top_up),
    Kind("missing_remotely", Deed.REPORT),
    Kind("duplicate_active", Deed.REPORT),
    Kind("ambiguous_link", Deed.REPORT),
)
KINDS = {kind.name: kind for kind in _ALL}
