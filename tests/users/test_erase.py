"""`aura users erase` leaves nothing of somebody behind but what payments need, and nothing brings them back."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.db.types import TIME_TEXT
from aura_cli.outbox.tables import outbox as outbox_table
from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET, STRIPE_SECRET_KEY
from aura_cli.sandbox.generation import PRO_MONTHLY
from tests.parts.program import Aura
from tests.parts.terminal import on_a_terminal
from tests.users.lives import CUSTOMER, DID, EMAIL, MARKER, SECRETS, Life, life_of

ALL = ("--apply", "--stripe", "--privy", "--yes", "--json")
HERE = ("--apply", "--no-stripe", "--no-privy", "--yes", "--json")
ERASED = 3  # no GitHub knows the token: it is still to be revoked
WORDS = (MARKER, EMAIL, *SECRETS, "192.0.2.1")


@pytest.fixture
def life(aura: Aura, engine: Engine, database_url: str) -> Iterator[Life]:
    """Ada, with traces everywhere, on a database of each kind."""
    with life_of(aura, engine, database_url) as made:
        yield made


def at_privy(life: Life, did: str = DID) -> int:
    """What Privy answers when it is asked for somebody."""
    address = f"{life.addresses.privy}/v1/users/{did}"
    return life.privy.get(address, headers={"privy-app-id": PRIVY_APP_ID}, auth=(PRIVY_APP_ID, PRIVY_APP_SECRET)).status_code


def at_stripe(life: Life) -> dict[str, Any]:
    """The customer as Stripe has it."""
    found: dict[str, Any] = life.privy.get(f"{life.addresses.stripe}/v1/customers/{CUSTOMER}", auth=(STRIPE_SECRET_KEY, "")).json()
    return found


def test_the_plan_is_what_happens(life: Life) -> None:
    """Without --apply (or with -n) nothing changes; with it exactly what was shown does, and Bob keeps all that he had."""
    before, bobs = life.counts(), life.traces("bob")
    planned = life("erase", EMAIL, "--json")
    assert planned.exit == 0, planned.err
    assert "Nothing was erased; --apply without -n does it." in life("erase", EMAIL, "-n", "--apply").err
    assert life.counts() == before
    assert planned.json["connections"] == ["github"]
    assert (planned.json["customers"], planned.json["dids"], planned.json["pseudonym"]) == ([CUSTOMER], [DID], True)
    rows = planned.json["rows"]
    assert {"agents", "channels", "voice_settings", "call_logs (kept, of nobody)", "webhook_events", "mails", "users"} <= set(rows)
    done = life("erase", EMAIL, *ALL)
    assert done.exit == ERASED, done.err
    ended = {"integrations": 1, "connections": 1}  # by the revocation before, and kept until now
    assert {**done.json["rows"], **ended} == {**rows, "audit_logs": rows["audit_logs"] + 1, **ended}
    after = life.traces("bob")
    assert {name: sorted(columns) for name, columns in after.items()} == {name: sorted(columns) for name, columns in bobs.items()}


def test_nothing_is_left_of_her(life: Life) -> None:
    """In no column of no table, in no file of ours: name, addresses, DID, tokens, what she said. Payments add up as before."""
    money = "SELECT sum(tokens_added) + sum(amount_paid) FROM token_top_ups"
    paid = life.value(money)
    assert {"users", "mails", "chat_messages", "agents", "channels", "webhook_events", "integrations"} <= set(life.traces(*WORDS))
    receipt = Path(life.aura.environment["HOME"], "receipt.json")
    done = life("erase", DID, *ALL, "--receipt", str(receipt))
    assert done.exit == ERASED, done.err
    assert life.traces(*WORDS) == {}
    assert life.traces(CUSTOMER) == {"webhook_events": ["object", "customer", "payload"]}  # Stripe's id, so that no event is done twice
    assert life.value(money) == paid
    row = life.value("SELECT privy_user_id FROM users WHERE id = :id AND email IS NULL AND stripe_customer_id IS NULL", id=life.ada)
    assert row.startswith("erased:")
    assert (at_privy(life), at_stripe(life).get("deleted")) == (404, True)
    assert done.json == json.loads(receipt.read_text())
    assert receipt.stat().st_mode & 0o777 == 0o600
    assert (done.json["stripe"], done.json["privy"], done.json["revoked"] + done.json["not_revoked"]) == (1, 1, 1)
    assert not [word for word in (*WORDS, life.ada, CUSTOMER) if word.lower() in receipt.read_text().lower()]
    left = [path for path in life.aura.directory.rglob("*") if path.is_file() and path.suffix != ".db" and "providers" not in path.parts]
    assert not [
        path for path in left if not path.name.startswith("aura.db") and any(word in path.read_text(errors="replace") for word in WORDS)
    ]
    assert life.value(f"SELECT count(*) FROM {life.ops('erasures')}") == 1
    assert life("erase", EMAIL, *ALL).exit == 5
    assert life("erase", life.ada, *ALL).exit == 5


def test_who_never_paid_goes_whole(life: Life) -> None:
    """Without a payment there is no row to keep; where a table says that its rows outlive their user, they do, of nobody."""
    for table in ("subscriptions", "token_top_ups"):
        life.sql(f"DELETE FROM {table} WHERE user_id = :id", id=life.ada)
    done = life("erase", life.ada, *HERE)
    assert done.exit == ERASED, done.err
    assert done.json["pseudonym"] is False
    assert life.value("SELECT count(*) FROM users WHERE id = :id", id=life.ada) == 0
    assert life.value("SELECT count(*) FROM call_logs WHERE user_id IS NULL") == 1
    assert life.traces(*WORDS) == {}
    assert (at_privy(life), at_stripe(life)["id"]) == (200, CUSTOMER)  # where she was left alone


def test_stays_erased(life: Life) -> None:
    """Privy and Stripe know her still: a sync, late events, a replay, a backfill and a reconcile make nothing of her again.

    That somebody is billed there whom nobody here knows is reported.
    """
    assert life("erase", life.ada, *HERE).exit == ERASED
    bought = {"customer": CUSTOMER, "items[0][price]": PRO_MONTHLY.id}
    life.privy.post(f"{life.addresses.stripe}/v1/subscriptions", data=bought, auth=(STRIPE_SECRET_KEY, "")).raise_for_status()
    people = life.value("SELECT count(*) FROM users")
    assert life("sync").exit == 0
    assert life("sync", DID).exit == 6
    late = {"id": "evt_late", "object": "event", "type": "customer.subscription.updated", "created": int(time.time()), "livemode": False}
    about = {
        "id": "sub_ada",
        "object": "subscription",
        "customer": CUSTOMER,
        "status": "active",
        "created": 1,
        "metadata": {"name": MARKER},
    }
    life.deliver(
        {**late, "data": {"object": about}}, {**late, "id": "evt_late2", "type": "customer.updated", "data": {"object": {**about}}}
    )
    worked = life("work", "--once", group="webhooks")
    assert worked.exit == 0, worked.err
    state = f"SELECT count(*) FROM {life.ops('webhook_events')} WHERE id LIKE 'evt_late%' AND state = 'done' AND outcome = 'ignored'"
    assert life.value(state) == 2
    assert life("replay", "evt_0", "evt_late", group="webhooks").exit == 0
    assert life("backfill", group="webhooks").exit == 0
    life("work", "--once", group="webhooks")
    reconciled = life("reconcile", "--apply", "--json", group="subscriptions")
    assert reconciled.exit == 3, reconciled.err
    assert [(one["kind"], one["before"]["why"]) for one in reconciled.json["drift"]] == [("ambiguous_link", "the person was erased")]
    assert life.value("SELECT count(*) FROM users") == people
    assert life.value("SELECT count(*) FROM users WHERE stripe_customer_id = :customer", customer=CUSTOMER) == 0
    assert life.traces(*WORDS) == {}


def test_nobody_is_given_tokens(life: Life) -> None:
    """A row that is left for its payments is owed nothing, though what was bought goes on at Stripe."""
    life.sql("DELETE FROM token_balances WHERE user_id = :id", id=life.bob)
    owed = life("reconcile", life.bob, "--json", group="subscriptions").json["drift"]
    assert "balance" in {one["kind"] for one in owed}
    assert life("erase", life.bob, *HERE, "--even-subscribed").exit == ERASED
    left = life("reconcile", "--json", group="subscriptions").json["drift"]
    assert not {one["kind"] for one in left} & {"balance", "renewal_missing"}


def test_a_customer_that_nobody_knew(life: Life, tmp_path: Path) -> None:
    """Stripe's metadata names her, and nobody had linked her customer: neither a plan from before nor a reconcile or event after does."""
    life.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = :id", id=life.ada)
    life.sql(f"DELETE FROM {life.ops('customer_links')} WHERE user_id = :id", id=life.ada)
    bought = {"customer": CUSTOMER, "items[0][price]": PRO_MONTHLY.id}
    life.privy.post(f"{life.addresses.stripe}/v1/subscriptions", data=bought, auth=(STRIPE_SECRET_KEY, "")).raise_for_status()
    plan = tmp_path / "plan.jsonl"
    assert life("reconcile", "--save-plan", str(plan), group="subscriptions").exit == 3
    assert "unknown_customer" in plan.read_text()
    assert life("erase", life.ada, *HERE).exit == ERASED
    life.sql(f"DELETE FROM {life.ops('plans')}")  # the file alone knows of it
    applied = life.aura("apply", str(plan), "--json", env=life.env)
    assert (applied.exit, applied.json["applied"]) == (3, 0)
    found = life("reconcile", "--apply", "--json", group="subscriptions").json["drift"]
    assert [(one["kind"], one["before"]["why"]) for one in found] == [("ambiguous_link", "the person was erased")]
    assert life("backfill", group="webhooks").exit == 0
    life("work", "--once", group="webhooks")
    linked = "SELECT count(*) FROM users WHERE stripe_customer_id = :customer"
    assert life.value(linked, customer=CUSTOMER) == 0


def test_who_comes_back_is_somebody(life: Life) -> None:
    """The web app lets her in again with the same login: that row is hers, and a sync looks after it."""
    assert life("erase", life.ada, *HERE).exit == ERASED
    life.sql("INSERT INTO users (id, privy_user_id) VALUES (:id, :did)", id=life.ada.replace("0", "1"), did=DID)
    assert life("sync", DID).exit == 0
    assert life.value("SELECT email FROM users WHERE privy_user_id = :did", did=DID) == EMAIL


def test_asks_and_refuses(life: Life) -> None:
    """Nobody there to say what of Stripe and Privy, or to agree: 6. A subscription that runs: 6. An event still to be forwarded: 6."""
    assert life("erase", EMAIL, "--apply", "--no-stripe", "--yes").exit == 6
    assert life("erase", EMAIL, "--apply", "--no-stripe", "--no-privy").exit == 6
    life.sql("UPDATE subscriptions SET status = 'active' WHERE user_id = :id", id=life.ada)
    refused = life("erase", EMAIL, *ALL)
    assert refused.exit == 6
    assert "sub_ada has not ended" in refused.err
    life.sql("UPDATE subscriptions SET status = 'canceled' WHERE user_id = :id", id=life.ada)
    waits = f"INSERT INTO {life.ops('outbox')} (kind, key, payload) VALUES ('forward', :key, :payload)"
    payload = json.dumps({"event": "evt_0"})
    life.sql(
        waits if life.engine.dialect.name == "sqlite" else waits.replace(":payload", "CAST(:payload AS jsonb)"),
        key="evt_0",
        payload=payload,
    )
    refused = life("erase", EMAIL, *ALL)
    assert refused.exit == 6
    assert "forwarded" in refused.err
    assert (at_privy(life), "deleted" in at_stripe(life)) == (200, False)
    assert life("erase", "nobody@example.com").exit == 5
    assert life("erase", "nobody").exit == 2


def test_a_mail_on_its_way(life: Life) -> None:
    """While a mail to her is being sent, alone or with those of others, nothing is erased; a batch that waits goes on without her."""
    outbox = life.ops("outbox")
    mine = f"UPDATE {outbox} SET state = 'sending', lease_expires_at = :until WHERE kind = 'mail' AND key LIKE '%{MARKER}'"
    until = datetime.now(UTC) + timedelta(minutes=5)
    life.sql(mine, until=until.strftime(TIME_TEXT) if life.engine.dialect.name == "sqlite" else until)
    refused = life("erase", EMAIL, *HERE)
    assert (refused.exit, "on its way" in refused.err) == (6, True)
    ids = [life.value(f"SELECT id FROM {life.ops('mails')} WHERE key = :key", key=f"welcome:{word}") for word in (MARKER, "bob")]
    batch: dict[str, Any] = {"mails": [str(one) for one in ids]}
    for payload, code in (({**batch, "request": {"body": MARKER}}, 6), (batch, ERASED)):
        with writing(life.engine) as connection:
            waits = {"payload": payload, "state": "pending", "lease_expires_at": None}
            connection.execute(outbox_table.update().where(outbox_table.c.key == f"welcome:{MARKER}").values(waits))
        assert life("erase", EMAIL, *HERE).exit == code
    assert life.value(f"SELECT count(*) FROM {outbox} WHERE kind = 'mail'") == 2


def test_a_person_is_asked(life: Life) -> None:
    """On a terminal it shows the plan, asks about Stripe, about Privy, and whether at all; Return is no."""
    command = [sys.executable, "-m", "aura_cli", "users", "erase", EMAIL, "--apply"]
    env = {**life.aura.environment, **life.env}
    keys = [("at Stripe, too?", "yes\n"), ("at Privy, too?", "\n"), ("for good?", "\n")]
    code, shown = on_a_terminal(command, env, life.aura.work, dialogue=keys)
    assert (code, "Not confirmed" in shown, "webhook_events: 1" in shown) == (6, True, True)
    assert life.value("SELECT email FROM users WHERE id = :id", id=life.ada) == EMAIL
    code, shown = on_a_terminal(command, env, life.aura.work, dialogue=[*keys[:2], ("for good?", "y\n")])
    assert (code, "Privy: left alone" in shown, "Stripe: 1 deleted" in shown) == (ERASED, True, True), shown
    assert (at_privy(life), at_stripe(life)["deleted"]) == (200, True)


def test_even_subscribed(life: Life) -> None:
    """Who says so may erase somebody whose subscription runs: it ends with the customer, and the row says so."""
    life.sql("UPDATE subscriptions SET status = 'active' WHERE user_id = :id", id=life.ada)
    assert life("erase", EMAIL, *ALL, "--even-subscribed").exit == ERASED
    assert life.value("SELECT status FROM subscriptions WHERE user_id = :id", id=life.ada) == "canceled"


def test_services_away(life: Life) -> None:
    """Stripe or Privy away: nothing is erased here, the exit code says whose fault it is, and the next try goes through."""
    gone = "http://127.0.0.1:9"
    assert life("erase", EMAIL, *ALL, env={"PRIVY_API_BASE": gone, "PRIVY_APP_SECRET": "privy_app_secret_sandbox_x"}, timeout=120).exit == 8
    assert life.value("SELECT email FROM users WHERE id = :id", id=life.ada) == EMAIL
    assert at_stripe(life)["deleted"] is True
    done = life("erase", EMAIL, *ALL)
    assert done.exit == ERASED, done.err
    assert (done.json["stripe"], done.json["privy"]) == (0, 1)
    assert life.traces(*WORDS) == {}


@pytest.mark.parametrize("moment", ["stripe", "privy", "soon after"])
def test_killed_between_steps(life: Life, moment: str) -> None:
    """kill -9 once Stripe, or Privy, has deleted her, or a little later: here she is whole or gone, and once more finishes it."""
    process = life.aura.start("users", "erase", EMAIL, *ALL, env=life.env)
    deadline = time.monotonic() + 60
    with suppress(httpx.HTTPError):
        while process.poll() is None and time.monotonic() < deadline:
            if at_stripe(life).get("deleted") if moment == "stripe" else at_privy(life) == 404:
                break
    if moment == "soon after":
        time.sleep(0.05)
    process.kill()
    process.wait()
    again = life("erase", life.ada, *ALL)
    assert again.exit in (ERASED, 5), again.err
    assert life.traces(*WORDS) == {}
    assert life.value(f"SELECT count(*) FROM {life.ops('erasures')}") == 1
    assert (at_privy(life), at_stripe(life)["deleted"]) == (404, True)
