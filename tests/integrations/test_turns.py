"""Turns at connections that other refreshers had before: what they left behind counts before the provider is asked again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from aura_cli.cron.limit import Limit
from aura_cli.db.engine import writing
from aura_cli.db.leases import identity
from aura_cli.integrations.answers import Grant
from aura_cli.integrations.asking import Asker
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.claims import Wanted
from aura_cli.integrations.keeping import Chosen, Keeper
from aura_cli.integrations.refresh import Refresher
from aura_cli.integrations.settling import Book
from aura_cli.integrations.spool import Answer, Spool
from aura_cli.integrations.tables import connections, provider_states
from aura_cli.integrations.wire import Wire
from aura_cli.settings import Setting, Settings
from tests.parts.providers import Town

DUE = Wanted(timedelta(minutes=15))


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def refresher(town: Town) -> Iterator[Refresher]:
    """A refresher in this process."""
    settings = Settings({name: Setting(text, "test") for name, text in town.env.items()}, (), town.home, "tester")
    with Wire() as wire:
        asker = Asker(wire, settings, Spool.at(town.home, town.vault), now)
        book = Book(town.engine, town.vault, "tester")
        yield Refresher(town.engine, load(town.home / "providers"), asker, book, DUE, now, lambda one: None, 4)


def lease(town: Town, row: str, user: str, owner: str, lasts: timedelta) -> None:
    """Somebody's turn at a connection, under way."""
    turn = {"integration_id": row, "user_id": user, "provider": "linear", "lease_owner": owner, "intent_at": now()}
    with writing(town.engine) as connection:
        connection.execute(connections.insert().values(**turn, lease_expires_at=now() + lasts))


def test_an_answer_that_somebody_died_over_meanwhile(town: Town) -> None:
    """Its turn is taken over, and its answer is in the spool: the provider, which has rotated, is not asked with the old token."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    host, _, started, *rest = identity().split(":")
    lease(town, row, user, ":".join((host, "4194305", started, *rest)), timedelta(minutes=3))
    consent = next(iter(town.state.consents_of("linear")))
    secrets = {"access_token": town.state.issue(consent, refresh=False, lifetime=3600), "refresh_token": "rotated"}
    with refresher(town) as one:
        grant = Grant(secrets, 3600, None, None, {})
        one.asker.spool.keep(Answer(row, user, "linear", "refresh_token", town.secret(row), grant, now()))
        one.run([row])
        assert (town.asked(), one.busy, len(town.spool)) == (0, 1, 1)
    assert town.refresh()["stored"] == 1
    assert town.secret(row) == "rotated"


def test_a_long_wait_keeps_its_turn(town: Town) -> None:
    """While a provider takes its time the lease is prolonged: nobody else sends the same refresh token."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    town.order("slow", value=2.0)
    with refresher(town) as one:
        one.beat = 0.2
        seen = []

        def shorten(found: object) -> None:
            seen.append(found)

        one.told = shorten
        import threading

        working = threading.Thread(target=one.run, args=([row],))
        working.start()
        while town.asked() == 0:
            threading.Event().wait(0.01)
        with writing(town.engine) as connection:
            connection.execute(connections.update().values(lease_expires_at=now() + timedelta(seconds=1)))
        threading.Event().wait(1.2)
        assert town.known(row).lease_expires_at > now() + timedelta(seconds=100)
        working.join()
        assert len(seen) == 1
    assert town.known(row).lease_owner is None


def test_no_turn_begins_once_it_is_to_end(town: Town) -> None:
    """What is on its way is waited for, the rest is left to the next run, without a lease."""
    rows = town.connect("linear", town.people(40))
    town.order("slow", value=1.0, times=40)
    with refresher(town) as one:
        with Limit(0.3).handed_on(one.asker.wire.stop):
            one.run(rows)
        assert 0 < town.asked() <= 2 * one.at_once
    assert {known.lease_owner for row in rows if (known := town.known(row))} == {None}


def test_any_connection_may_be_the_one_that_tries(town: Town) -> None:
    """Whether a stopped provider is well again is not always asked for the same one: its own trouble would keep all others waiting."""
    rows = town.connect("linear", town.people(12))
    with refresher(town) as one:
        from aura_cli.integrations.state import definition

        linear = one.catalogue.get("linear")
        state = {"failure": "provider_down", "alike": 10, "stopped_until": now() - timedelta(seconds=1)}
        with writing(town.engine) as connection:
            connection.execute(provider_states.insert().values(provider="linear", definition=definition(linear), **state))
        keeper = Keeper(town.engine, one.catalogue, one.asker, one.book, now, print)
        plans = [keeper.plan(DUE, Chosen()) for _ in range(20)]
    assert {(len(plan.due), plan.counts["stopped"]) for plan in plans} == {(1, len(rows) - 1)}
    assert len({plan.due[0].read.id for plan in plans}) > 1
