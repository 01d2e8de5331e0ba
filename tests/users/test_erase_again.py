"""An erasure that did not come to its end, and what others do to the database meanwhile."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import subscriptions
from aura_cli.integrations import unstored
from aura_cli.mail.requests import Letterhead
from aura_cli.mail.sending import Mailing
from aura_cli.outbox import queue
from aura_cli.settings import Settings
from aura_cli.subscriptions.tables import subscription_states
from aura_cli.users import departed
from tests.parts.program import Aura
from tests.users.lives import BOB, CUSTOMER, DID, EMAIL, MARKER, Life, life_of
from tests.users.test_erase import ALL, ERASED, WORDS

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PRIVY_AWAY = {"PRIVY_API_BASE": "http://127.0.0.1:9", "PRIVY_APP_SECRET": "privy_app_secret_sandbox_x"}


@pytest.fixture
def life(aura: Aura, engine: Engine, database_url: str) -> Iterator[Life]:
    """Ada, with traces everywhere, on a database of each kind."""
    with life_of(aura, engine, database_url) as made:
        yield made


def test_a_customer_that_went_before(life: Life) -> None:
    """Stripe deleted her, Privy was away, and Stripe's event unlinked the customer: once more still finds what is of it, and ends it."""
    life.sql("UPDATE subscriptions SET status = 'active' WHERE user_id = :id", id=life.ada)
    assert life("erase", EMAIL, *ALL, "--even-subscribed", env=PRIVY_AWAY, timeout=120).exit == 8
    event = {"id": "evt_gone", "object": "event", "type": "customer.deleted", "created": int(time.time()), "livemode": False}
    life.deliver({**event, "data": {"object": {"id": CUSTOMER, "object": "customer", "email": EMAIL}}})
    life("work", "--once", group="webhooks")
    assert life.value("SELECT stripe_customer_id FROM users WHERE id = :id", id=life.ada) is None
    assert life("erase", EMAIL, "--json").json["customers"] == [CUSTOMER]
    done = life("erase", EMAIL, *ALL, "--even-subscribed")
    assert (done.exit, done.json["stripe"]) == (ERASED, 0), done.err
    assert life.traces(*WORDS) == {}
    assert life.value(f"SELECT count(*) FROM {life.ops('erased_ids')} WHERE kind = 'stripe'") == 1
    assert life.value("SELECT count(*) FROM subscriptions WHERE user_id = :id AND status <> 'canceled'", id=life.ada) == 0


def test_somebody_who_was_merged(life: Life) -> None:
    """Of both rows nothing is left: the address and the customer that gave way, who is blocked, invited, and in plans, go as well."""
    life.sql(f"DELETE FROM {life.ops('customer_links')}")
    assert life("merge", life.ada, life.bob, "--apply").exit == 3
    planned = life("erase", life.bob, "--json").json
    assert planned["customers"] == sorted([CUSTOMER, str(BOB.customer)])
    assert planned["dids"] == [BOB.did, DID]
    done = life("erase", life.bob, *ALL, "--even-subscribed")
    assert (done.exit, done.json["stripe"], done.json["privy"]) == (ERASED, 2, 2), done.err
    assert life.traces(*WORDS, str(BOB.email), BOB.did) == {}


def test_a_customer_of_two(life: Life) -> None:
    """The customer in her row is another's, too, and is left alone: what it pays for runs on; that of the deleted one has ended."""
    life.sql("UPDATE users SET stripe_customer_id = :customer WHERE id = :id", customer=BOB.customer, id=life.ada)
    more = {"user_id": life.ada, "status": "active", "updated_at": LONG_AGO}
    seen = {"status": "active", "cancel_at_period_end": False, "created": 1, "current": True}
    with writing(life.engine) as connection:
        connection.execute(subscriptions.update().where(subscriptions.c.user_id == life.ada).values(more))
        connection.execute(subscriptions.insert().values(stripe_subscription_id="sub_deleted", **more))
        connection.execute(subscription_states.insert().values(subscription="sub_deleted", customer=CUSTOMER, **seen))
    done = life("erase", life.ada, *ALL, "--even-subscribed")
    assert (done.exit, done.json["stripe"]) == (ERASED, 1), done.err
    s = subscriptions.c
    with reading(life.engine) as connection:
        rows = connection.execute(select(s.stripe_subscription_id, s.status, s.updated_at).where(s.user_id == life.ada)).all()
    found = {row.stripe_subscription_id: (row.status, row.updated_at > LONG_AGO) for row in rows}
    assert found == {"sub_ada": ("active", False), "sub_deleted": ("canceled", True)}


def test_answers_that_wait_in_files(life: Life) -> None:
    """What a provider gave while the database was gone goes as well, put down under her id or one that was merged into hers."""
    folder = Path(life.env["AURA_HOME"], unstored.FOLDER)
    folder.mkdir()
    for name in (f"slack-{life.ada}", f"github-{life.bob}", f"github-{life.ada}.part", "slack-00000000-0000-4000-8000-00000000000c"):
        (folder / name).write_text("sealed")
    assert life("merge", life.ada, life.bob, "--apply").exit == 3
    assert life("erase", life.bob, *ALL, "--even-subscribed").exit == ERASED
    assert [path.name for path in folder.iterdir()] == ["slack-00000000-0000-4000-8000-00000000000c"]


def test_a_connection_that_is_held(life: Life) -> None:
    """Rows of an unknown table that name her connection, and would not go along: told by its name, before anything is revoked."""
    kind = "text" if life.engine.dialect.name == "sqlite" else "uuid"
    life.sql(f"CREATE TABLE repositories (integration {kind} REFERENCES integrations (id))")
    life.sql("INSERT INTO repositories SELECT id FROM integrations WHERE user_id = :id", id=life.ada)
    for refused in (
        life("erase", EMAIL),
        life("erase", EMAIL, *ALL),
        life("disconnect", "github", "--user", life.ada, "--yes", group="integrations"),
    ):
        assert (refused.exit, "the table repositories forbid" in refused.err, "Nothing was revoked" in refused.err) == (6, True, True)
    assert life.value("SELECT count(*) FROM integrations WHERE user_id = :id", id=life.ada) == 1
    life.sql("DELETE FROM repositories")
    assert life("erase", EMAIL, *ALL).exit == ERASED


def test_a_purchase_without_a_customer(life: Life) -> None:
    """A checkout that names her in its metadata alone, and one whose session her tokens came from, are emptied and taken out."""
    made = {"object": "event", "type": "checkout.session.completed", "created": int(time.time()), "livemode": False}
    bought = life.value("SELECT stripe_session_id FROM token_top_ups WHERE user_id = :id", id=life.ada)
    for event, session, metadata in (("evt_s1", "cs_named", {"user_id": life.ada}), ("evt_s2", bought, {})):
        about = {"id": session, "object": "checkout.session", "customer": None, "metadata": metadata, "name": MARKER}
        life.deliver({**made, "id": event, "data": {"object": about}})
    assert life("erase", EMAIL, "--json").json["rows"]["webhook_events"] == 3
    assert life("erase", EMAIL, *ALL).exit == ERASED
    assert life.traces(*WORDS) == {}


def test_runs_at_stripe_alone(life: Life) -> None:
    """A subscription that the web app has no row of, and that Stripe was seen to bill, holds an erasure up, too."""
    seen = {"customer": CUSTOMER, "status": "active", "cancel_at_period_end": False, "created": 1}
    with writing(life.engine) as connection:
        connection.execute(subscription_states.insert().values(subscription="sub_unseen", current=True, **seen))
    refused = life("erase", EMAIL, *ALL)
    assert (refused.exit, "sub_unseen has not ended" in refused.err) == (6, True)


def test_an_address_is_not_written_back(life: Life) -> None:
    """A mail that was claimed is asked about at Stripe while its person is erased: nothing of it is stored."""
    with writing(life.engine) as connection:
        queue.enqueue(connection, "mail", "confirm:x", {"template": "welcome", "user_id": life.ada})
        (effect,) = queue.claim(connection, "worker", keys=["confirm:x"])

    def erased(price: str | None) -> dict[str, str]:
        del price
        life.sql(f"DELETE FROM {life.ops('outbox')} WHERE key = 'confirm:x'")
        return {"plan": "AURA"}

    list(
        Mailing(life.engine, Settings.load({}, Path(life.aura.directory)), Letterhead("a@example.com", ""), erased).deliver(
            [effect], threading.Event()
        )
    )
    assert life.value(f"SELECT count(*) FROM {life.ops('mails')} WHERE key = 'confirm:x'") == 0


def test_a_sync_waits_for_who_leaves(life: Life) -> None:
    """On PostgreSQL what a sync has read is not staged while somebody is being erased or merged, and the other way round."""
    if life.engine.dialect.name == "sqlite":
        return
    with writing(life.engine) as leaves, writing(life.engine) as stays:
        departed.hold_departures(leaves, leaving=True)
        free = "SELECT pg_try_advisory_xact_lock_shared(:number)"
        assert stays.execute(text(free), {"number": departed._DEPARTURES}).scalar() is False
