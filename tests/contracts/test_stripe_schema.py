"""The stand-in's answers, and the requests of `aura`, held against Stripe's own OpenAPI document."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from aura_cli.sandbox.generation import build
from aura_cli.sandbox.stripe import StripeState, seed
from tests.contracts.stripe_parts import (
    JSON,
    KEY,
    NOW,
    complaints,
    error_complaints,
    object_complaints,
    parameters,
    serving,
    undescribed,
)

PERSONS = 150
LISTS = {
    "/v1/customers": "customer",
    "/v1/products": "product",
    "/v1/prices": "price",
    "/v1/subscriptions": "subscription",
    "/v1/invoices": "invoice",
    "/v1/checkout/sessions": "checkout.session",
    "/v1/events": "event",
    "/v1/webhook_endpoints": "webhook_endpoint",
}
OF_EVENT = {"customer": "customer", "customer.subscription": "subscription", "invoice": "invoice", "checkout.session": "checkout.session"}
USED = [
    ("get", "/v1/subscriptions", "status created limit starting_after ending_before expand customer price"),
    ("get", "/v1/subscriptions/{subscription_exposed_id}", "expand"),
    ("get", "/v1/subscriptions/search", "query limit page expand"),
    ("get", "/v1/invoices", "customer subscription status created limit starting_after expand"),
    ("get", "/v1/checkout/sessions", "created limit starting_after status customer expand"),
    ("get", "/v1/customers", "created limit starting_after email expand"),
    ("get", "/v1/customers/{customer}", "expand"),
    ("get", "/v1/customers/search", "query limit page expand"),
    ("get", "/v1/events", "type types created limit starting_after ending_before delivery_success"),
    ("get", "/v1/prices", "active product limit starting_after"),
    ("get", "/v1/account", "expand"),
    ("get", "/v1/webhook_endpoints", "limit starting_after"),
    ("post", "/v1/webhook_endpoints", "url enabled_events api_version description metadata"),
    ("post", "/v1/webhook_endpoints/{webhook_endpoint}", "url enabled_events disabled"),
]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """A stand-in that knows people with every kind of contract there is."""
    state = StripeState(NOW)
    seed(state, build(PERSONS, seed=7, now=NOW))
    with serving(state) as address:
        yield address


def call(base: str, method: str, path: str, **fields: str) -> Any:
    """An answer's JSON; `fields` are a query or a form, with the names' brackets as they are sent."""
    where = {"params" if method == "get" else "data": fields}
    answer = requests.request(method, f"{base}{path}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30, **where)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return answer.json()


def checked(base: str, method: str, path: str, pattern: str = "", **fields: str) -> Any:
    """The same, without any complaint of the specification; `pattern` is the path's name in it."""
    answer = call(base, method, path, **fields)
    assert not complaints(method, pattern or path, answer)
    return answer


def first(base: str, path: str, **fields: str) -> JSON:
    """The newest object of a list."""
    found: JSON = call(base, "get", path, **fields)["data"][0]
    return found


@pytest.mark.parametrize(("path", "kind"), LISTS.items())
def test_lists(base: str, path: str, kind: str) -> None:
    """Every object of every list is what Stripe describes, and has no attribute that Stripe does not know."""
    if kind == "webhook_endpoint":
        checked(base, "post", path, **{"url": "http://127.0.0.1:9/hook", "enabled_events[]": "*"})
    answer = checked(base, "get", path, limit="100", **({"status": "all"} if kind == "subscription" else {}))
    assert answer["data"]
    assert not undescribed(kind, answer["data"])


def test_every_status_of_a_subscription_is_among_them(base: str) -> None:
    """The lists above show all eight, so that none escapes the specification."""
    pages = call(base, "get", "/v1/subscriptions", limit="100", status="all")["data"]
    expected = {"active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"}
    assert {subscription["status"] for subscription in pages} == expected


def test_expanded_answers(base: str) -> None:
    """Objects in the place of ids are what Stripe describes, too."""
    expand = ["data.customer", "data.latest_invoice", "data.items.data.price.product"]
    checked(base, "get", "/v1/subscriptions", **{f"expand[{place}]": path for place, path in enumerate(expand)})
    checked(base, "get", "/v1/checkout/sessions", **{"expand[]": "data.line_items"})
    checked(base, "get", "/v1/invoices", **{"expand[]": "data.parent.subscription_details.subscription"})
    checked(base, "get", "/v1/customers", **{"expand[]": "data.subscriptions"})


def test_single_objects(base: str) -> None:
    """Retrieving, the account, and searching."""
    checked(base, "get", "/v1/account")
    customer = first(base, "/v1/customers")
    checked(base, "get", f"/v1/customers/{customer['id']}", "/v1/customers/{customer}")
    query = f"metadata['userId']:'{customer['metadata']['userId']}'"
    assert [found["id"] for found in checked(base, "get", "/v1/customers/search", query=query)["data"]] == [customer["id"]]
    checked(base, "get", "/v1/subscriptions/search", query="status:'active'")
    subscription, invoice, session, event = (
        first(base, f"/v1/{path}")["id"] for path in ("subscriptions", "invoices", "checkout/sessions", "events")
    )
    checked(base, "get", f"/v1/subscriptions/{subscription}", "/v1/subscriptions/{subscription_exposed_id}")
    checked(base, "get", f"/v1/invoices/{invoice}", "/v1/invoices/{invoice}")
    checked(base, "get", f"/v1/checkout/sessions/{session}", "/v1/checkout/sessions/{session}")
    checked(base, "get", f"/v1/events/{event}", "/v1/events/{id}")


def test_writing(base: str) -> None:
    """What each write answers."""
    customer = checked(base, "post", "/v1/customers", email="ada@example.com", **{"metadata[a]": "b"})["id"]
    checked(base, "post", f"/v1/customers/{customer}", "/v1/customers/{customer}", name="Ada")
    product = checked(base, "post", "/v1/products", name="Pro")["id"]
    price = checked(base, "post", "/v1/prices", currency="usd", unit_amount="100", product=product, **{"recurring[interval]": "year"})["id"]
    item = {"items[0][price]": price}
    created = checked(base, "post", "/v1/subscriptions", customer=customer, **item, trial_period_days="3")["id"]
    path, pattern = f"/v1/subscriptions/{created}", "/v1/subscriptions/{subscription_exposed_id}"
    checked(base, "post", path, pattern, cancel_at_period_end="true", **{"pause_collection[behavior]": "void"})
    checked(base, "post", path, pattern, cancel_at_period_end="false", trial_end="now")
    checked(base, "delete", path, pattern)
    for mode, line in (("subscription", item), ("payment", {})):
        inline = {"line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "5"}
        named = {"line_items[0][price_data][product_data][name]": "Tokens"}
        lines = {"line_items[0][price]": price} if line else {**inline, **named}
        session = checked(base, "post", "/v1/checkout/sessions", mode=mode, **lines)["id"]
        assert not object_complaints("checkout.session", call(base, "post", f"/_sandbox/checkout/sessions/{session}/complete"))
    endpoint = checked(base, "post", "/v1/webhook_endpoints", url="http://127.0.0.1:9/", **{"enabled_events[0]": "invoice.paid"})["id"]
    checked(base, "post", f"/v1/webhook_endpoints/{endpoint}", "/v1/webhook_endpoints/{webhook_endpoint}", disabled="true")
    checked(base, "delete", f"/v1/webhook_endpoints/{endpoint}", "/v1/webhook_endpoints/{webhook_endpoint}")
    checked(base, "delete", f"/v1/customers/{customer}", "/v1/customers/{customer}")
    checked(base, "get", f"/v1/customers/{customer}", "/v1/customers/{customer}")


def test_the_objects_that_events_carry(base: str) -> None:
    """What an event is about is as Stripe describes it."""
    events = call(base, "get", "/v1/events", limit="100")["data"]
    carried = [(OF_EVENT.get(event["type"].rpartition(".")[0]), event["data"]["object"]) for event in events]
    found = [(kind, line) for kind, subject in carried if kind for line in object_complaints(kind, subject)]
    assert not found
    assert {kind for kind, _ in carried} >= {"subscription", "invoice"}


def test_refusals(base: str) -> None:
    """An error's body is as Stripe describes it."""
    for path in ("/v1/customers/cus_none", "/v1/customers?limit=0", "/v1/customers?nothing=1"):
        answer = requests.get(base + path, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
        assert answer.status_code >= 400
        assert not error_complaints(answer.json())


@pytest.mark.parametrize(("method", "path", "names"), USED)
def test_stripe_knows_every_parameter_that_aura_sends(method: str, path: str, names: str) -> None:
    """A filter that Stripe does not know would be refused there."""
    assert set(names.split()) <= parameters(method, path)


def test_complaints_are_complaints() -> None:
    """The check itself finds a missing attribute, a wrong type and a null where there must be none."""
    assert any("'id' is a required property" in line for line in object_complaints("product", {}))
    product = {"active": "yes", "created": None}
    assert any(line.startswith("$.active:") for line in object_complaints("product", product))
    assert any(line.startswith("$.created:") for line in object_complaints("product", product))
