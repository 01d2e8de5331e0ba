"""What we deliver ourselves, signed, to somebody's endpoint: endpoints built on the official SDKs take it for Stripe's."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stripe
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.db.migrate import upgrade
from aura_cli.outbox.carrying import Carrier
from aura_cli.outbox.queue import enqueue
from aura_cli.sandbox.credentials import NOWHERE, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, Addresses, environment
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.envelope import Arrival, read
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.forwarding import Forwarding
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.samples import Wish, sample
from aura_cli.webhooks.sending import Target
from tests.contracts.stripe_parts import client, listening
from tests.parts.books import population
from tests.parts.migrated import engine_of
from tests.parts.outside import node_script
from tests.parts.program import Aura
from tests.parts.stripe import stand_in


@dataclass(frozen=True)
class Endpoint:
    """Somebody's webhook endpoint; `verified()` waits for the next delivery and gives the event that an SDK made of it."""

    url: str
    verified: Callable[[], dict[str, Any]]


@contextmanager
def on_node() -> Iterator[Endpoint]:
    with node_script("verify.mjs", secret=STRIPE_WEBHOOK_SECRET) as server:

        def verified() -> dict[str, Any]:
            event: dict[str, Any] = server.hear()
            assert "verified" in event, event
            return {**event, "id": event["verified"]}

        yield Endpoint(f"{server.base}/api/webhooks/stripe", verified)


@contextmanager
def on_python() -> Iterator[Endpoint]:
    with listening() as (url, arrived):

        def verified() -> dict[str, Any]:
            body, signature = arrived.get(timeout=30)
            event = stripe.Webhook.construct_event(body, signature, STRIPE_WEBHOOK_SECRET).to_dict(for_json=True)
            return {**event, "object": event["data"]["object"]}

        yield Endpoint(url, verified)


@pytest.fixture(params=[on_node, on_python], ids=["node", "python"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """An endpoint on each of the two SDKs, with the sandbox's secret."""
    with request.param() as found:
        yield found


def variables(aura: Aura, url: str, stripe: str = NOWHERE) -> dict[str, str]:
    return environment(Addresses(stripe, stripe), aura.directory, url)


@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-06-20"])
def test_every_sample(endpoint: Endpoint, version: str) -> None:
    """Each handled type, in the shape of today and in that before basil, is an event to them."""
    with Target(endpoint.url, STRIPE_WEBHOOK_SECRET) as target:
        for kind in HANDLED:
            sent = target.deliver(sample(kind, int(time.time()), Wish(api_version=version)))
            assert sent.status == 200
            event = endpoint.verified()
            assert (event["id"], event["type"], event["api_version"]) == (sent.event, kind, version)


def test_send(endpoint: Endpoint, aura: Aura, sqlite_database: str, tmp_path: Path) -> None:
    """`webhooks send` of a type, about whom is asked for, and of a file, byte for byte."""
    words = ("customer.subscription.updated", "--customer", "cus_contract", "--subscription", "sub_contract", "--json")
    done = aura("webhooks", "send", *words, "--to", endpoint.url, env=variables(aura, sqlite_database))
    assert done.exit == 0, done.err
    event = endpoint.verified()
    assert event["id"] == done.json["event"]
    assert (event["object"]["id"], event["object"]["customer"]) == ("sub_contract", "cus_contract")
    file = tmp_path / "event.json"
    file.write_text('{ "id": "evt_file", "object": "event", "type": "x.y",\n "created": 1, "data": {"object": {"name": "Žofie"}} }\n')
    done = aura("webhooks", "send", "--file", str(file), "--to", endpoint.url, env=variables(aura, sqlite_database))
    assert done.exit == 0, done.err
    assert endpoint.verified()["object"] == {"name": "Žofie"}


def test_tail(endpoint: Endpoint, aura: Aura, sqlite_database: str) -> None:
    """`webhooks tail --to` delivers what happens at Stripe from then on, in its order, as Stripe wrote it."""
    with stand_in(population()) as state:
        sdk = client(state.base, key=STRIPE_SECRET_KEY)
        process = aura.start("webhooks", "tail", "--to", endpoint.url, env=variables(aura, sqlite_database, state.base))
        assert process.stderr
        assert "go to" in process.stderr.readline()
        price: Any = {"currency": "usd", "unit_amount": 2900, "product_data": {"name": "Pro"}, "recurring": {"interval": "month"}}
        customer = sdk.v1.customers.create({"email": "ada@example.com"}).id
        subscription = sdk.v1.subscriptions.create({"customer": customer, "items": [{"price": sdk.v1.prices.create(price).id}]}).id
        sdk.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
        sdk.v1.subscriptions.cancel(subscription)
        listed = [event for event in reversed(sdk.v1.events.list({"limit": 100}).data) if event.type in HANDLED]
        assert {"customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted"} <= {
            e.type for e in listed
        }
        assert [endpoint.verified()["id"] for _ in listed] == [event.id for event in listed]
        process.terminate()


@pytest.fixture
def stored(sqlite_database: str) -> Iterator[tuple[Engine, Arrival]]:
    """An inbox with one event that is years old."""
    arrival = read(sample("invoice.payment_failed", 1_700_000_000), "web")
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        with writing(engine) as connection:
            store(connection, [arrival])
            enqueue(connection, FORWARD, arrival.id, {"event": arrival.id})
        yield engine, arrival


def test_forwarding(endpoint: Endpoint, stored: tuple[Engine, Arrival]) -> None:
    """An event that is forwarded to the web app, which verifies with stripe-node, is signed anew as well."""
    engine, arrival = stored
    (forwarded,) = Carrier(engine, Forwarding(engine, Target(endpoint.url, STRIPE_WEBHOOK_SECRET))).once()
    assert (forwarded.key, forwarded.state) == (arrival.id, "done")
    assert endpoint.verified()["id"] == arrival.id


def test_replay(endpoint: Endpoint, aura: Aura, sqlite_database: str, stored: tuple[Engine, Arrival]) -> None:
    """`webhooks replay ID --to` delivers what is in the inbox under a signature of now: it is not too old for them."""
    _, arrival = stored
    done = aura("webhooks", "replay", arrival.id, "--to", endpoint.url, env=variables(aura, sqlite_database))
    assert done.exit == 0, done.err
    event = endpoint.verified()
    assert (event["id"], event["type"], event["created"]) == (arrival.id, arrival.type, 1_700_000_000)
