"""Kinds and a plan over the shared tables, made up for the tests: an update, an insertion, a grant, a report."""

import os
import signal
import sys
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Text,
    cast,
    event,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    type_coerce,
)

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.db.shared import subscriptions, token_balances, users
from aura_cli.db.types import Json, from_epoch, json_record, text_of
from aura_cli.drift import apply, plan
from aura_cli.drift.kinds import Deed, Kind
from aura_cli.drift.tables import plan_rows
from tests.parts.migrated import engine_of

NAME = 'Ünïcode "quotes" \\ , # \n{}'
SCAN = "00000000-0000-4000-8000-000000000000"
STARTED = 1_700_000_001


def _no_balance() -> ColumnElement[bool]:
    return ~select(1).select_from(token_balances).where(token_balances.c.user_id == plan_rows.c.user_id).exists()


def _give(connection: Connection, chosen: ColumnElement[bool]) -> None:
    given = select(plan_rows.c.user_id, literal(7)).where(chosen)
    connection.execute(token_balances.insert().from_select(["user_id", "balance"], given))


INSERTED = ("user_id", "stripe_subscription_id", "status", "cancel_at_period_end", "trial_end", "created_at")
_ALL = (
    Kind("renamed", "another name", Deed.UPDATE, users, "id", ("name", "stripe_customer_id")),
    Kind("added", "absent", Deed.INSERT, subscriptions, "stripe_subscription_id", INSERTED),
    Kind("allowance", "no balance", Deed.GRANT, token_balances, "user_id", holds=_no_balance, book=_give),
    Kind("odd", "looks odd", Deed.REPORT),
)
KINDS = {kind.name: kind for kind in _ALL}


def people(engine: Engine, count: int) -> None:
    """As many users, with a name and without a customer."""
    with writing(engine) as connection:
        connection.execute(users.insert(), [{"privy_user_id": f"did:privy:{n}", "name": NAME} for n in range(count)])


def _record(**members: Any) -> Any:
    parts: list[Any] = []
    for name, value in members.items():
        parts += [literal_column(f"'{name}'"), value]
    return json_record(*parts)


def make_plan(engine: Engine, *, complete: bool = True) -> str:
    """A plan that holds one row of each kind for each user."""
    subscription = literal("sub_").concat(users.c.privy_user_id)
    started = text_of(from_epoch(cast(literal_column(str(STARTED)), BigInteger)))
    after_insert = _record(
        user_id=users.c.id,
        stripe_subscription_id=subscription,
        status=literal_column("'past_due'"),
        cancel_at_period_end=text_of(false()),
        trial_end=null(),
        created_at=started,
    )
    before = _record(name=users.c.name, stripe_customer_id=users.c.stripe_customer_id)
    after = _record(name=users.c.name.concat(literal_column("'!'")), stripe_customer_id=literal_column("'cus_new'"))
    nothing, no_text = type_coerce(cast(null(), Json), Json), cast(null(), Text)
    user = users.c.id
    found = {
        "renamed": select(cast(user, Text).label("key"), no_text.label("s"), user.label("u"), before.label("b"), after.label("a")),
        "added": select(subscription.label("key"), subscription.label("s"), user.label("u"), nothing.label("b"), after_insert.label("a")),
        "allowance": select(cast(user, Text).label("key"), no_text.label("s"), user.label("u"), nothing.label("b"), nothing.label("a")),
        "odd": select(cast(user, Text).label("key"), no_text.label("s"), user.label("u"), nothing.label("b"), nothing.label("a")),
    }
    with writing(engine) as connection:
        plan_id = plan.create(connection, "test", SCAN, complete=complete, rows_here=1)
        for name, statement in found.items():
            plan.add(connection, plan_id, KINDS[name], statement)
    return plan_id


def carry_out(engine: Engine, plan_id: str, **options: Any) -> apply.Applied:
    with lease(engine, "test") as held:
        return apply.apply(engine, plan_id, KINDS, "somebody", lease=held, **options)


def outcome(engine: Engine) -> dict[str, Any]:
    """What a plan leaves behind, without ids and times that differ from run to run."""
    with reading(engine) as connection:

        def count(statement: Any) -> list[tuple[Any, ...]]:
            return sorted(tuple(row) for row in connection.execute(statement))

        return {
            "names": count(select(users.c.privy_user_id, users.c.name, users.c.stripe_customer_id)),
            "subscriptions": count(
                select(
                    subscriptions.c.stripe_subscription_id,
                    subscriptions.c.status,
                    subscriptions.c.cancel_at_period_end,
                    subscriptions.c.created_at,
                )
            ),
            "balances": count(select(users.c.privy_user_id, token_balances.c.balance).join(token_balances)),
            "log": count(select(operator_log.c.what, func.count()).group_by(operator_log.c.what)),
            "rows": count(select(plan_rows.c.kind, plan_rows.c.state, func.count()).group_by(plan_rows.c.kind, plan_rows.c.state)),
        }


if __name__ == "__main__":  # python -m tests.drift.fabricated URL PLAN N: apply, and be killed before the N-th statement
    left = int(sys.argv[3])

    def count_down(*_: object) -> None:
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with engine_of(sys.argv[1]) as own:
        with own.connect():
            event.listen(own, "before_cursor_execute", count_down)
        carry_out(own, sys.argv[2])
