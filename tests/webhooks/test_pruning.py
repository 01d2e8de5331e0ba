"""What is old and settled goes; what is still to be done, or could come again, stays."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.errors import UsageError
from aura_cli.outbox.tables import outbox
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.pruning import Old, plan, prune
from aura_cli.webhooks.tables import webhook_attempts, webhook_events
from tests.parts.listening import event
from tests.webhooks.operating import Operated

NOW = datetime.now(UTC)
STATES = ("received", "processing", "done", "failed", "unmatched", "dead")
FULL = {*STATES, *(f"young_{state}" for state in STATES)}


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """An event of every state, a hundred days old and twenty, each tried twice and forwarded; and an old mail."""
    with writing(engine) as connection:
        store(connection, [read(event(name), "web") for name in sorted(FULL)])
        for name in FULL:
            state, then = name.removeprefix("young_"), days(20 if name.startswith("young_") else 100)
            values = {"state": state, "received_at": then, "finished_at": then if state in ("done", "dead") else None}
            connection.execute(webhook_events.update().where(webhook_events.c.id == name).values(values))
            connection.execute(webhook_attempts.insert(), [{"event": name, "outcome": "failed"}] * 2)
            sent = {"done": "done", "dead": "dead"}.get(state, "pending")
            row = {"kind": "forward", "key": name, "payload": {"event": name}, "state": sent, "created_at": then, "next_try_at": then}
            connection.execute(outbox.insert().values({**row, "done_at": None if sent == "pending" else then}))
        mail = {"kind": "mail", "key": "welcome", "payload": {}, "state": "done", "created_at": days(100), "done_at": days(100)}
        connection.execute(outbox.insert().values(mail))
    return engine


def left(engine: Engine) -> tuple[set[str], set[str], set[str]]:
    """Events, attempts (by their event) and effects (by their key) that are there."""
    columns = (webhook_events.c.id, webhook_attempts.c.event, outbox.c.key)
    with reading(engine) as connection:
        events, attempts, effects = (set(connection.execute(select(column)).scalars()) for column in columns)
    return events, attempts, effects


@pytest.mark.parametrize(("dead", "gone"), [(False, {"done"}), (True, {"done", "dead"})])
def test_what_is_settled_and_old_goes(filled: Engine, dead: bool, gone: set[str]) -> None:
    """The plan says the same before; a mail's row, which keeps it from being sent twice, is not webhooks' to forget."""
    old = Old.than(days(90), NOW, dead=dead)
    planned = plan(filled, old)
    assert left(filled) == (FULL, FULL, FULL | {"welcome"})
    done = prune(filled, old, "tester")
    assert (planned.events, planned.attempts, planned.effects, planned.applied) == (len(gone), 2 * len(gone), len(gone), False)
    assert (done.events, done.attempts, done.effects, done.applied) == (len(gone), 2 * len(gone), len(gone), True)
    assert left(filled) == (FULL - gone, FULL - gone, (FULL - gone) | {"welcome"})
    with reading(filled) as connection:
        (log,) = connection.execute(select(operator_log.c.what, operator_log.c.operator)).all()
    assert tuple(log) == ("webhooks.prune", "tester")
    assert prune(filled, old, "tester").events == 0


def test_what_is_of_nobody_known_goes_only_if_asked(filled: Engine) -> None:
    """It might be somebody's one day; the young stays in any case."""
    old = Old.than(days(90), NOW, unmatched=True)
    assert plan(filled, old).events == 2
    prune(filled, old, "tester")
    assert left(filled)[0] == FULL - {"done", "unmatched"}


def test_what_was_done_again_lately_stays(filled: Engine) -> None:
    """An old event that was replayed yesterday is of interest still."""
    with writing(filled) as connection:
        connection.execute(webhook_events.update().where(webhook_events.c.id == "done").values(finished_at=days(1)))
    assert plan(filled, Old.than(days(90), NOW)).events == 0


def test_many_go_in_chunks(engine: Engine) -> None:
    """Each chunk is a transaction of its own; none is forgotten between two."""
    with writing(engine) as connection:
        store(connection, [read(event(f"evt_{number}"), "web") for number in range(30)])
        connection.execute(webhook_events.update().values(state="done", received_at=days(100), finished_at=days(100)))
    seen: list[int] = []
    assert prune(engine, Old.than(days(90), NOW), "tester", seen.append, chunk=7).events == 30
    assert seen == [7, 14, 21, 28, 30]


@pytest.mark.parametrize("age", [0, 7, 29.9])
def test_what_stripe_could_bring_again_stays(age: float) -> None:
    """An event that was forgotten too early would be new when a backfill brings it."""
    with pytest.raises(UsageError, match="30 days"):
        Old.than(days(age), NOW)
    Old.than(days(30), NOW)


def test_the_command(operated: Operated) -> None:
    """It counts, and deletes with --apply alone; young things are refused, and an empty inbox is none the worse."""
    operated.put(*(event(f"evt_{number}") for number in range(3)))
    operated.change(["evt_0", "evt_1"], state="done", received_at=days(100), finished_at=days(100))
    planned, applied = operated("prune"), operated("prune", "--apply", "-n")
    assert (planned.exit, applied.exit) == (0, 0)
    assert "2 events" in planned.out
    assert "Nothing was; --apply does it." in planned.out
    assert "Nothing was; --apply without -n does it." in applied.out
    assert set(operated.states()) == {"evt_0", "evt_1", "evt_2"}
    done = operated("prune", "--older-than", "60d", "--apply", "--json")
    assert (done.exit, sorted(done.json)) == (0, ["applied", "attempts", "before", "effects", "events"])
    assert (done.json["events"], done.json["applied"]) == (2, True)
    assert set(operated.states()) == {"evt_2"}
    refused = operated("prune", "--older-than", "7d", "--json")
    assert (refused.exit, json.loads(refused.err)["error"]["kind"]) == (2, "usage")
    assert json.loads(refused.err)["error"]["message"].startswith("7d is too young.")
    bare = operated("prune", "--older-than", "5")
    assert (bare.exit, "30d, 90d, 2026-05-01" in bare.err) == (2, True)
