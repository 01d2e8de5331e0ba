"""`aura webhooks send | tail | backfill | endpoints`, as a person types them."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.leases import lease
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, Addresses, environment
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.signature import verify
from aura_cli.webhooks.tables import webhook_events
from tests.parts.books import NOW, population
from tests.parts.program import Aura, Completed
from tests.parts.receiving import receiving
from tests.parts.sampling import sample as sample_of
from tests.parts.service import free_port
from tests.parts.stripe import StandIn, stand_in
from tests.parts.waiting import until
from tests.webhooks.listing import happen

URL = "https://hooks.example.com/api/webhooks/stripe"


@dataclass(frozen=True)
class Surroundings:
    """The program on the sandbox's Stripe; `variables` are its environment."""

    aura: Aura
    stripe: StandIn
    variables: dict[str, str]

    def __call__(self, *words: str, **other: str) -> Completed:
        """`aura webhooks …`; `other` are further variables."""
        return self.aura("webhooks", *words, env={**self.variables, **other})


@pytest.fixture
def webhooks(aura: Aura, tmp_path: Path) -> Iterator[Surroundings]:
    """Nobody's database is asked for: what needs one names it."""
    with stand_in(population()) as stripe:
        yield Surroundings(aura, stripe, environment(Addresses(stripe.base, stripe.base), tmp_path, f"sqlite:///{tmp_path}/aura.db"))


@pytest.fixture
def stored(engine: Engine, database_url: str, webhooks: Surroundings) -> Surroundings:
    """The same on a migrated database of each kind."""
    return Surroundings(webhooks.aura, webhooks.stripe, {**webhooks.variables, "DATABASE_URL": database_url})


def inbox(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(webhook_events.c.id)).scalars())


@pytest.mark.parametrize("kind", sample_of(HANDLED, 2, seed=1))
def test_send_any_handled_type(webhooks: Surroundings, kind: str) -> None:
    """It arrives signed with the configured secret; the answer is shown."""
    with receiving() as receiver:
        done = webhooks("send", kind, "--to", receiver.url, "--customer", "cus_Ada", "--json")
    assert done.exit == 0, done.err
    ((body, header),) = receiver.arrived
    assert verify(header, body, {"web": STRIPE_WEBHOOK_SECRET}, time.time()) == "web"
    assert (done.json["type"], done.json["status"], done.json["event"]) == (kind, 200, json.loads(body)["id"])
    assert done.json.keys() == {"event", "type", "created", "to", "status", "seconds", "answer"}
    assert b"cus_Ada" in body


def test_send_tells_of_whom_and_in_which_shape(webhooks: Surroundings) -> None:
    """The options reach the event; two are never the same one."""
    with receiving() as receiver:
        words = ("send", "checkout.session.completed", "--to", receiver.url, "--tokens", "5000", "--user", "u-1")
        assert webhooks(*words, "--api-version", "2024-06-20").exit == webhooks(*words).exit == 0
        old, new = receiver.events
    assert (old["api_version"], new["api_version"]) == ("2024-06-20", "2026-10-28.endive")
    assert old["id"] != new["id"]
    assert new["data"]["object"]["metadata"]["tokens"] == "5000"


@pytest.mark.parametrize(("status", "code"), [(400, 7), (503, 7)])
def test_send_and_an_answer_that_is_no_yes(webhooks: Surroundings, status: int, code: int) -> None:
    """The status on standard output, the error on standard error."""
    with receiving(status) as receiver:
        done = webhooks("send", "invoice.paid", "--to", receiver.url)
    assert (done.exit, str(status) in done.out, "not now" in done.err) == (code, True, True)


def test_send_where_nobody_listens(webhooks: Surroundings) -> None:
    """Exit 8, and how to start a listener."""
    done = webhooks("send", "invoice.paid", "--to", f"http://127.0.0.1:{free_port()}/")
    assert done.exit == 8
    assert "serve-webhooks" in done.err


def test_send_a_file_as_it_is(webhooks: Surroundings, tmp_path: Path) -> None:
    """Byte for byte; a type beside it must be its own, and no option changes it."""
    file = tmp_path / "event.json"
    file.write_bytes(b"\n " + sample("invoice.paid", NOW) + b" \n")
    with receiving() as receiver:
        assert webhooks("send", "--file", str(file), "--to", receiver.url).exit == 0
        assert webhooks("send", "invoice.paid", "--file", str(file), "--to", receiver.url).exit == 0
        for words in (("customer.deleted",), ("--customer", "cus_Ada")):
            assert webhooks("send", *words, "--file", str(file), "--to", receiver.url).exit == 2
        file.write_bytes(b"[]")
        for path in (file, tmp_path / "none"):
            assert webhooks("send", "--file", str(path), "--to", receiver.url).exit == 2
    assert [body for body, _ in receiver.arrived] == [b"\n " + sample("invoice.paid", NOW) + b" \n"] * 2


@pytest.mark.parametrize("words", [(), ("charge.refunded",), ("invoice.paid", "--tokens", "5"), ("invoice.paid", "--to", "nonsense")])
def test_send_what_makes_no_sense(webhooks: Surroundings, words: tuple[str, ...]) -> None:
    """Exit 2."""
    assert webhooks("send", *words).exit == 2


def test_send_in_a_dry_run(webhooks: Surroundings) -> None:
    """The event is shown, and stays here."""
    with receiving() as receiver:
        done = webhooks("send", "invoice.paid", "--to", receiver.url, "-n", "--json")
    assert (done.exit, done.json["event"]["type"], receiver.arrived) == (0, "invoice.paid", [])


@pytest.mark.parametrize(
    "production", [{"AURA_ENV": "production"}, {"AURA_ENV": "staging", "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_API_BASE": ""}]
)
def test_send_in_production_needs_consent(webhooks: Surroundings, production: dict[str, str]) -> None:
    """What is made up would be believed: exit 6 where nobody says yes, and nothing leaves."""
    with receiving() as receiver:
        refused = webhooks("send", "invoice.paid", "--to", receiver.url, **production)
        assert (refused.exit, receiver.arrived) == (6, [])
        assert webhooks("send", "invoice.paid", "--to", receiver.url, "--yes", **production).exit == 0
        assert receiver.events[0]["livemode"] is ("STRIPE_SECRET_KEY" in production)


def test_send_without_a_secret_and_out_of_the_sandbox(webhooks: Surroundings) -> None:
    """Exit 4: nothing to sign with; and nothing of the sandbox's goes to another machine."""
    assert webhooks("send", "invoice.paid", STRIPE_WEBHOOK_SECRET="").exit == 4
    assert webhooks("send", "invoice.paid", "--to", URL).exit == 4


def test_tail_until_it_is_stopped(webhooks: Surroundings) -> None:
    """Events arrive as they happen, a line of JSON for each; Ctrl-C ends it."""
    with receiving() as receiver:
        now = int(time.time())
        before = happen(webhooks.stripe, now - 3000, now - 1000)
        words = ("webhooks", "tail", "--to", receiver.url, "--since", "30m", "--json")
        process = webhooks.aura.start(*words, env=webhooks.variables)
        assert process.stdout
        assert json.loads(process.stdout.readline())["event"] == before[1]
        after = happen(webhooks.stripe, int(time.time()))
        said = json.loads(process.stdout.readline())
        assert (said["event"], said["status"]) == (after[0], 200)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (130, ""), err
    body, header = receiver.arrived[0]
    assert verify(header, body, {"web": STRIPE_WEBHOOK_SECRET}, time.time()) == "web"


def test_tail_leaves_the_past_out(webhooks: Surroundings) -> None:
    """Without --since it begins now."""
    with receiving() as receiver:
        happen(webhooks.stripe, NOW - 100)
        process = webhooks.aura.start("webhooks", "tail", "--to", receiver.url, env=webhooks.variables)
        until(lambda: webhooks.stripe.count()["events"] >= 2)
        new = happen(webhooks.stripe, int(time.time()))
        assert process.stdout
        assert new[0] in process.stdout.readline()
        assert [event["id"] for event in receiver.events] == new


def test_tail_to_no_address(webhooks: Surroundings) -> None:
    """Exit 2, before it says where events go and before anything is asked."""
    done = webhooks("tail", "--to", "nowhere")
    assert (done.exit, "no web address" in done.err, "go to" in done.err) == (2, True, False)
    assert webhooks.stripe.asked == []


def test_tail_refuses_a_live_key(webhooks: Surroundings) -> None:
    """Before anything is asked."""
    done = webhooks("tail", AURA_ENV="production", STRIPE_SECRET_KEY="sk_live_sandbox_x")
    assert done.exit == 4
    assert webhooks.stripe.asked == []


def test_backfill(stored: Surroundings, engine: Engine) -> None:
    """All of it is stored once; the next one begins there; -n stores nothing."""
    made = happen(stored.stripe, *range(NOW - 150, NOW))
    rehearsed = stored("backfill", "-n", "--json")
    assert (rehearsed.exit, rehearsed.json["stored"], inbox(engine)) == (0, 150, set())
    done = stored("backfill", "--since", "2h", "--json")
    assert done.exit == 0, done.err
    assert done.json.keys() == {"scanned", "stored", "known", "unreadable", "since", "until", "complete", "dry_run"}
    assert (done.json["scanned"], done.json["stored"], done.json["complete"]) == (150, 150, True)
    assert inbox(engine) == set(made)
    happen(stored.stripe, NOW)
    again = stored("backfill", "--since-last")
    assert again.exit == 0
    assert "1 stored, 150 known" in again.out


def test_backfill_beyond_the_month(stored: Surroundings) -> None:
    """Exit 3, and what to do about the rest."""
    done = stored("backfill", "--since", "40d", "--json")
    assert (done.exit, done.json["complete"]) == (3, False)
    assert "subscriptions reconcile" in done.err


def test_backfill_contradictions_and_company(stored: Surroundings, engine: Engine) -> None:
    """Two beginnings, no moment: exit 2. Somebody else at it: exit 6."""
    assert stored("backfill", "--since", "2h", "--since-last").exit == 2
    assert stored("backfill", "--since", "tomorrow").exit == 2
    with lease(engine, "webhooks backfill"):
        assert stored("backfill").exit == 6


def test_a_killed_backfill_is_carried_on(stored: Surroundings, engine: Engine) -> None:
    """kill -9 in the middle: the next run brings the rest, and nothing is there twice."""
    made = happen(stored.stripe, *range(NOW - 2000, NOW))
    stored.stripe.faults.latency = 0.05
    process = stored.aura.start("webhooks", "backfill", "--since", "1h", env=stored.variables)
    until(lambda: len(inbox(engine)) >= 300)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(20)
    half = len(inbox(engine))
    stored.stripe.faults.latency = 0.0
    done = stored("backfill", "--json")
    assert done.exit == 0, done.err
    assert done.json["stored"] == 2000 - half
    assert inbox(engine) == set(made)


def test_endpoints_from_nothing_to_switched_off(webhooks: Surroundings) -> None:
    """Registered once, its secret shown once and only on standard output; listed, switched off and on."""
    assert webhooks("endpoints", "list", "--json").json == []
    assert webhooks("endpoints", "create", URL, "-n").exit == 0
    assert len(webhooks.stripe.state.endpoints) == 0
    made = webhooks("endpoints", "create", URL)
    (endpoint,) = webhooks.stripe.state.endpoints
    assert (made.exit, made.out.count(endpoint.secret), endpoint.secret in made.err) == (0, 1, False)
    assert webhooks("endpoints", "create", URL).exit == 6
    (listed,) = webhooks("endpoints", "list", "--json").json
    assert (listed["id"], listed["events"], listed["current"], "secret" in listed) == (endpoint.id, "exact", True, False)
    assert webhooks("endpoints", "disable", URL, "-n").exit == 0
    assert webhooks("endpoints", "disable", URL, "--json").json["status"] == "disabled"
    assert webhooks("endpoints", "enable", endpoint.id, "--json").json["status"] == "enabled"
    assert webhooks("endpoints", "enable", "we_none").exit == 5


@pytest.mark.parametrize("quietly", [("-q",), ("--json",)])
def test_a_secret_is_shown_however_quietly(webhooks: Surroundings, quietly: tuple[str, ...]) -> None:
    """Stripe says it only then."""
    made = webhooks("endpoints", "create", URL, *quietly)
    (endpoint,) = webhooks.stripe.state.endpoints
    assert (made.json["secret"] if "--json" in quietly else made.out.strip()) == endpoint.secret


def test_endpoints_of_production_need_consent(webhooks: Surroundings) -> None:
    """The account is named; nothing is registered where nobody says yes."""
    refused = webhooks("endpoints", "create", URL, AURA_ENV="production", STRIPE_SECRET_KEY=STRIPE_SECRET_KEY)
    assert refused.exit == 6
    assert "acct_" in refused.err
    assert len(webhooks.stripe.state.endpoints) == 0
    assert webhooks("endpoints", "create", URL, "--yes", AURA_ENV="production").exit == 0
