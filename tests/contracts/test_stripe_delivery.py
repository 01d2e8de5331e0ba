"""Events on their way to webhook endpoints, taken apart with the official SDK."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

import pytest
import requests
import stripe

from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.stripe import StripeState
from aura_cli.settings import leads_here
from tests.contracts.stripe_parts import KEY, NOW, client, listening, serving
from tests.parts.receiving import receiving
from tests.parts.waiting import until


def received(arrived: "Queue[tuple[bytes, str]]", number: int) -> list[tuple[bytes, str]]:
    return [arrived.get(timeout=20) for _ in range(number)]


def test_events_arrive_signed_and_in_order() -> None:
    """The SDK accepts each with the endpoint's secret, and only with that; what was not asked for does not come."""
    with listening() as (url, arrived), serving(StripeState(NOW)) as base:
        sdk = client(base)
        endpoint = sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": ["customer.created", "customer.updated"]})
        assert endpoint.secret
        customer = sdk.v1.customers.create({"name": "Ada"})
        sdk.v1.products.create({"name": "nobody asked"})
        sdk.v1.customers.update(customer.id, {"name": "Eve"})
        hooks = received(arrived, 2)
        events = [stripe.Webhook.construct_event(body, signature, endpoint.secret) for body, signature in hooks]
        assert [event.type for event in events] == ["customer.created", "customer.updated"]
        listed = sdk.v1.events.list({"types": ["customer.created", "customer.updated"]}).data
        assert [event.id for event in events] == [event.id for event in reversed(listed)]
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(*hooks[0], "whsec_other")
        with pytest.raises(Empty):
            arrived.get_nowait()


def test_an_endpoint_pinned_to_an_old_version_gets_the_old_shape() -> None:
    """Its api_version, not the account's, shapes what is delivered."""
    with listening() as (url, arrived), serving(StripeState(NOW)) as base:
        sdk = client(base)
        events: Any = ["customer.subscription.created"]
        sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": events, "api_version": "2024-06-20"})
        price: Any = {"currency": "usd", "unit_amount": 1, "product_data": {"name": "Pro"}, "recurring": {"interval": "month"}}
        customer = sdk.v1.customers.create()
        sdk.v1.subscriptions.create({"customer": customer.id, "items": [{"price": sdk.v1.prices.create(price).id}]})
        ((body, _),) = received(arrived, 1)
        event = json.loads(body)
        assert event["api_version"] == "2024-06-20"
        assert "current_period_end" in event["data"]["object"]


def test_duplicated_and_reordered() -> None:
    """With these faults every event arrives twice, and not in the order in which things happened."""
    faults = Faults(duplicate_events=1.0, reorder_events=True)
    with listening() as (url, arrived), serving(StripeState(NOW, faults=faults)) as base:
        sdk = client(base)
        sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
        made = [sdk.v1.customers.create({"name": str(number)}).id for number in range(20)]
        bodies = [json.loads(body) for body, _ in received(arrived, 40)]
        order = [event["data"]["object"]["id"] for event in bodies]
        assert sorted(order) == sorted(made * 2)
        assert list(dict.fromkeys(order)) != made


def watched(base: str, **query: str) -> Any:
    """The attempts to deliver, and how many deliveries are still to succeed."""
    answer = requests.get(f"{base}/_sandbox/deliveries", params=query, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    return answer.json()


def test_what_was_not_taken_comes_again() -> None:
    """An error, a redirect: tried again with a wait, each attempt on record; `delivery_success` knows what is still open."""
    with receiving(500, 307) as receiver, serving(StripeState(NOW)) as base:
        sdk = client(base)
        sdk.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["customer.created"]})
        customer = sdk.v1.customers.create()
        until(lambda: bool(receiver.arrived))
        (event,) = sdk.v1.events.list({"delivery_success": False}).data
        assert (event.type, event.pending_webhooks) == ("customer.created", 1)
        until(lambda: watched(base)["pending"] == 0)
        assert [one["data"]["object"]["id"] for one in receiver.events] == [customer.id] * 3
        attempts = watched(base, event=event.id)["deliveries"]
        assert [(one["attempt"], one["status"]) for one in attempts] == [(1, 500), (2, 307), (3, 200)]
        assert not sdk.v1.events.list({"delivery_success": False}).data
        assert [one.pending_webhooks for one in sdk.v1.events.list({"delivery_success": True}).data] == [0]


def test_an_endpoint_that_is_down_gets_its_events_when_it_is_up() -> None:
    """One failing endpoint holds back no other, and one that is deleted is waited for no longer."""
    with listening() as (url, arrived), serving(StripeState(NOW)) as base:
        sdk = client(base)
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as taken:
            nowhere = f"http://127.0.0.1:{taken.server_port}/"
        down = sdk.v1.webhook_endpoints.create({"url": nowhere, "enabled_events": ["*"]})
        moved = sdk.v1.webhook_endpoints.create({"url": nowhere, "enabled_events": ["*"]})
        sdk.v1.customers.create()
        until(lambda: len(watched(base)["deliveries"]) >= 4)
        assert {one["status"] for one in watched(base)["deliveries"]} == {0}
        sdk.v1.webhook_endpoints.update(moved.id, {"url": url})
        sdk.v1.webhook_endpoints.delete(down.id)
        received(arrived, 1)
        until(lambda: watched(base)["pending"] == 0)


def test_the_secret_of_the_environment_signs() -> None:
    """An endpoint made in the sandbox's own way is signed for with the secret that the sandbox's environment names."""
    with listening() as (url, arrived), serving(StripeState(NOW)) as base:
        headers = {"Authorization": f"Bearer {KEY}"}
        made = requests.post(f"{base}/_sandbox/webhook_endpoints", json={"url": url}, headers=headers, timeout=30).json()
        assert (made["enabled_events"], made["status"], "secret" in made) == (["*"], "enabled", False)
        client(base).v1.customers.create()
        ((body, header),) = received(arrived, 1)
        assert stripe.Webhook.construct_event(body, header, STRIPE_WEBHOOK_SECRET).type == "customer.created"
        refused = requests.post(f"{base}/_sandbox/webhook_endpoints", json={"url": "https://example.com/"}, headers=headers, timeout=30)
        assert refused.status_code == 400


def test_a_page_of_events_before_another() -> None:
    """`ending_before` with types gives what came next, page by page: auto-paging then runs oldest first."""
    with serving(StripeState(NOW)) as base:
        sdk = client(base)
        first = sdk.v1.customers.create().id
        (begin,) = sdk.v1.events.list().data
        made = [sdk.v1.customers.create().id for _ in range(5)]
        sdk.v1.customers.update(first, {"name": "Ada"})
        page = sdk.v1.events.list({"ending_before": begin.id, "types": ["customer.created", "invoice.paid"], "limit": 2})
        subjects = [event.to_dict()["data"]["object"]["id"] for event in page.auto_paging_iter()]
        assert subjects == made
        with pytest.raises(stripe.InvalidRequestError, match="20"):
            sdk.v1.events.list({"types": [f"kind.{number}" for number in range(21)]})


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:1/hook", True),
        ("http://localhost/hook", True),
        ("http://[::1]:9/", True),
        ("https://example.com/hook", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://10.0.0.1/", False),
        ("ftp://127.0.0.1/", False),
        ("nonsense", False),
        ("http://[::1", False),
    ],
)
def test_nothing_leaves_the_machine(url: str, sent: bool) -> None:
    """Only loopback addresses are delivered to."""
    assert leads_here(url) is sent
