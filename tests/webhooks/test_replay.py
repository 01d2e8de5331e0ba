"""`aura webhooks replay`: once more, as if once; only tried out; or to somebody's server."""

import json
import threading
import time
from typing import Any

import pytest
from sqlalchemy import select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import identity
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks import inbox
from aura_cli.webhooks.replay import replay
from aura_cli.webhooks.signature import verify
from aura_cli.webhooks.tables import webhook_attempts, webhook_events
from tests.parts.listening import event
from tests.parts.program import Completed
from tests.parts.receiving import receiving
from tests.webhooks.operating import Operated

ENDED = ["event", "type", "state", "outcome", "note", "changes"]


@pytest.fixture
def worked(operated: Operated) -> Operated:
    """Everything has arrived and was worked off, except one that cannot be."""
    operated.world.deliver(operated.world.events)
    operated.malformed()
    operated.world.worker().drain()
    return operated


def stands(operated: Operated) -> Any:
    """All rows of the inbox, and all that events end in."""
    with reading(operated.engine) as connection:
        rows = connection.execute(select(webhook_events).order_by(webhook_events.c.id)).all()
        tries = connection.execute(select(webhook_attempts)).all()
    return rows, tries, operated.world.outcome()


def unapplied(operated: Operated) -> list[str]:
    """Put everything to work anew, on books from which what it had ended in is gone."""
    events = list(operated.world.events)
    operated.world.forget()
    operated.world.deliver(events)
    return [one.id for one in events]


def test_named_events_are_handled_again_at_once(worked: Operated) -> None:
    """Once more is as once: no balance, row or effect is doubled; the tries are kept, and who asked is noted."""
    before = worked.world.outcome()
    ids = [one.id for one in worked.world.events]
    done = worked("replay", *ids, "--json")
    assert (done.exit, list(done.json)) == (0, ["events", "counts", "applied"])
    assert [one["event"] for one in done.json["events"]] == ids
    assert list(done.json["events"][0]) == ENDED
    assert {one["state"] for one in done.json["events"]} == {"done"}
    assert sum(done.json["counts"].values()) == len(ids)
    assert done.json["applied"] is True
    assert worked.world.outcome() == before
    assert len(worked.world.attempts()) == 2 * len(ids) + 1
    with reading(worked.engine) as connection:
        noted = connection.execute(select(operator_log.c.key).where(operator_log.c.what == "webhooks.replay")).scalars().all()
    assert set(noted) == set(ids)


def test_what_did_not_have_its_effect_has_it(worked: Operated) -> None:
    """Events on lost books bring the same balances and rows back."""
    before = worked.world.outcome()
    ids = unapplied(worked)
    assert worked.world.outcome() != before
    assert worked("replay", *ids, "-q", AURA_FORWARD_URL="http://127.0.0.1:9/").exit == 0
    assert worked.world.outcome() == before


def test_dead_ones_in_bulk(worked: Operated) -> None:
    """Shown first, handled with --apply, exit 9 where they fail again; a mended one is done."""
    state = stands(worked)
    planned = worked("replay", "--status", "dead")
    assert planned.exit == 0
    assert "evt_malformed  invoice.paid: now dead" in planned.out
    assert "1 event would be handled again (now: 1 dead)." in planned.out
    assert "--apply" in planned.err
    assert stands(worked) == state
    failed = worked("replay", "--status", "dead", "--apply", "--json")
    assert failed.exit == 9
    assert [one["state"] for one in failed.json["events"]] == ["dead"]
    assert json.loads(failed.err)["error"]["kind"] == "partial"
    worked.change(["evt_malformed"], payload=worked.body(worked.of("invoice.paid")))
    assert worked("replay", "--status", "dead", "--apply").exit == 0
    assert worked.states()["evt_malformed"] == "done"
    none = worked("replay", "--status", "dead", "--apply", "--json")
    assert (none.exit, none.json) == (0, {"events": [], "counts": {}, "applied": True})


def test_by_time_and_type(operated: Operated) -> None:
    """Only what arrived since, and is of the type; an unnamed type alone is not enough."""
    operated.put(event("evt_1"), event("evt_2", type="price.updated"))
    chosen = operated("replay", "--since", "1h", "--type", "price.updated", "--json")
    assert [one["event"] for one in chosen.json["events"]] == ["evt_2"]
    assert chosen.json["applied"] is False
    assert operated("replay", "--since", "1h", "--apply", "--json").json["counts"] == {"ignored": 2}


def test_a_rehearsal_shows_what_would_change_and_changes_nothing(worked: Operated) -> None:
    """Rows before and after, as the real thing then makes them."""
    ids = unapplied(worked)
    state = stands(worked)
    shown = worked("replay", *ids, "-n", "--diff", "--json")
    assert (shown.exit, shown.json["applied"]) == (0, False)
    assert stands(worked) == state
    changes = [change for one in shown.json["events"] for change in one["changes"]]
    assert {"subscriptions", "token_balances"} <= {change["table"] for change in changes}
    assert set(changes[0]) == {"table", "key", "before", "after"}
    text = worked("replay", *ids, "-n", "--diff")
    assert "status: nothing → " in text.out
    assert "balance: nothing → " in text.out
    assert "Nothing was done" in text.err
    said = [line.strip() for line in text.out.splitlines() if " → " in line]
    assert any("last_reset_at" in line and line.count(":") > 2 for line in said), said  # to the second
    done = worked("replay", *ids, "--json").json
    assert {change["table"] for one in done["events"] for change in one["changes"]} == {change["table"] for change in changes}


def test_a_dry_run_only_names_them(worked: Operated) -> None:
    """Also with --apply."""
    state = stands(worked)
    for words in (["evt_malformed", "-n"], ["--since", "1d", "--apply", "-n"]):
        done = worked("replay", *words)
        assert done.exit == 0
        assert "evt_malformed" in done.out
    assert stands(worked) == state


def test_what_makes_no_sense(operated: Operated) -> None:
    """Exit 2, and 5 for an event that is not there, before anything is done to the others."""
    operated.put(event("evt_1"))
    for words in (
        [],
        ["evt_1", "--since", "1h"],
        ["--type", "invoice.paid"],
        ["evt_1", "--diff"],
        ["evt_1", "-n", "--diff", "--to", "http://x/"],
    ):
        assert operated("replay", *words).exit == 2, words
    missing = operated("replay", "evt_1", "evt_none")
    assert missing.exit == 5
    assert "evt_none" in missing.err
    assert operated.states() == {"evt_1": "received"}


def test_what_was_given_up_on_its_way_goes_on(worked: Operated) -> None:
    """A replay of the event lets its forwarding be tried again, and asks for no second one."""
    forwarded = [key for kind, key in worked.world.effects() if kind == "forward"]
    with writing(worked.engine) as connection:
        connection.execute(outbox.update().where(outbox.c.kind == "forward").values(state="dead", error="404"))
    before = worked.world.effects()
    assert worked("replay", *forwarded).exit == 0
    with reading(worked.engine) as connection:
        states = set(connection.execute(select(outbox.c.state).where(outbox.c.kind == "forward")).scalars())
    assert states == {"pending"}
    assert worked.world.effects() == before


def test_one_that_another_worker_has(operated: Operated) -> None:
    """It is left to it, waited for, and told as it ended there."""
    operated.put(event("evt_theirs"), event("evt_ours"))
    another = identity()
    with writing(operated.engine) as connection:
        (theirs,) = inbox.claim(connection, another, limit=1, ids=["evt_theirs"])

    def end() -> None:
        time.sleep(0.5)
        with writing(operated.engine) as connection:
            assert inbox.settle(connection, another, [inbox.Handled(theirs, "done", "applied")])

    thread = threading.Thread(target=end)
    thread.start()
    ended = {one.event: one for one in replay(operated.world.worker(), ["evt_theirs", "evt_ours"], "tester")}
    thread.join(30)
    assert ended["evt_ours"].outcome == "ignored"
    assert (ended["evt_theirs"].state, ended["evt_theirs"].outcome) == ("done", "applied")
    assert "Another worker" in str(ended["evt_theirs"].note)


def test_to_a_server(worked: Operated) -> None:
    """The bodies as they arrived, signed anew; the inbox does not know of it."""
    chosen = worked.world.events[:3]
    state = stands(worked)
    with receiving() as receiver:
        done = worked("replay", *(one.id for one in chosen), "--to", receiver.url, "--json")
    assert (done.exit, list(done.json)) == (0, ["to", "sent"])
    assert [body for body, _ in receiver.arrived] == [worked.body(one) for one in chosen]
    assert all(verify(header, body, {"web": STRIPE_WEBHOOK_SECRET}, time.time()) for body, header in receiver.arrived)
    assert [(one["event"], one["status"]) for one in done.json["sent"]] == [(one.id, 200) for one in chosen]
    assert stands(worked) == state


def test_to_a_server_that_does_not_want_them(operated: Operated) -> None:
    """Exit 9, with each answer; in bulk they are only sent with --apply."""
    operated.put(event("evt_1"), event("evt_2"))
    with receiving(500) as receiver:
        planned = operated("replay", "--since", "1h", "--to", receiver.url)
        assert f"2 events would be sent to {receiver.url}" in planned.out
        assert receiver.arrived == []
        done = operated("replay", "--since", "1h", "--apply", "--to", receiver.url)
    assert done.exit == 9
    assert "evt_1  product.updated → 500" in done.out
    assert "evt_2  product.updated → 200" in done.out


def refused(operated: Operated, to: str, **other: str) -> Completed:
    return operated("replay", "evt_1", "--to", to, **other)


def test_to_a_server_elsewhere(operated: Operated) -> None:
    """Stored events tell of customers: they leave this machine when a person says so, and the sandbox's never."""
    operated.put(event("evt_1"))
    elsewhere = "https://hooks.example.test/stripe"
    assert refused(operated, elsewhere).exit == 4
    asked = refused(operated, elsewhere, AURA_ENV="development")
    assert asked.exit == 6
    assert "tell of customers" in asked.err
    assert refused(operated, "nonsense").exit == 2
