"""A sync that is broken off: by Privy, by a signal, by kill -9, by another sync; and one of thousands of users."""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.db.shared import users
from aura_cli.db.tables import leases
from aura_cli.drift.tables import scans
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.privy.users import user_object
from aura_cli.users.sync import LEASE
from aura_cli.users.tables import privy_users
from tests.parts.postgres import Pooler
from tests.parts.privy import PAGE, Pages, configuration, serving
from tests.parts.program import Aura, Completed
from tests.parts.sampling import sample
from tests.users.conftest import counts, state

USERS = [user_object(person) for person in build(730, seed=11, now=1_795_000_000).people]
LAST = (len(USERS) - 1) // PAGE
KILLS = [(place, random.Random(place).randrange(LAST + 1), random.Random(place).uniform(0, 0.08)) for place in range(20)]


@pytest.fixture
def privy() -> Iterator[Pages]:
    """730 users on eight pages."""
    with serving(Pages(USERS)) as pages:
        yield pages


class Holding:
    """Holds the request for one page up until it is let go."""

    def __init__(self, page: int) -> None:
        self.page, self.arrived, self.go = page, threading.Event(), threading.Event()

    def __call__(self, page: int) -> None:
        if page == self.page:
            self.arrived.set()
            self.go.wait(60)


def sync(aura: Aura, pages: Pages, url: str, *arguments: str) -> Completed:
    return aura("users", "sync", "--json", *arguments, env=configuration(pages.base, url))


def until_stored(engine: Engine, pages: int) -> None:
    """Wait, at most half a minute, until so many pages of users have been written."""
    deadline = time.monotonic() + 30
    while True:
        with reading(engine) as connection:
            if (found := connection.execute(select(func.count()).select_from(users)).scalar_one()) == pages * PAGE:
                return
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_a_page_that_is_not_json(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """Exit 7; what was read stays, nobody is called missing, and the next run goes on at this page."""
    stale = next(user["id"] for user in USERS[LAST * PAGE :] if user["linked_accounts"][0]["type"] == "email")
    with writing(engine) as connection:
        connection.execute(users.insert().values(privy_user_id=stale, email="old@example.com"))
        connection.execute(users.insert().values(privy_user_id="did:privy:cgone", email="gone@example.com"))
    privy.replaced[3] = 200, b"<html>Bad gateway</html>"
    done = sync(aura, privy, database_url)
    assert done.exit == 7, done.err
    assert json.loads(done.err.splitlines()[-1])["error"]["kind"] == "service"
    assert (privy.asked, privy.asked_for) == ([0, 1, 2, 3], [])
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).where(privy_users.c.missing_since.is_not(None))).scalar() == 0
        assert connection.execute(select(func.count()).select_from(users)).scalar() == 3 * PAGE + 2
    privy.asked.clear()
    privy.replaced.clear()
    assert counts(sync(aura, privy, database_url).json) == (len(USERS), len(USERS) - 1, 1, 0, 1, 0)
    assert privy.asked == list(range(3, LAST + 1))
    assert privy.asked_for == ["did:privy:cgone"]


def test_a_list_that_goes_in_circles(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """A page that names itself as the next is an error and no endless loop."""
    privy.replaced[2] = 200, json.dumps({"data": USERS[:1], "next_cursor": "page-2"}).encode()
    assert sync(aura, privy, database_url).exit == 7
    assert privy.asked == [0, 1, 2]


@pytest.mark.parametrize("why", ["asked for", "too old"])
def test_when_a_scan_is_not_carried_on(aura: Aura, engine: Engine, database_url: str, privy: Pages, why: str) -> None:
    """With --fresh, and where the scan that was broken off began more than a day ago, the list is read from its start."""
    privy.replaced[3] = 200, b"<html>"
    assert sync(aura, privy, database_url).exit == 7
    if why == "too old":
        with writing(engine) as connection:
            connection.execute(scans.update().values(started_at=datetime.now(UTC) - timedelta(hours=25)))
    privy.replaced.clear()
    privy.asked.clear()
    done = sync(aura, privy, database_url, *(["--fresh"] if why == "asked for" else []))
    assert (done.exit, counts(done.json)) == (0, (len(USERS), len(USERS) - 3 * PAGE, 0, 3 * PAGE, 0, 0))
    assert privy.asked == list(range(LAST + 1))


def test_a_saved_cursor_that_privy_no_longer_takes(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """It begins anew by itself, and says so."""
    privy.replaced[3] = 200, b"<html>"
    assert sync(aura, privy, database_url).exit == 7
    privy.replaced[3] = 400, b'{"error": "Invalid cursor"}'
    privy.asked.clear()
    privy.hold = lambda page: privy.replaced.clear() if page == 0 else None
    done = sync(aura, privy, database_url)
    assert (done.exit, done.json["scanned"]) == (0, len(USERS)), done.err
    assert privy.asked == [3, *range(LAST + 1)]
    assert "beginning anew" in done.err


def test_missing_only_after_a_404(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """Somebody whom the list leaves out is asked for: who is there after all is taken over, an odd answer is a failure, 404 is missing."""
    shy = {**USERS[0], "id": "did:privy:cshy"}
    privy.unlisted = [shy]
    with writing(engine) as connection:
        for did in ("did:privy:cshy", "did:privy:cgone", "did:other:cnotprivy"):
            connection.execute(users.insert().values(privy_user_id=did))
    result = sync(aura, privy, database_url)
    assert result.exit == 3
    assert counts(result.json) == (len(USERS) + 1, len(USERS), 1, 0, 1, 0)
    assert sorted(privy.asked_for) == ["did:privy:cgone", "did:privy:cshy"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_at_a_safe_point(
    aura: Aura, engine: Engine, database_url: str, privy: Pages, number: signal.Signals, code: int
) -> None:
    """It ends at once although Privy does not answer; the next run asks for no page a second time."""
    holding = Holding(4)
    privy.hold = holding
    process = aura.start("users", "sync", env=configuration(privy.base, database_url))
    assert holding.arrived.wait(30)
    until_stored(engine, 4)
    process.send_signal(number)
    assert process.wait(10) == code
    holding.go.set()
    privy.asked.clear()
    done = sync(aura, privy, database_url)
    assert (done.exit, done.json["scanned"], done.json["created"]) == (0, len(USERS), len(USERS)), done.err
    assert privy.asked == list(range(4, LAST + 1))


@pytest.mark.parametrize(("place", "page", "delay"), sample(KILLS, 2, seed=1))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment(
    aura: Aura, engine: Engine, database_url: str, privy: Pages, number: signal.Signals, place: int, page: int, delay: float
) -> None:
    """After a kill -9 (or SIGTERM) somewhere around a page, the next run ends as one run would have: same rows, same counts."""
    del place
    with writing(engine) as connection:
        connection.execute(users.insert().values(privy_user_id=USERS[0]["id"], name="Old name"))
        connection.execute(users.insert().values(privy_user_id="did:privy:cgone"))
    arrived = threading.Event()
    privy.hold = lambda asked: arrived.set() if asked == page else None
    process = aura.start("users", "sync", env=configuration(privy.base, database_url))
    assert arrived.wait(30)
    time.sleep(delay)
    process.send_signal(number)
    ended = process.wait(15)
    assert ended in ({-signal.SIGKILL, 3} if number == signal.SIGKILL else {143, 3}), process.stderr and process.stderr.read()
    done = sync(aura, privy, database_url)
    assert done.exit == 3, done.err
    result = done.json
    assert result["scanned"] == len(USERS)
    assert result["missing"] == 1
    expected = sorted([*(user["id"] for user in USERS), "did:privy:cgone"])
    found = state(engine)
    assert [one[0] for one in found] == expected
    assert {one[0]: one[6] for one in found if one[0] != "did:privy:cgone"} == {user["id"]: user["linked_accounts"] for user in USERS}
    assert [one[0] for one in found if not one[8]] == ["did:privy:cgone"]
    again = sync(aura, privy, database_url)
    assert counts(again.json) == (len(USERS), 0, 0, len(USERS), 1, 0)
    assert state(engine) == found


def test_two_at_once(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """The second ends with exit 6 and names the first; a dry run does too; one person can be synced meanwhile."""
    holding = Holding(2)
    privy.hold = holding
    first = aura.start("users", "sync", env=configuration(privy.base, database_url))
    assert holding.arrived.wait(30)
    for arguments in ((), ("-n",)):
        second = sync(aura, privy, database_url, *arguments)
        assert second.exit == 6
        assert str(first.pid) in second.err
    assert sync(aura, privy, database_url, USERS[700]["id"]).exit == 0
    holding.go.set()
    assert first.wait(30) == 0
    assert len(state(engine)) == len(USERS)


def test_a_lease_that_was_lost_writes_nothing_more(aura: Aura, engine: Engine, database_url: str, privy: Pages) -> None:
    """Somebody else took over while this one waited for Privy: it finds out in the transaction that would have written."""
    holding = Holding(2)
    privy.hold = holding
    first = aura.start("users", "sync", env=configuration(privy.base, database_url))
    assert holding.arrived.wait(30)
    until_stored(engine, 2)
    with writing(engine) as connection:
        connection.execute(leases.delete())
    with lease(engine, LEASE):
        holding.go.set()
        assert first.wait(30) == 6
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(users)).scalar() == 2 * PAGE


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("through", ["sqlite", "pgbouncer"])
def test_five_thousand(aura: Aura, request: pytest.FixtureRequest, through: str) -> None:
    """5,000 users on SQLite and through PgBouncer in transaction mode; the second run changes nothing, the third finds 50 changes."""
    direct = str(request.getfixturevalue("sqlite_database" if through == "sqlite" else "postgres_database"))
    pooler: Pooler | None = None if through == "sqlite" else request.getfixturevalue("pgbouncer")
    url = pooler.url(direct) if pooler else direct
    many = [user_object(person) for person in build(5_000, seed=12, now=1_795_000_000).people]
    with serving(Pages(many)) as pages:
        assert counts(sync(aura, pages, url).json) == (5_000, 5_000, 0, 0, 0, 0)
        assert counts(sync(aura, pages, url).json) == (5_000, 0, 0, 5_000, 0, 0)
        renamed = {"type": "farcaster", "display_name": "Somebody Else"}
        pages.users = [{**user, "linked_accounts": [renamed]} if number % 100 == 0 else user for number, user in enumerate(many)]
        assert counts(sync(aura, pages, url).json) == (5_000, 0, 50, 4_950, 0, 0)
