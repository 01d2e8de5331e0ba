"""A `reconcile --apply` that is killed, interrupted, or fed with errors: the next one ends where an undisturbed one would have."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select, text

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.drift.tables import plan_rows, plans
from aura_cli.errors import AuraError, ServiceError, UnreachableError
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.generation import build
from aura_cli.subscriptions.tables import staged_subscriptions
from tests.parts.books import NOW, Books, opened
from tests.parts.postgres import Server
from tests.parts.program import Aura
from tests.parts.sampling import sample

APPLY = ("subscriptions", "reconcile", "--apply", "--json")
PEOPLE = build(160, 5, NOW)
State = tuple[Any, Any]


@pytest.fixture
def books(migrated: None, database_url: str, tmp_path: Path) -> Iterator[Books]:
    """160 people and every kind of drift, once on each database."""
    with opened(database_url, PEOPLE, tmp_path, drift=True) as found:
        yield found


@pytest.fixture(scope="session")
def undisturbed(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """How the shared tables and the ledger stand on each database after a reconcile that nothing came in the way of."""
    states = {}
    with postgres_server.database() as name:
        for url in (postgres_server.url(name), f"sqlite:///{tmp_path_factory.mktemp('undisturbed') / 'aura.db'}"):
            with opened(url, PEOPLE, Path(), drift=True) as books:
                assert books.repair().left == 0
                states[books.engine.dialect.name] = state(books)
    return states


def state(books: Books) -> State:
    return books.shared(), [(cause, str(user), kind, tokens) for cause, user, kind, tokens in books.ledger()]


def deeds(books: Books) -> int:
    with reading(books.engine) as connection:
        return connection.execute(select(func.count()).select_from(operator_log)).scalar_one()


def until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for a moment in the life of a process, or its end."""
    while not condition() and process.poll() is None:
        time.sleep(0.002)


KILLS = [(place, Random(place)) for place in range(20)]


@pytest.mark.parametrize(("place", "dice"), sample(KILLS, 4, seed=3), ids=[str(place) for place, _ in sample(KILLS, 4, seed=3)])
def test_killed_anywhere(aura: Aura, books: Books, undisturbed: dict[str, State], place: int, dice: Random) -> None:
    """kill -9 while it reads, compares, or between two deeds; the next run needs no help and ends in the same state."""
    books.stripe.faults.latency = 0.01
    process = aura.start(*APPLY, env=books.variables)
    if place % 2:
        wanted = dice.randrange(1, 20)
        until(lambda: deeds(books) >= wanted, process)
    else:
        wanted = dice.randrange(1, 30)
        until(lambda: len(books.stripe.asked) >= wanted, process)
        time.sleep(dice.uniform(0, 0.3))
    process.kill()
    process.wait()
    books.stripe.faults.latency = 0
    assert aura(*APPLY, *(["--resume"] if place % 4 < 2 else []), env=books.variables).exit == 0
    assert state(books) == undisturbed[books.engine.dialect.name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_stopped_while_it_reads_and_resumed(aura: Aura, postgres_database: str, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """It stops at once with a plan made of nothing; `--resume` asks for no page again that was stored."""
    with opened(postgres_database, build(2500, 5, NOW), tmp_path, drift=True) as books:
        before, served = books.shared(), list[str]()

        def slow_down(asked: Any, answer: Any) -> Any:
            if len(books.stripe.asked) > 5:
                books.stripe.faults.latency = 60
            return answer

        books.stripe.edit = slow_down
        process = aura.start(*APPLY, env=books.variables)
        until(lambda: staged(books) > 100, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (code, ""), err
        assert "Stopped at a safe point" in err
        assert books.shared() == before
        with reading(books.engine) as connection:
            stored = set(connection.execute(select(staged_subscriptions.c.id)).scalars())
            assert not connection.execute(select(plans.c.id)).all()
        books.stripe.faults.latency = 0

        def note(asked: Any, answer: Any) -> Any:
            if asked.path == "/v1/subscriptions":
                served.extend(one["id"] for one in answer["data"])
            return answer

        books.stripe.edit = note
        assert aura(*APPLY, "--resume", env=books.variables).exit == 0
        assert stored
        assert not stored & set(served)
        assert stored | set(served) == {one.id for one in books.stripe.state.subscriptions}
        assert books.found() == []


def staged(books: Books) -> int:
    with reading(books.engine) as connection:
        return connection.execute(select(func.count()).select_from(staged_subscriptions)).scalar_one()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_stopped_while_it_applies(
    aura: Aura, postgres_database: str, tmp_path: Path, undisturbed: dict[str, State], number: signal.Signals, code: int
) -> None:
    """A row that somebody holds keeps a chunk waiting: the signal is heard there, the chunk is undone, and the next run does it."""
    with opened(postgres_database, PEOPLE, tmp_path, drift=True) as books:
        with writing(books.engine) as connection:
            connection.execute(text("SELECT 1 FROM subscriptions FOR UPDATE"))
            process = aura.start(*APPLY, env=books.variables)
            until(lambda: deeds(books) > 0, process)
            time.sleep(0.2)
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
            assert (process.returncode, out) == (code, ""), err
        with reading(books.engine) as connection:
            states = set(connection.execute(select(plan_rows.c.state).distinct()).scalars())
        assert states == {"applied", "pending"}
        assert aura(*APPLY, env=books.variables).exit == 0
        assert state(books) == undisturbed["postgresql"]


def test_errors_on_the_way(books: Books, undisturbed: dict[str, State]) -> None:
    """A quarter of all requests is answered 429 or 500 or cut off: slower, and the same in the end."""
    books.stripe.faults.change({"too_many": 0.08, "server_error": 0.06, "cut_before": 0.05, "cut_half": 0.05, "retry_after": 0})
    assert books.repair().left == 0
    assert state(books) == undisturbed[books.engine.dialect.name]


@pytest.mark.parametrize(("fault", "error"), [("cut_before", UnreachableError), ("server_error", ServiceError)])
def test_a_scan_that_does_not_complete_plans_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, fault: str, error: type[AuraError]
) -> None:
    """Stripe goes away in the middle: exit 8 or 7, no plan, nothing written, though half of the subscriptions seem to be missing."""
    url = request.getfixturevalue("postgres_database" if fault == "cut_before" else "sqlite_database")
    with opened(url, build(400, 5, NOW), tmp_path, drift=True) as books:
        before = books.shared()
        lists = 0

        def die(asked: Any, answer: Any) -> Any:
            nonlocal lists
            lists += asked.path == "/v1/subscriptions"
            if lists > 1:
                books.stripe.faults.change({fault: 1})
            return answer

        books.stripe.edit = die
        with pytest.raises(error):
            books.repair()
        assert books.shared() == before
        with reading(books.engine) as connection:
            assert not connection.execute(select(plans.c.id)).all()


def test_through_a_pooler(aura: Aura, pooled_database: str, tmp_path: Path) -> None:
    """Five thousand people behind PgBouncer in transaction mode, which keeps nothing of a session: found, repaired, gone."""
    with ExitStack() as open_:
        books = open_.enter_context(opened(pooled_database, build(5_000, 7, NOW), tmp_path, drift=True, faults=Faults()))
        done = aura(*APPLY, env=books.variables, timeout=120)
        assert (done.exit, done.json["left"], done.json["applied"]) == (0, 0, sum(done.json["counts"].values()))
        assert len(done.json["counts"]) == 11
        assert aura("subscriptions", "reconcile", env=books.variables, timeout=120).exit == 0
