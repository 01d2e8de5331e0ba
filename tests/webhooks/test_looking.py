"""`aura webhooks list | show`: what arrived, and what became of it."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aura_cli.db.engine import reading
from aura_cli.errors import NotFoundError
from aura_cli.webhooks import views
from aura_cli.webhooks.views import EventRow, Filter
from tests.parts.listening import event
from tests.parts.terminal import on_a_terminal
from tests.webhooks.operating import Operated

ROW = [field.name for field in fields(EventRow)]


@pytest.fixture
def worked(operated: Operated) -> Operated:
    """Everything has arrived and was worked off, except one that cannot be and one that just came."""
    operated.world.deliver(operated.world.events)
    operated.malformed()
    operated.world.worker().drain()
    operated.put(event("evt_new"), source="old")
    return operated


def found(operated: Operated, **chosen: Any) -> list[str]:
    """The ids that a filter finds, the last to arrive first."""
    rows = list(views.rows(operated.engine, Filter(**chosen)))
    assert views.count(operated.engine, Filter(**chosen)) == len(rows)
    return [row.id for row in rows]


def test_filters(worked: Operated) -> None:
    """By state, type, customer, object and arrival, and by all of them at once."""
    events = {one.id: one for one in worked.world.events}
    assert set(found(worked)) == {*events, "evt_malformed", "evt_new"}
    assert found(worked)[0] == "evt_new"
    assert found(worked, status="dead") == ["evt_malformed"]
    assert found(worked, status="received") == ["evt_new"]
    assert set(found(worked, type="invoice.paid")) == {one for one in events if events[one].type == "invoice.paid"} | {"evt_malformed"}
    subscription = worked.of("customer.subscription.created").subject
    about = {one for one in events if events[one].subject.id == subscription.id}
    assert set(found(worked, object=subscription.id)) == about
    first = set(found(worked, customer="cus_person1"))
    assert first
    assert not first & set(found(worked, customer="cus_person2"))
    assert found(worked, customer="cus_person1", status="dead") == found(worked, customer="cus_nobody") == []
    worked.change(["evt_new"], received_at=datetime.now(UTC) - timedelta(hours=3))
    hour_ago = int(datetime.now(UTC).timestamp()) - 3600
    assert "evt_new" not in found(worked, since=hour_ago)
    assert "evt_new" in found(worked, since=hour_ago - 3 * 3600)


def test_list_as_json_and_csv(worked: Operated) -> None:
    """Every fact about an event but its payload; a pipe gets all."""
    listed = worked("list", "--json", "--since", "1h")
    assert listed.exit == 0
    assert len(listed.json) == len(worked.states())
    assert list(listed.json[0]) == ROW
    assert listed.json[0]["id"] == "evt_new"
    assert listed.json[0]["source"] == "old"
    assert worked("list", "--json", "--limit", "2").json == listed.json[:2]
    dead = worked("list", "--status", "dead", "--type", "invoice.paid", "--format", "csv", "--columns", "id,state,attempts")
    assert dead.out == "id,state,attempts\nevt_malformed,dead,1\n"


def test_list_what_cannot_be(operated: Operated) -> None:
    """Exit 2 for a state, column or time that does not exist; an empty inbox is an empty list."""
    for words in (["--status", "lost"], ["--since", "yesterday"], ["--since", "2999-01-01"]):
        assert operated("list", *words).exit == 2, words
    empty = operated("list", "--json")
    assert (empty.exit, empty.json) == (0, [])
    operated.put(event())
    assert operated("list", "--columns", "payload").exit == 2


def test_list_on_a_terminal(operated: Operated) -> None:
    """Fifty of them, and how many there are."""
    operated.put(*(event(f"evt_{number:03}") for number in range(60)))
    command = [sys.executable, "-m", "aura_cli", "webhooks", "list"]
    variables = {**operated.aura.environment, **operated.world.books.variables, "COLUMNS": "160"}
    code, shown = on_a_terminal(command, variables, operated.aura.work)
    assert code == 0
    assert shown.count("evt_") == 50
    assert "50 of 60" in shown


def test_a_long_outcome_on_a_terminal(worked: Operated) -> None:
    """A table has its beginning, after the columns that tell which event it is; chosen by name it is whole."""
    command = [sys.executable, "-m", "aura_cli", "webhooks", "list", "--status", "dead"]
    variables = {**worked.aura.environment, **worked.world.books.variables, "COLUMNS": "140", "TERM": "xterm"}
    _, shown = on_a_terminal(command, variables, worked.aura.work)
    assert "…" in shown
    assert "attempts" in shown
    _, shown = on_a_terminal([*command, "--columns", "id,outcome"], {**variables, "COLUMNS": "400"}, worked.aura.work)
    assert "…" not in shown


def test_show(worked: Operated) -> None:
    """The facts, each try with what it changed, what it set off, and the body."""
    created = worked.of("checkout.session.completed")
    shown = worked("show", created.id, "--json")
    assert shown.exit == 0
    assert list(shown.json) == ["event", "attempts", "effects", "payload"]
    assert list(shown.json["event"]) == ROW
    assert shown.json["payload"] == json.loads(worked.body(created))
    (attempt,) = shown.json["attempts"]
    assert list(attempt) == ["at", "outcome", "note", "changes"]
    assert attempt["outcome"] == shown.json["event"]["outcome"]
    text = worked("show", created.id).out
    assert created.id in text
    assert '\n  "object": "event"' in text


def test_show_what_it_changed_and_set_off(worked: Operated) -> None:
    """Rows with their values before and after; the effect, with its state; the error of what failed."""
    with reading(worked.engine) as connection:
        shown = [views.show(connection, one.id) for one in worked.world.events]
    changed = next(one for one in shown if any(attempt.changes for attempt in one.attempts))
    text = worked("show", changed.event.id).out
    change = next(attempt.changes for attempt in changed.attempts if attempt.changes)[0]
    assert f"{change['table']} {change['key']}" in text
    assert " → " in text
    set_off = [one for one in shown if one.effects]
    assert {effect.kind for one in set_off for effect in one.effects} == {"forward", "mail"}
    forwarded = next(one for one in set_off if one.effects[0].kind == "forward")
    assert f"forward {forwarded.event.id}: pending" in worked("show", forwarded.event.id).out
    dead = worked("show", "evt_malformed")
    assert "dead: The event's body is not what invoice.paid promises" in dead.out


def test_each_mail_is_shown_once(worked: Operated) -> None:
    """With the event that set it off, and with no other of its subscription."""
    with reading(worked.engine) as connection:
        shown = [views.show(connection, one.id) for one in worked.world.events]
    mails = [effect.key for one in shown for effect in one.effects if effect.kind == "mail"]
    assert mails
    assert len(mails) == len(set(mails))


def test_show_raw(operated: Operated) -> None:
    """Byte for byte, in any language, for another program to read."""
    body = event("evt_raw").replace(b'"object"', b'  "object"', 1) + b"\n"
    assert "ü".encode() not in body
    body = body.replace(rb"\u00dc", "Ü".encode())
    operated.put(body)
    done = subprocess.run(
        [sys.executable, "-m", "aura_cli", "webhooks", "show", "evt_raw", "--raw"],
        env={**operated.aura.environment, **operated.world.books.variables, "LC_ALL": "C", "PYTHONUTF8": "0", "PATH": os.environ["PATH"]},
        cwd=operated.aura.work,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == body


def test_show_what_is_not_there(operated: Operated) -> None:
    """Exit 5."""
    for words in (["evt_none"], ["evt_none", "--raw"]):
        assert operated("show", *words).exit == 5
    with reading(operated.engine) as connection, pytest.raises(NotFoundError):
        views.show(connection, "evt_none")
