"""A plan is applied once, only where its rows still are as they were, and can be killed anywhere."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import connect, writing
from aura_cli.db.leases import lease
from aura_cli.db.shared import subscriptions, token_balances, users
from aura_cli.db.tables import leases
from aura_cli.drift.apply import CHUNK, Applied, apply, foresee
from aura_cli.drift.plan import changes, counts, require_plausible
from aura_cli.errors import AuraError, ConflictError
from tests.drift.fabricated import KINDS, NAME, STARTED, carry_out, make_plan, outcome, people
from tests.parts.program import REPOSITORY
from tests.parts.sampling import sample

FULL = {"allowance": "applied", "added": "applied", "odd": "reported", "renamed": "applied"}


def change(engine: Engine, statement: Any) -> None:
    with writing(engine) as connection:
        connection.execute(statement)


def test_everything_is_applied_once(engine: Engine) -> None:
    """Each kind does its deed, to the value; the operator log tells of each row; a second run does nothing."""
    people(engine, 3)
    plan_id = make_plan(engine)
    assert len(list(changes(engine, plan_id))) == 12
    with engine.connect() as connection:
        assert counts(connection, plan_id, state="pending") == {"added": 3, "allowance": 3, "renamed": 3}
    assert carry_out(engine, plan_id) == Applied(9, 0)
    found = outcome(engine)
    assert found["names"] == [(f"did:privy:{n}", f"{NAME}!", "cus_new") for n in range(3)]
    assert found["subscriptions"] == [(f"sub_did:privy:{n}", "past_due", False, datetime.fromtimestamp(STARTED, UTC)) for n in range(3)]
    assert found["balances"] == [(f"did:privy:{n}", 7) for n in range(3)]
    assert found["log"] == [("drift.added", 3), ("drift.allowance", 3), ("drift.renamed", 3)]
    assert found["rows"] == [(kind, state, 3) for kind, state in sorted(FULL.items())]
    assert carry_out(engine, plan_id) == Applied(0, 0)
    assert outcome(engine) == found


def test_what_would_be_done_is_what_is_done(engine: Engine) -> None:
    """Looking ahead counts the rows that still hold, those that have moved, and writes nothing."""
    people(engine, 3)
    plan_id = make_plan(engine)
    with writing(engine) as connection:
        connection.execute(users.update().where(users.c.privy_user_id == "did:privy:1").values(name="moved"))
    before = outcome(engine)
    with writing(engine) as connection:
        seen = foresee(connection, plan_id, KINDS)
    assert seen.skipped == 1
    assert outcome(engine) == before
    assert carry_out(engine, plan_id) == seen
    with writing(engine) as connection:
        assert foresee(connection, plan_id, KINDS) == Applied(0, 0)


MOVES: list[tuple[str, Callable[[str], Any]]] = [
    ("renamed", lambda user: users.update().where(users.c.id == user).values(name=None)),
    ("renamed", lambda user: users.update().where(users.c.id == user).values(stripe_customer_id="cus_other")),
    ("added", lambda user: subscriptions.insert().values(user_id=user, stripe_subscription_id="sub_did:privy:0", status="active")),
    ("allowance", lambda user: token_balances.insert().values(user_id=user, balance=1)),
]


@pytest.mark.parametrize(("kind", "move"), MOVES)
def test_what_moved_is_skipped(engine: Engine, kind: str, move: Callable[[str], Any]) -> None:
    """A row that is no longer as the plan found it is left as it is, the others are written."""
    people(engine, 2)
    plan_id = make_plan(engine)
    with engine.connect() as connection:
        user = connection.execute(select(users.c.id).where(users.c.privy_user_id == "did:privy:0")).scalar_one()
    change(engine, move(user))
    moved = outcome(engine)
    assert carry_out(engine, plan_id) == Applied(5, 1)
    found = outcome(engine)
    assert (kind, "skipped", 1) in found["rows"]
    place = {"renamed": "names", "added": "subscriptions", "allowance": "balances"}[kind]
    assert found[place][0] == moved[place][0]
    assert (f"drift.{kind}", 1) in found["log"]


def test_a_vanished_user_is_skipped(engine: Engine) -> None:
    """Rows of a user who was deleted meanwhile are skipped where they are updates."""
    people(engine, 2)
    plan_id = make_plan(engine)
    change(engine, users.delete().where(users.c.privy_user_id == "did:privy:0"))
    only = {"renamed": KINDS["renamed"]}
    with lease(engine, "test") as held:
        assert apply(engine, plan_id, only, "somebody", lease=held) == Applied(1, 1)


def test_chunks(engine: Engine) -> None:
    """More rows than a chunk holds are applied chunk by chunk, each counted."""
    people(engine, CHUNK + 5)
    plan_id = make_plan(engine)
    seen: list[int] = []
    assert carry_out(engine, plan_id, tick=seen.append).applied == 3 * (CHUNK + 5)
    assert seen == [CHUNK, CHUNK + 5, 2 * CHUNK + 5, 2 * (CHUNK + 5), 3 * CHUNK + 10, 3 * (CHUNK + 5)]


def test_killed_anywhere(engine: Engine, database_url: str) -> None:
    """Killed before any of its statements, a plan that is applied again ends as if nothing had happened."""
    people(engine, 3)
    plan_id = make_plan(engine)
    killed = 0
    for place in sample(range(1, 40), 3):
        command = [sys.executable, "-m", "tests.drift.fabricated", database_url, plan_id, str(place)]
        killed += subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -9
    assert killed
    carry_out(engine, plan_id)
    found = outcome(engine)
    assert found["names"][0] == ("did:privy:0", f"{NAME}!", "cus_new")
    assert (len(found["subscriptions"]), len(found["balances"])) == (3, 3)
    assert found["log"] == [("drift.added", 3), ("drift.allowance", 3), ("drift.renamed", 3)]


def test_two_at_once(engine: Engine) -> None:
    """Of two that apply the same plan at once, one is refused or finds nothing left; the outcome is that of one."""
    people(engine, 400)
    plan_id = make_plan(engine)
    ended: list[Any] = []

    def run() -> None:
        other = connect(engine.url.render_as_string(hide_password=False))
        try:
            ended.append(carry_out(other, plan_id))
        except AuraError as error:
            ended.append(error.exit_code)
        finally:
            other.dispose()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Applied(1200, 0) in ended
    assert all(end in (Applied(1200, 0), Applied(0, 0), 6) for end in ended)
    assert outcome(engine)["log"] == [("drift.added", 400), ("drift.allowance", 400), ("drift.renamed", 400)]


def test_a_lost_lease_stops(engine: Engine) -> None:
    """Whoever lost the lease writes nothing."""
    people(engine, 1)
    plan_id = make_plan(engine)
    with lease(engine, "test") as held:
        change(engine, leases.update().values(owner="elsewhere:1:2:3:4"))
        with pytest.raises(ConflictError):
            apply(engine, plan_id, KINDS, "somebody", lease=held)
    assert not outcome(engine)["log"]


@pytest.mark.parametrize(
    ("found", "rows", "limit", "stops"),
    [
        ({"renamed": 50}, 0, None, False),
        ({"renamed": 51}, 0, None, True),
        ({"renamed": 30, "allowance": 21}, 1_000, None, True),
        ({"renamed": 500}, 10_000, None, False),
        ({"renamed": 501}, 10_000, None, True),
        ({"added": 9_999, "odd": 9_999}, 0, None, False),
        ({"renamed": 1}, 10_000, 0, True),
        ({"renamed": 501}, 10_000, 501, False),
    ],
)
def test_implausible_plans(found: dict[str, int], rows: int, limit: int | None, stops: bool) -> None:
    """Changes to rows that exist are limited to the larger of 50 and 5 %, or to what was said; additions and reports are not counted."""
    if not stops:
        require_plausible(found, KINDS, rows, limit)
        return
    with pytest.raises(ConflictError, match="Nothing was written"):
        require_plausible(found, KINDS, rows, limit)
