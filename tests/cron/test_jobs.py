"""What each job does, against the stand-ins: the work of the command that it takes the place of."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.chat.tables import chat_sessions
from aura_cli.cron.history import begin, end, newest, prune
from aura_cli.cron.jobs import JOBS, SINGLE
from aura_cli.cron.tables import job_runs
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import integrations, subscriptions
from aura_cli.db.tables import binding
from aura_cli.drift.tables import plans
from aura_cli.insight.tables import daily_figures
from aura_cli.sandbox.credentials import environment
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.server import running
from aura_cli.webhooks.tables import webhook_events
from tests.integrations.connecting import World, consent, visit, world_of
from tests.mail.office import Office, user_id
from tests.parts.program import Aura
from tests.parts.resend import post
from tests.parts.service import free_port
from tests.parts.upstash import answering

Job = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def people() -> int:
    """How many the stand-ins know; a test may say another number."""
    return 30


@pytest.fixture
def job(aura: Aura, database_url: str, engine: Engine, people: int) -> Iterator[Job]:
    """`job(name)` runs one with every stand-in beside it; its exit code and counts."""
    with running(build(people, seed=7, now=int(time.time()))) as addresses:
        env = environment(addresses, aura.directory, database_url)

        def run(name: str, *words: str) -> tuple[int, dict[str, Any]]:
            done = aura("cron", "run", name, "--json", *words, env=env)
            assert done.out, done.err
            return done.exit, done.json["counts"]

        yield run


def test_reconcile_repairs(job: Job) -> None:
    """What Stripe has and we lack comes in; the second time there is nothing to do."""
    assert job("users-sync")[0] == 0
    code, counts = job("reconcile")
    assert counts["applied"] > 0 < counts["remote"]
    assert code == (3 if counts["left"] else 0)
    again = job("reconcile")[1]
    assert (again["applied"], again["remote"]) == (0, counts["remote"])


@pytest.mark.parametrize("people", [60])
def test_an_implausible_plan_is_left_to_a_person(job: Job, engine: Engine) -> None:
    """More changes than a night brings stop before the first is written, as they do by hand: exit 6, with the reason noted."""
    assert job("users-sync")[0] == 0
    assert job("reconcile") == (6, {})
    with reading(engine) as connection:
        found = newest(connection, "reconcile")
        assert connection.execute(select(func.count()).select_from(subscriptions)).scalar() == 0
    assert found
    assert "50 is the limit. Nothing was written" in (found.error or "")


def test_backfill_stores(job: Job) -> None:
    """Stripe's events come into the inbox, once."""
    assert job("users-sync")[0] == 0
    code, counts = job("backfill-webhooks")
    assert (code, counts["stored"], counts["unreadable"]) == (0, counts["scanned"], 0)
    code, again = job("backfill-webhooks")
    assert (code, again["stored"]) == (0, 0)


def test_doctor_looks(job: Job) -> None:
    """A failed check is attention, told of by name; the exit code is doctor's."""
    code, counts = job("doctor")
    assert counts["systems"] > 8
    assert code == (3 if counts["failed"] else 0)


def test_refresh_tokens_renews(aura: Aura, database_url: str, engine: Engine) -> None:
    """What ends soon is renewed, and how many connections there are is counted."""
    with world_of(aura, engine, database_url) as world:
        connected(world)
        done = aura("cron", "run", "refresh-tokens", "--json", env=world.env)
        assert done.exit == 0, done.err
        counts = done.json["counts"]
        assert (counts["connections"], counts["due"], counts["refreshed"], counts["failing"]) == (1, 1, 1, 0)
        assert aura("cron", "run", "refresh-tokens", "--json", env=world.env).json["counts"]["due"] == 0


def connected(world: World) -> None:
    """One connection that has run out."""
    waiting = world.waiting("gitlab", "--no-browser", "--port", str(free_port()))
    visit(consent(waiting.url))
    assert waiting.end().exit == 0
    with writing(world.engine) as connection:
        connection.execute(integrations.update().values(token_expiry=datetime.now(UTC) - timedelta(minutes=5)))


def test_retry_emails_sends(aura: Aura, database_url: str, engine: Engine) -> None:
    """What waits and is due goes out; with Resend away that is exit 9, once told of."""
    with post() as resend:
        office = Office(aura, engine, database_url, resend)
        office.people(3)
        for number in (1, 2, 3):
            payload = {"template": "subscription_confirmation", "user_id": user_id(number), "subscription": "s", "price": None}
            office.ask(f"k{number}", payload)
        done = aura("cron", "run", "retry-emails", "--json", env=office.env)
        assert (done.exit, done.json["counts"]) == (0, {"mails": 3, "sent": 3}), done.err
        assert len(resend.mails) == 3
        assert aura("cron", "run", "retry-emails", "--json", env=office.env).json["counts"] == {"mails": 0}


def test_who_gets_no_mail_is_no_failure(aura: Aura, database_url: str, engine: Engine) -> None:
    """An address that takes no mail is left out, as it has to be."""
    with post() as resend:
        office = Office(aura, engine, database_url, resend)
        office.people(1)
        assert office("suppress", "person1@example.com").exit == 0
        office.ask("k1", {"template": "subscription_confirmation", "user_id": user_id(1), "subscription": "s", "price": None})
        done = aura("cron", "run", "retry-emails", "--json", env=office.env)
        assert (done.exit, done.json["counts"]) == (0, {"mails": 1, "suppressed": 1}), done.err


def test_prune_keeps_each_rooms_time(job: Job, engine: Engine) -> None:
    """What is older than its room's time goes, the rest stays; the day's figures are kept."""
    long_ago = datetime.now(UTC) - timedelta(days=100)
    with writing(engine) as connection:
        for at in (long_ago, datetime.now(UTC)):
            session = {"id": str(uuid4()), "title": "x", "model": "m", "operator": "o", "last_at": at}
            connection.execute(chat_sessions.insert().values(session))
            plan = {"command": "reconcile", "scan_id": str(uuid4()), "rows_here": 0, "created_at": at}
            connection.execute(plans.insert().values(plan))
            number, _ = begin(connection, "users-sync", "host:1:2:3:4")
            end(connection, number, 0, {}, None)
            connection.execute(job_runs.update().where(job_runs.c.id == number).values(finished_at=at))
    code, counts = job("prune")
    assert code == 0
    assert (counts["sessions"], counts["plans"], counts["runs"], counts["events"]) == (1, 1, 1, 0)
    with reading(engine) as connection:
        left = [connection.execute(select(func.count()).select_from(table)).scalar() for table in (chat_sessions, plans, webhook_events)]
        assert left == [1, 1, 0]
        assert connection.execute(select(func.count()).select_from(daily_figures)).scalar()


def test_the_last_run_of_each_job_stays(engine: Engine) -> None:
    """However old it is: it says how the job fares."""
    with writing(engine) as connection:
        for name in ("prune", "prune", "doctor"):
            end(connection, begin(connection, name, "host:1:2:3:4")[0], 0, {"x": 1}, None)
        begin(connection, "reconcile", "host:1:2:3:4")
    assert prune(engine, datetime.now(UTC) + timedelta(days=1)) == 1
    with reading(engine) as connection:
        assert [bool(newest(connection, name)) for name in ("prune", "doctor", "reconcile", "users-sync")] == [True, True, True, False]


def test_the_table_holds_together() -> None:
    """Maintenance does every other job; each says by which command a person sees what it would do."""
    assert JOBS["maintenance"].steps == tuple(job.name for job in SINGLE)
    assert all(job.by_hand.startswith("aura ") and job.minutes > 0 and (job.work or job.steps) for job in JOBS.values())


def test_stripe_is_away(aura: Aura, database_url: str, engine: Engine) -> None:
    """Or refuses its key: what has no need of it is done; else it is a failure, and noted. Another account's database is not touched."""
    with running(build(5, seed=7, now=int(time.time()))) as addresses:
        env = environment(addresses, aura.directory, database_url)
        away = {**env, "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}"}
        assert aura("cron", "run", "prune", env=env).exit == 0
        assert aura("cron", "run", "prune", env=away).exit == 0
        done = aura("cron", "run", "reconcile", env=away)
        assert (done.exit, "Stripe could not be reached" in done.err) == (8, True), done.err
        with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as refusing:
            assert aura("cron", "run", "prune", env={**env, "STRIPE_API_BASE": refusing}).exit == 0
            assert aura("cron", "run", "reconcile", env={**env, "STRIPE_API_BASE": refusing}).exit == 4
        with writing(engine) as connection:
            connection.execute(binding.update().values(stripe_account="acct_other"))
        assert aura("cron", "run", "prune", env=env).exit == 4
    with reading(engine) as connection:
        assert list(connection.execute(select(job_runs.c.exit_code).order_by(job_runs.c.id)).scalars()) == [0, 0, 8, 0, 4]
