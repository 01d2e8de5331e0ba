"""`aura users merge` makes one person of two rows, whatever tables name them, and `duplicates` finds such rows."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.db.shared import users
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.users import merging
from tests.parts.program import Aura
from tests.users.lives import BOB, CUSTOMER, DID, EMAIL, Life, life_of

NAMES = ("user_id", "workspace_owner_id")


@pytest.fixture
def life(aura: Aura, engine: Engine, database_url: str) -> Iterator[Life]:
    """Ada and Bob, who turn out to be one, on a database of each kind."""
    with life_of(aura, engine, database_url) as made:
        yield made


def named(life: Life, user: str) -> dict[str, int]:
    """How many rows of which tables name a user as whose they are."""
    rows = {name: sum(user in map(str, (row.get(column) for column in NAMES)) for row in rows) for name, rows in life.tables()}
    return {name: number for name, number in rows.items() if number}


def balance(life: Life, user: str) -> tuple[Any, ...]:
    """Balance, allocation, used, purchased."""
    names = "balance", "monthly_allocation", "total_used", "total_purchased"
    return tuple(life.value(f"SELECT {name} FROM token_balances WHERE user_id = :user", user=user) for name in names)


def test_everything_changes_hands(life: Life) -> None:
    """Every row that named Ada names Bob, unknown tables included; tokens add up; where there can be one alone, his stays."""
    life.sql("UPDATE token_balances SET balance = 5, total_used = 1, total_purchased = 2 WHERE user_id = :id", id=life.ada)
    life.sql("UPDATE token_balances SET balance = 7, total_used = 3, total_purchased = 4 WHERE user_id = :id", id=life.bob)
    if life.value("SELECT count(*) FROM token_balances WHERE user_id = :id", id=life.ada) == 0:
        insert = "INSERT INTO token_balances (id, user_id, balance, total_used, total_purchased) VALUES (:id, :user, 5, 1, 2)"
        life.sql(insert, id="00000000-0000-4000-d000-000000000001", user=life.ada)
    subscriptions = life.value("SELECT count(*) FROM subscriptions")
    before, counts = named(life, life.ada), life.counts()
    planned = life("merge", EMAIL, str(BOB.email), "--json")
    assert planned.exit == 0, planned.err
    assert life.counts() == counts
    assert planned.json["twice"] == ["github"]
    steps = {step["table"]: (step["rows"], step["dropped"]) for step in planned.json["steps"]}
    assert {"agents", "call_logs", "integrations", "chat_sessions", "mails", "grants", "token_top_ups"} <= set(steps)
    assert (steps["voice_settings"], steps["token_balances"]) == ((1, 1), (1, 1))
    assert set(before) - set(steps) <= {"operator_log"}
    done = life("merge", EMAIL, str(BOB.email), "--apply", "--json")
    assert done.exit == 3, done.err  # of two customers one is left
    assert (done.json["applied"], done.json["customer"], done.json["left"]) == (True, BOB.customer, CUSTOMER)
    why = f"{CUSTOMER} at Stripe is left without a user; {BOB.customer} stays. Move by hand what it still pays for"
    assert (planned.json["attention"], done.json["attention"]) == (why, why)
    assert set(named(life, life.ada)) <= {"operator_log", "user_aliases", "plan_rows"}
    assert balance(life, life.bob)[::3] == (12, 6)
    assert life.value("SELECT voice FROM voice_settings") == "bob's voice"
    assert life.value("SELECT count(*) FROM agents WHERE user_id = :id", id=life.bob) == 2
    assert life.value("SELECT count(*) FROM channels") == 2
    assert life.value("SELECT count(*) FROM team_members") == 0  # she was a member of his
    assert life.value("SELECT count(*) FROM subscriptions WHERE user_id = :id", id=life.bob) == subscriptions
    assert life.value(f"SELECT count(*) FROM {life.ops('operator_log')} WHERE what = 'drift.merge'") == len(steps) + 1


def test_an_alias_stays(life: Life) -> None:
    """Ada's DID and id lead to Bob; no sync makes her anew; if the web app does, she is a duplicate that can be merged again."""
    done = life("merge", life.ada, life.bob, "--apply")
    assert (done.exit, "Move by hand what it still pays for: exit 3.\n" in done.out) == (3, True)
    for who in (DID, life.ada):
        assert life("show", who, "--json").json["user"]["id"] == life.bob
    assert life("sync").exit == 0
    assert life("sync", DID).exit == 0
    assert life.value("SELECT count(*) FROM users") == 1
    assert life("duplicates", "--json").json == []
    again = life.ada.replace("0", "1")
    life.sql("INSERT INTO users (id, privy_user_id) VALUES (:id, :did)", id=again, did=DID)
    assert life("sync").exit == 0
    (found,) = [one for one in life("duplicates", "--json").json if one["by"] == "merged"]
    assert found["merge"] == f"aura users merge {again} {life.bob}"
    assert life(*found["merge"].split()[2:], "--apply").exit == 0
    assert (life.value("SELECT count(*) FROM users"), life("show", DID, "--json").json["user"]["id"]) == (1, life.bob)


def test_a_chain_of_merges(life: Life) -> None:
    """Who was merged into somebody who is merged leads to the last one; what he lacks he gets."""
    third = "00000000-0000-4000-8000-000000000003"
    life.sql("INSERT INTO users (id, privy_user_id) VALUES (:id, 'did:privy:third')", id=third)
    life.sql("UPDATE users SET stripe_customer_id = NULL, name = NULL WHERE id = :id", id=life.bob)
    assert life("merge", life.ada, life.bob, "--apply").exit == 0
    assert life.value("SELECT name FROM users WHERE id = :id", id=life.bob) == "Ada Marker"
    assert life.value("SELECT stripe_customer_id FROM users WHERE id = :id", id=life.bob) == CUSTOMER
    assert life("merge", life.bob, third, "--apply").exit == 0
    assert life("show", DID, "--json").json["user"]["id"] == third
    assert life.value("SELECT email FROM users WHERE id = :id", id=third) == BOB.email


def test_who_pays_keeps_the_customer(life: Life) -> None:
    """Bob's subscription runs and Ada's does not: merged into Ada, his customer is hers."""
    done = life("merge", life.bob, life.ada, "--apply", "--json")
    assert (done.exit, done.json["customer"], done.json["left"]) == (3, BOB.customer, CUSTOMER)
    assert life.value("SELECT stripe_customer_id FROM users") == BOB.customer


def test_a_plan_file(life: Life, tmp_path: Path) -> None:
    """A saved plan holds ids and no address, and is applied later; if one of the two moved meanwhile nothing is."""
    plan = tmp_path / "merge.jsonl"
    assert life("merge", life.ada, life.bob, "--save-plan", str(plan)).exit == 0
    assert EMAIL not in plan.read_text()
    assert life.value("SELECT count(*) FROM users") == 2
    life.sql("UPDATE users SET privy_user_id = 'did:privy:other' WHERE id = :id", id=life.ada)
    moved = life.aura("apply", str(plan), "--json", env=life.env)
    assert (moved.exit, moved.json["applied"]) == (3, 0)
    life.sql("UPDATE users SET privy_user_id = :did WHERE id = :id", id=life.ada, did=DID)
    assert life("merge", life.ada, life.bob, "--save-plan", str(plan)).exit == 0
    life.sql("INSERT INTO call_logs VALUES (:id, :user, 61)", id="00000000-0000-4000-9000-000000000009", user=life.ada)  # since the plan
    done = life.aura("apply", str(plan), "--json", env=life.env)
    assert (done.exit, done.json["skipped"], done.json["reported"]) == (3, 0, 1), done.err
    assert life.value("SELECT count(*) FROM users") == 1
    assert life.value("SELECT count(*) FROM call_logs WHERE user_id = :id", id=life.bob) == 3


def test_refused(life: Life) -> None:
    """One row with itself, somebody unknown, somebody erased; -n writes nothing."""
    assert life("merge", life.ada, DID).exit == 2
    assert life("merge", life.ada, "nobody@example.com").exit == 5
    assert life("merge", life.ada, life.bob, "--apply", "-n").exit == 0
    life.sql("UPDATE users SET privy_user_id = 'erased:x' WHERE id = :id", id=life.ada)
    assert life("merge", life.ada, life.bob, "--apply").exit == 2
    assert life.value("SELECT count(*) FROM users") == 2


def test_what_cannot_move_stops_it_all(life: Life) -> None:
    """A rule of somebody's table that forbids the move is named, without the row; nothing has moved at all."""
    kind = "text" if life.engine.dialect.name == "sqlite" else "uuid"
    life.sql(f"CREATE TABLE locked (user_id {kind} REFERENCES users (id) CHECK (user_id <> '{life.bob}'))")
    life.sql("INSERT INTO locked VALUES (:id)", id=life.ada)
    before = named(life, life.ada)
    refused = life("merge", life.ada, life.bob, "--apply")
    assert (refused.exit, "A rule of the table locked" in refused.err, life.bob in refused.err) == (6, True, False)
    assert {name: rows for name, rows in named(life, life.ada).items() if name != "plan_rows"} == before
    life.sql("DROP TABLE locked")
    assert life("merge", life.ada, life.bob, "--apply").exit == 3


@pytest.mark.parametrize("wait", [0.0, 0.15, 0.3])
def test_killed(life: Life, wait: float) -> None:
    """kill -9 somewhere in it: both rows stand with all that was theirs, or one does; once more ends as if nothing had happened."""
    counts = life.counts()
    process = life.aura.start("users", "merge", life.ada, life.bob, "--apply", env=life.env)
    log = f"SELECT count(*) FROM {life.ops('plans')}"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not life.value(log):
        time.sleep(0.005)
    time.sleep(wait)
    process.kill()
    process.wait()
    people = life.value("SELECT count(*) FROM users")
    if people == 2:
        now = life.counts()
        assert {name: now[name] for name in ("voice_settings", "token_balances", "team_members")} == {
            name: counts[name] for name in ("voice_settings", "token_balances", "team_members")
        }
        assert life("merge", life.ada, life.bob, "--apply").exit == 3
    assert life.value("SELECT count(*) FROM users") == 1
    assert life.value("SELECT count(*) FROM agents WHERE user_id = :id", id=life.bob) == 2


def test_duplicates(life: Life) -> None:
    """The same address in any case, proven or not, and the same customer; who pays stays. Nobody alike: an empty list."""
    assert life("duplicates", "--json").json == []
    with writing(life.engine) as connection:
        connection.execute(users.update().where(users.c.id == life.ada).values(email=str(BOB.email).upper()))
    (found,) = life("duplicates", "--json").json
    assert (found["by"], found["shared"], found["stays"], found["goes"], found["proven"]) == ("email", BOB.email, life.bob, life.ada, False)
    assert (found["stays_subscription"], found["merge"]) == ("active", f"aura users merge {life.ada} {life.bob}")
    life.sql(f"UPDATE {life.ops('privy_users')} SET verified_email = :address", address=BOB.email)
    (found,) = life("duplicates", "--format", "jsonl").out.splitlines()
    assert json.loads(found)["proven"] is True
    life.sql("UPDATE users SET stripe_customer_id = :customer", customer=CUSTOMER)
    (found,) = life("duplicates", "--json").json
    assert (found["by"], found["shared"]) == ("customer", CUSTOMER)


def test_links_of_merged_people(life: Life) -> None:
    """What Stripe's metadata calls Ada is Bob from then on."""
    from aura_cli.subscriptions import customers
    from aura_cli.subscriptions.stripe import Customer

    life.sql("UPDATE users SET stripe_customer_id = NULL")
    with writing(life.engine) as connection:
        merging.carry_out(connection, life.ada, life.bob)
        for said in ({"userId": life.ada}, {"privyUserId": DID}):
            assert customers.candidates(connection, Customer("cus_New", metadata=said)) == [life.bob]
        assert customers.known(connection, [life.ada]) == {life.bob}


def test_reconcile_knows_the_alias(life: Life) -> None:
    """A customer whose metadata names Ada, and whom nobody is linked to, is linked to the person that she was merged into."""
    life.sql("UPDATE users SET stripe_customer_id = NULL")
    life.sql(f"DELETE FROM {life.ops('customer_links')}")
    assert life("merge", life.ada, life.bob, "--apply").exit == 0
    bought = {"customer": CUSTOMER, "items[0][price]": PRO_MONTHLY.id}
    life.privy.post(f"{life.addresses.stripe}/v1/subscriptions", data=bought, auth=(STRIPE_SECRET_KEY, "")).raise_for_status()
    life.privy.delete(f"{life.addresses.stripe}/v1/customers/{BOB.customer}", auth=(STRIPE_SECRET_KEY, "")).raise_for_status()
    found = life("reconcile", "--json", group="subscriptions").json["drift"]
    (link,) = [one for one in found if one["kind"] == "unknown_customer"]
    assert (link["user"], link["after"]) == (life.bob, {"stripe_customer_id": CUSTOMER})
