"""Events on their way to webhook endpoints, taken apart with the official SDK."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

import pytest
import stripe

from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.stripe import StripeState
from aura_cli.sandbox.stripe.delivery import is_loopback
from tests.contracts.stripe_parts import NOW, client, serving


@contextmanager
def listening() -> Iterator[tuple[str, "Queue[tuple[bytes, str]]"]]:
    """A webhook endpoint's address, and the bodies and signatures that arrive there."""
    arrived: Queue[tuple[bytes, str]] = Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((body, self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", arrived
        finally:
            server.shutdown()
            thread.join()


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
    assert is_loopback(url) is sent
