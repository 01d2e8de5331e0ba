"""What `aura explain` says is owed to somebody: that alone which its repair would give, and what has had its time is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aura_cli.db.engine import writing
from aura_cli.db.shared import token_balances
from aura_cli.sandbox.population import Contract
from tests.insight.desk import Desk, sat_down
from tests.parts.books import DAY, NOW, renewed
from tests.parts.program import Aura

LIVING = renewed("one", paid=3 * DAY)


def test_an_invitation_that_has_expired(desk: Desk) -> None:
    """Whom nobody waits for any more is not to be written to: nothing is broken, and the story still has it."""
    for ago in (timedelta(days=400), timedelta(days=7, minutes=1)):
        desk.invite(f"guest{ago.days}@example.com", at=datetime.now(UTC) - ago)
    for asked in ("", "guest400@example.com", "guest7@example.com"):
        found = desk.explain(asked)
        assert (found["verdict"], found["others"]) == (None, []), asked
        assert "invitation made" in [moment["what"] for moment in found["timeline"]]
    desk.invite("guest6@example.com", at=datetime.now(UTC) - timedelta(days=6, hours=23))
    assert "guest6@example.com was invited by " in desk.explain(exit=3)["verdict"]["what"]


def neglected(desk: Desk) -> None:
    """Nobody has reset a balance for years."""
    with writing(desk.books.engine) as connection:
        connection.execute(token_balances.update().values(last_reset_at=datetime(2020, 1, 1, tzinfo=UTC)))


def test_a_renewal_that_was_missed(aura: Aura, migrated: None, database_url: str, tmp_path: Path) -> None:
    """The balance of who goes on paying was never reset: a reconcile of this person does it."""
    with sat_down(aura, database_url, tmp_path, LIVING) as desk:
        neglected(desk)
        verdict = desk.explain(exit=3)["verdict"]
        assert (verdict["link"], verdict["what"].partition(" was paid ")[0]) == ("tokens", "The renewal in_one2")
        desk.repair(verdict["fix"])
        assert desk.told("sub_one").verdict is None


@pytest.mark.parametrize(
    "bought",
    [
        replace(LIVING, status="canceled", ended=NOW - DAY),
        replace(LIVING, status="past_due"),
        replace(LIVING, period_start=LIVING.created),
    ],
    ids=lambda bought: bought.status,
)
def test_a_renewal_that_nobody_grants(aura: Aura, migrated: None, sqlite_database: str, tmp_path: Path, bought: Contract) -> None:
    """Of a subscription that has ended, is unpaid or is in its first period a reconcile grants none: none is missed, for ever."""
    with sat_down(aura, sqlite_database, tmp_path, bought) as desk:
        neglected(desk)
        found = desk.told("sub_one")
        assert (found.verdict, found.others) == (None, [])
