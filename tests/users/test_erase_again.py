"""An erasure that did not come to its end, and what others do to the database meanwhile."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.parts.program import Aura
from tests.users.lives import BOB, CUSTOMER, DID, EMAIL, Life, life_of
from tests.users.test_erase import ALL, WORDS

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
    assert (done.exit, done.json["stripe"]) == (0, 0), done.err
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
    assert (done.exit, done.json["stripe"], done.json["privy"]) == (0, 2, 2), done.err
    assert life.traces(*WORDS, str(BOB.email), BOB.did) == {}
