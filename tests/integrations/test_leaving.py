"""Erasing a person ends what they are connected with at the providers, and goes on with what could not be ended yet."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import integrations, users
from aura_cli.integrations.answers import Grant
from aura_cli.integrations.spool import Answer, Spool
from aura_cli.integrations.tables import connections, revocations
from tests.parts.program import Completed
from tests.parts.providers import Town


def erase(town: Town, who: str) -> Completed:
    """`aura users erase --apply`, of somebody whom Stripe does not know."""
    return town.aura("users", "erase", who, "--apply", "--no-privy", "--yes", "--json", env=town.env)


def rows(town: Town, table: Table) -> int:
    """How many there are."""
    with reading(town.engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def answer(row: str, user: str) -> Answer:
    """What a refresh left on this machine when the database was away."""
    grant: Any = Grant({"access_token": "sandbox-late-token"}, 3600, None, None, {})
    return Answer(row, user, "linear", "refresh_token", "sandbox-other", grant, datetime.now(UTC))


def test_revoked_and_forgotten(town: Town) -> None:
    """Each connection is revoked at its provider; rows, what is known of them and answers in the spool go; others keep theirs."""
    user, other = town.people(2)
    [row, _] = [*town.connect("linear", [user]), *town.connect("github", [user])]
    [others] = town.connect("linear", [other])
    town.refresh()
    spool = Spool.at(town.home, town.vault)
    spool.keep(answer(row, user))
    kept = spool.keep(answer(others, other))
    done = erase(town, user)
    assert done.exit == 0, done.err
    assert (done.json["revoked"], done.json["not_revoked"]) == (2, 0)
    assert [consent.alive for consent in town.state.consents_of("linear")] == [False, True]
    assert (rows(town, integrations), rows(town, connections), rows(town, users)) == (1, 1, 1)
    assert town.spool == [kept]


def test_what_could_not_be_revoked(town: Town) -> None:
    """A provider that is away holds nothing up: the person is erased, and a refresh revokes what is kept, sealed, until it succeeds."""
    [user] = town.people(1)
    town.connect("linear", [user])
    town.order("unavailable", request="revoke")
    done = erase(town, user)
    assert (done.exit, done.json["revoked"], done.json["not_revoked"]) == (3, 0, 1), done.err
    assert (rows(town, users), rows(town, revocations)) == (0, 1)
    with writing(town.engine) as connection:
        connection.execute(revocations.update().values(next_try_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert town("refresh").exit == 0
    assert rows(town, revocations) == 0
    assert not next(iter(town.state.consents_of("linear"))).alive


def test_every_copy_is_revoked(town: Town) -> None:
    """Two rows of one provider, as a merge of two people leaves them: both are revoked, and what could not be is kept of both."""
    [user, second] = town.people(2)
    town.connect("linear", [user, second, user])
    assert erase(town, user).exit == 0
    assert [consent.alive for consent in town.state.consents_of("linear")] == [False, True, False]
    town.connect("linear", [second])
    town.order("unavailable", request="revoke", times=100)
    assert erase(town, second).json["not_revoked"] == 1
    assert (rows(town, integrations), rows(town, revocations)) == (0, 2)


def test_while_it_is_refreshed(town: Town) -> None:
    """New tokens on their way would outlive it: 6, nothing is erased, and once more goes through."""
    [user] = town.people(1)
    town.connect("linear", [user])
    town.order("slow", value=4.0, request="refresh")
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    while town.asked() == 0 and process.poll() is None:
        time.sleep(0.01)
    held = erase(town, user)
    assert process.communicate(timeout=60)
    assert held.exit == 6
    assert (rows(town, users), rows(town, integrations)) == (1, 1)
    assert erase(town, user).exit == 0
    assert rows(town, users) == 0


def test_without_the_key(town: Town) -> None:
    """Where nothing can be sealed that may have to be revoked later, nothing is begun: 4."""
    [user] = town.people(1)
    town.connect("linear", [user])
    del town.env["INTEGRATION_ENCRYPTION_KEY"]
    assert erase(town, user).exit == 4
    assert (rows(town, users), rows(town, integrations)) == (1, 1)
