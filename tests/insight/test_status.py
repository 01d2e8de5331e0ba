"""`aura status`: one screen, and what it is compared with."""

import socket
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from aura_cli.cron.tables import job_runs
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import subscriptions, users
from aura_cli.insight import figures
from aura_cli.insight.status import compact, spark
from aura_cli.insight.tables import daily_figures
from aura_cli.integrations.tables import connections
from aura_cli.mail.tables import mails
from tests.insight.desk import Desk
from tests.parts.terminal import on_a_terminal

TODAY = datetime.now(UTC)
UNLIMITED = {"UPSTASH_REDIS_REST_URL": "", "UPSTASH_REDIS_REST_TOKEN": ""}


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).date().isoformat()


def kept(engine: Engine) -> dict[tuple[str, str], int]:
    """What was kept: (day, name) → value."""
    d = daily_figures.c
    with reading(engine) as connection:
        return {(row.day, row.name): row.value for row in connection.execute(select(d.day, d.name, d.value))}


def keep(engine: Engine, ago: int, **values: int) -> None:
    with writing(engine) as connection:
        connection.execute(daily_figures.insert(), [{"day": day(ago), "name": name, "value": value} for name, value in values.items()])


@pytest.fixture
def limitless(desk: Desk) -> Desk:
    """A desk where no limits are configured."""
    desk.more |= UNLIMITED
    return desk


def test_numbers_and_how_they_moved(limitless: Desk) -> None:
    """Levels against what was kept of the last day, flows against the 24 hours before; the last 14 days, today last."""
    desk = limitless
    assert desk("subscriptions", "reconcile", desk.person.uuid).exit == 0
    keep(desk.books.engine, 1, users=5, tokens_left=1)
    keep(desk.books.engine, 3, users=1)
    with writing(desk.books.engine) as connection:
        new = {"privy_user_id": "did:privy:new", "created_at": TODAY - timedelta(minutes=1)}
        connection.execute(users.insert().values(new))
    found = desk("status", "--json").json
    assert (found["users"]["now"], found["users"]["change"]) == (3, -2)
    assert found["users"]["days"][-4:] == [1, None, 5, 3]
    assert len(found["users"]["days"]) == len(found["webhooks"]["days"]) == 14
    assert (found["signed_up"]["now"], found["signed_up"]["change"]) == (1, 1)
    assert found["tokens_left"]["change"] == found["tokens_left"]["now"] - 1
    assert found["tokens_used"]["change"] is None
    assert found["subscriptions"]["now"] == 1
    assert [(one["currency"], one["monthly"]["now"]) for one in found["revenue"]] == [("usd", 2900)]
    assert found["limits"] == []
    assert found["limits_note"].startswith("nothing is limited: ")


def test_a_day_that_nobody_kept(small_desk: Desk) -> None:
    """How it moved in a day is not known where yesterday's figures are not: older ones are in the bars alone."""
    small_desk.more |= UNLIMITED
    assert small_desk("subscriptions", "reconcile", small_desk.person.uuid).exit == 0
    keep(small_desk.books.engine, 2, users=90, **{f"{figures.REVENUE}usd": 1})
    found = small_desk("status", "--json").json
    assert found["users"]["days"][-3:] == [90, None, 2]
    assert (found["users"]["change"], found["revenue"][0]["monthly"]["change"]) == (None, None)
    (line,) = [line for line in small_desk("status").out.splitlines() if line.startswith("Users")]
    assert line.split()[:2] == ["Users", "2"]
    assert not line[29:40].strip()


def test_figures_are_kept_once_a_day(limitless: Desk) -> None:
    """By the first look of the day; -n keeps none; those of over a year ago go."""
    engine = limitless.books.engine
    keep(engine, figures.KEPT_DAYS + 1, users=1)
    keep(engine, figures.KEPT_DAYS - 1, users=1)
    assert limitless("status", "-n").exit == 0
    assert (day(0), "users") not in kept(engine)
    assert limitless("status").exit == 0
    first = kept(engine)
    assert first[day(0), "users"] == 2
    assert {when for when, _ in first} == {day(0), day(figures.KEPT_DAYS - 1)}
    with writing(engine) as connection:
        connection.execute(users.insert().values(privy_user_id="did:privy:later"))
    assert limitless("status").exit == 0
    assert kept(engine) == first


def test_what_waits_for_a_person(limitless: Desk) -> None:
    """Each kind of trouble with the command that shows it."""
    desk = limitless
    event = desk.hear("sub_one")[0]
    desk.give_up(event, "no use")
    broken = desk.connect("slack")
    with writing(desk.books.engine) as connection:
        sick = {"integration_id": broken, "user_id": desk.person.uuid, "provider": "slack", "health": "needs_consent"}
        connection.execute(connections.insert().values(sick))
        unsent = {"id": desk.person.uuid, "key": "k", "template": "welcome", "data": {}, "state": "bounced"}
        connection.execute(mails.insert().values(unsent))
        run = {"job": "prune", "owner": "host:1:x", "started_at": TODAY, "finished_at": TODAY, "exit_code": 1}
        connection.execute(job_runs.insert().values(run))
    found = desk("status", "--json").json["attention"]
    assert found == [
        {"what": "1 webhook event given up", "command": "aura webhooks list --status dead"},
        {"what": "job prune failed", "command": "aura cron list"},
        {"what": "1 connection broken", "command": "aura integrations list --health needs_consent"},
        {"what": "1 mail not sent", "command": "aura email log --state bounced"},
    ]
    for one in found:
        program, *words = one["command"].split()
        assert (program, desk(*words).exit) == ("aura", 0), one
    assert "! 1 webhook event given up: aura webhooks list --status dead" in desk("status").out.splitlines()


@pytest.mark.parametrize("columns", [80, 200, 40])
def test_fits_the_screen(small_desk: Desk, columns: int) -> None:
    """24 lines of 80 characters, whatever is the matter; narrower ones on a narrower terminal."""
    desk = small_desk
    desk.more |= UNLIMITED
    desk.give_up(desk.hear("sub_one")[0], "no use")
    environment = {**desk.aura.environment, **desk.env, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"}
    code, shown = on_a_terminal([sys.executable, "-m", "aura_cli", "status"], environment, desk.aura.work)
    lines = shown.splitlines()
    assert code == 0, shown
    assert len(lines) <= 23
    assert max(map(len, lines)) <= min(columns, 80)
    assert lines[0].startswith("AURA sandbox")
    assert lines[0].endswith("Z")


def test_a_limiter_that_hangs_keeps_nobody_waiting(small_desk: Desk) -> None:
    """Somebody who takes connections and says nothing: all else is shown, and why the limits are not."""
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        where = f"http://127.0.0.1:{mute.getsockname()[1]}"
        begun = time.monotonic()
        done = small_desk("status", "--json", UPSTASH_REDIS_REST_URL=where, UPSTASH_REDIS_REST_TOKEN="sandbox-x")
        assert time.monotonic() - begun < 15
    assert done.exit == 0
    assert (done.json["limits"], done.json["users"]["now"]) == ([], 2)
    assert "Upstash" in done.json["limits_note"]


def test_a_database_that_takes_no_writes(limitless: Desk) -> None:
    """To look needs none: nothing is kept, and everything is shown."""
    desk = limitless
    if desk.books.engine.dialect.name == "sqlite":
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON daily_figures BEGIN SELECT RAISE(ABORT, 'read only'); END"
        desk.books.sql(refuse)
    else:
        name = desk.books.url.rpartition("/")[2].partition("?")[0]
        with desk.books.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    done = desk("status", "--json")
    assert (done.exit, done.json["users"]["now"]) == (0, 2)
    assert kept(desk.books.engine) == {}


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [([], ""), ([0, 0], "▁▁"), ([0, 7], "▁█"), ([None, 1, 8, 4], " ▁█▄"), ([5], "▁"), ([-7, 0], "▁█")],
)
def test_sparklines(numbers: list[Any], shown: str) -> None:
    """From the smallest to the largest; what nobody knows is left free."""
    assert spark(numbers) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (99_999_999, "99,999,999"), (100_000_000, "100.0 M"), (-3_294_000_000, "-3,294.0 M")]
)
def test_large_numbers(number: int, shown: str) -> None:
    """In millions where they would not fit."""
    assert compact(number) == shown


def test_half_a_revenue(limitless: Desk) -> None:
    """Where something paid for was never seen at Stripe the sum says without how many, is compared with none, and not kept for tomorrow."""
    desk = limitless
    assert desk("subscriptions", "reconcile", desk.person.uuid).exit == 0
    with writing(desk.books.engine) as connection:
        unseen = {"user_id": desk.person.uuid, "stripe_subscription_id": "sub_unseen", "status": "active"}
        connection.execute(subscriptions.insert().values(unseen))
    keep(desk.books.engine, 1, **{f"{figures.REVENUE}usd": 5000})
    found = desk("status", "--json").json
    (money,) = [one["monthly"] for one in found["revenue"]]
    assert (money["now"], money["change"], found["unseen"]) == (2900, None, 1)
    (line,) = [line for line in desk("status").out.splitlines() if line.startswith("MRR")]
    assert (line.split()[:3], line.endswith("  without 1 never seen"), len(line) <= 80) == (["MRR", "USD", "29.00"], True, True)
    names = {name for when, name in kept(desk.books.engine) if when == day(0)}
    assert "users" in names
    assert not {f"{figures.REVENUE}usd", figures.UNSEEN} & names
    assert desk("subscriptions", "stats", "--json").json["unseen"] == 1


def test_what_to_paste_is_of_the_environment_that_was_looked_at(small_desk: Desk) -> None:
    """It has the options that were given, and stands whole on the screen."""
    small_desk.more |= UNLIMITED
    (small_desk.aura.work / "of mine.env").touch(0o600)
    with writing(small_desk.books.engine) as connection:
        connection.execute(job_runs.insert().values(job="reconcile", owner="x:1:2:3:4", exit_code=7, finished_at=TODAY))
    words = ("status", "--env-file", "of mine.env")
    assert [one["command"] for one in small_desk(*words, "--json").json["attention"]] == ["aura --env-file 'of mine.env' cron list"]
    assert "! job reconcile failed: aura --env-file 'of mine.env' cron list\n" in small_desk(*words).out
    small_desk.connect("slack", health="needs_consent")
    (small_desk.aura.work / "x").touch(0o600)
    *_, line = small_desk("status", "--env-file", "x").out.splitlines()
    assert (line, len(line)) == ("! 1 connection brok…: aura --env-file x integrations list --health needs_consent", 80)
