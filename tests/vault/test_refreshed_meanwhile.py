"""A refresh that was asking while the rows came under another key: its answer is kept for whoever has that key."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.shared import users
from aura_cli.integrations.answers import Grant
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.settling import Book
from aura_cli.integrations.verdicts import Outcome, Result
from aura_cli.vault.keyring import KeyRing
from tests.vault.world import NEW, OLD, fill, opened, ring, stored, under, write

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("rotated", [False, True])
def test_an_answer_is_stored_once_the_row_can_be_opened(engine: Engine, rotated: bool) -> None:
    """A program with the old key alone leaves the row as it is and says so; one with both stores the answer, under the new one."""
    key = NEW if rotated else OLD
    provider = load().providers["hubspot"]
    number = fill(engine, [{"provider": provider.provider, "access_token": under(OLD, "a"), "refresh_token": under(OLD, "sent")}])[0]
    write(engine, provider.provider, access_token=under(key, "a"), refresh_token=under(key, "sent"))
    before = stored(engine)
    user = owner(engine)
    grant = Grant({"access_token": "new a", "refresh_token": "new r"}, 3600, None, None, {})

    def settle(keys: KeyRing, *, recovered: bool) -> Result:
        outcome = Outcome(provider, number, user, "refresh_token", "sent", NOW, grant, recovered=recovered)
        settled, _ = Book(engine, keys, "tester").settle([outcome], NOW + timedelta(seconds=1))
        return settled[0].result

    first = settle(ring(OLD), recovered=False)
    assert first == (Result.SHUT if rotated else Result.REFRESHED)
    assert (stored(engine) == before) is rotated
    if rotated:
        assert settle(ring(NEW, OLD), recovered=True) == Result.REFRESHED
    row = stored(engine)[0]
    assert (opened(key, row.access), opened(key, row.refresh)) == ("new a", "new r")


def owner(engine: Engine) -> str:
    with reading(engine) as connection:
        return str(connection.execute(select(users.c.id)).scalar_one())
