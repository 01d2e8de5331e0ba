"""`aura webhooks work`: what a listener received is handled, and goes on, without a listener."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from aura_cli.db.engine import reading
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.subscriptions.billing_owner import Owner, reigns
from aura_cli.webhooks.crew import Crew
from aura_cli.webhooks.handling import Surroundings
from aura_cli.webhooks.inbox import Handled
from aura_cli.webhooks.sending import Target
from aura_cli.webhooks.signature import verify
from tests.parts.listening import event
from tests.parts.receiving import receiving
from tests.parts.waiting import until
from tests.webhooks.operating import Operated


def test_once(operated: Operated) -> None:
    """All that is due is handled and forwarded, signed; then it ends, and a second time there is nothing to do."""
    operated.world.deliver(operated.world.events)
    number = len(operated.world.events)
    with receiving() as receiver:
        done = operated("work", "--once", "--workers", "2", "--json", AURA_FORWARD_URL=receiver.url)
        assert (done.exit, list(done.json)) == (0, ["handled", "forwarded", "mailed", "counted"])
        assert sum(done.json["handled"].values()) == number
        again = operated("work", "--once", AURA_FORWARD_URL=receiver.url)
    assert set(operated.states().values()) == {"done"}
    forwarded = {key for kind, key in operated.world.effects() if kind == "forward"}
    assert {one["id"] for one in receiver.events} == forwarded
    assert len(receiver.events) == len(forwarded) == done.json["forwarded"]["done"]
    assert all(verify(header, body, {"web": STRIPE_WEBHOOK_SECRET}, time.time()) for body, header in receiver.arrived)
    assert again.exit == 0
    handled, sent, _, counted = again.out.splitlines()  # mails that nobody takes here are tried anew as time goes by
    assert (handled, sent, counted) == ("0 events handled.", "0 events forwarded.", "0 payments counted.")


def test_once_where_something_fails(operated: Operated) -> None:
    """Exit 9; the others are done."""
    operated.malformed()
    operated.put(event("evt_good"))
    done = operated("work", "--once", "--json")
    assert (done.exit, done.json["handled"]) == (9, {"ignored": 1, "dead": 1})
    assert operated.states() == {"evt_malformed": "dead", "evt_good": "done"}


@contextmanager
def working(operated: Operated, *words: str, **other: str) -> Iterator["subprocess.Popen[str]"]:
    """The program at work, once it has said so."""
    process = operated.aura.start("webhooks", "work", "--json", *words, env={**operated.world.books.variables, **other})
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate(timeout=15)
    said = json.loads(line)
    assert list(said) == ["billing_owner", "billing_since", "workers", "forwards_to"]
    yield process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_until_it_is_stopped(operated: Operated, number: int, code: int) -> None:
    """What comes is handled and forwarded as it comes; a signal ends it at a safe point."""
    with receiving() as receiver, working(operated, "--workers", "2", AURA_FORWARD_URL=receiver.url) as process:
        operated.world.deliver(operated.world.events)
        until(lambda: set(operated.states().values()) == {"done"})
        forwarded = [key for kind, key in operated.world.effects() if kind == "forward"]
        until(lambda: len(receiver.arrived) == len(forwarded))
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert "aura grants balances" in err.lower()
    assert "Stopped at a safe point" in err
    assert operated.world.effects()


def test_beside_a_listener(operated: Operated) -> None:
    """What is delivered to `serve-webhooks` goes on from there, too."""
    events = operated.world.events
    with receiving() as receiver:
        words = ("serve-webhooks", "--json", "--port", "0", "--admin-port", "0")
        process = operated.aura.start(*words, env={**operated.world.books.variables, "AURA_FORWARD_URL": receiver.url})
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        with Target(url, STRIPE_WEBHOOK_SECRET) as target:
            assert {target.deliver(operated.body(one)).status for one in events} == {200}
        until(lambda: set(operated.states().values()) == {"done"} and len(operated.states()) == len(events))
        forwarded = {key for kind, key in operated.world.effects() if kind == "forward"}
        until(lambda: {one["id"] for one in receiver.events} == forwarded)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143


def test_who_owns_the_billing(operated: Operated) -> None:
    """A switch is announced, with the moment from which on it holds; a bad one is told before anything is done."""
    done = operated("work", "--once", AURA_BILLING_OWNER="web")
    assert done.exit == 0
    assert re.search(r"^The web app grants balances from \d\d:\d\d:\d\d UTC on\.$", done.err, re.MULTILINE)
    with reading(operated.engine) as connection:
        assert reigns(connection).since[-1][1] is Owner.WEB
    assert operated("work", "--once", AURA_BILLING_OWNER="both").exit == 4


def test_what_cannot_be(operated: Operated) -> None:
    """Another's database, an address that leaves the sandbox, a dry run."""
    assert operated("work", "--once", "-n").exit == 2
    assert operated("work", "--once", AURA_FORWARD_URL="https://hooks.example.com/").exit == 4
    assert operated("work", "--workers", "0").exit == 2
    assert operated("work", "--once").exit == 0
    assert operated("work", "--once", AURA_ENV="development").exit == 4


def test_without_a_key_events_are_believed(operated: Operated) -> None:
    """It says so."""
    operated.world.deliver(operated.world.events)
    done = operated("work", "--once", STRIPE_SECRET_KEY="")
    assert done.exit == 0
    assert "events are believed" in done.err
    assert set(operated.states().values()) == {"done"}


def test_a_crew_shares_the_work(operated: Operated) -> None:
    """Each event is handled once; what was forwarded is told."""
    operated.put(*(event(f"evt_{number}") for number in range(120)))
    batches: list[Sequence[Handled]] = []
    crew = Crew(operated.engine, operated.world.books.service, Surroundings(), 3, on_handled=batches.append)
    assert crew.drain() == {}
    assert sorted(one.event.id for batch in batches for one in batch) == sorted(operated.states())
    crew.start()
    operated.put(event("evt_later"))
    crew.wake.set()
    until(lambda: operated.states()["evt_later"] == "done")
    crew.stop(20)
