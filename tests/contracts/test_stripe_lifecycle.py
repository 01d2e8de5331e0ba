"""What happens to subscriptions and payments over time, told by the official SDK and held against Stripe's OpenAPI document."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from aura_cli.sandbox.stripe import StripeState
from tests.contracts.stripe_parts import KEY, NOW, client, complaints, object_complaints, parameters, serving
from tests.contracts.test_stripe_sdk import plan, sandbox, subscriber, told

DAY = 86_400
PAUSE_AT_THE_END: Any = {"end_behavior": {"missing_payment_method": "pause"}}
CARRIED = {"customer.subscription": "subscription", "invoice": "invoice", "checkout.session": "checkout.session", "customer": "customer"}


@pytest.fixture
def base() -> Iterator[str]:
    with serving(StripeState(NOW)) as address:
        yield address


def newest(sdk: stripe.StripeClient, kind: str) -> Any:
    """The newest event of a type, as JSON; what it carries is as Stripe describes it."""
    event = sdk.v1.events.list({"type": kind, "limit": 1}).to_dict(for_json=True)["data"][0]
    assert not object_complaints(CARRIED[kind.rpartition(".")[0]], event["data"]["object"])
    return event


def test_a_trial_says_that_it_ends_three_days_before(base: str) -> None:
    """Once, at that moment; a shorter trial says so when it begins, and one that is moved says so again."""
    sdk = client(base)
    price = plan(sdk)
    trial = subscriber(sdk, price, trial_period_days=14)
    sandbox(base, "advance", seconds=10 * DAY)
    assert told(sdk, "customer.subscription.trial_will_end") == []
    sandbox(base, "advance", seconds=2 * DAY)
    event = newest(sdk, "customer.subscription.trial_will_end")
    assert (event["data"]["object"]["id"], event["created"]) == (trial.id, (trial.trial_end or 0) - 3 * DAY)
    sandbox(base, "advance", seconds=3 * DAY)
    assert len(told(sdk, "customer.subscription.trial_will_end")) == 1
    assert sdk.v1.subscriptions.retrieve(trial.id).status == "active"
    short = subscriber(sdk, price, trial_period_days=2)
    assert newest(sdk, "customer.subscription.trial_will_end")["data"]["object"]["id"] == short.id
    sdk.v1.subscriptions.update(short.id, {"trial_end": (short.trial_end or 0) + 10 * DAY})
    sandbox(base, "advance", seconds=10 * DAY)
    assert len(told(sdk, "customer.subscription.trial_will_end")) == 3


@pytest.mark.parametrize(("wish", "status"), [("pause", "paused"), ("cancel", "canceled"), ("create_invoice", "past_due")])
def test_a_trial_that_ends_without_a_card(base: str, wish: str, status: str) -> None:
    """It pauses, ends, or owes the first invoice, as `trial_settings` say."""
    sdk = client(base)
    settings: Any = {"end_behavior": {"missing_payment_method": wish}}
    trial = subscriber(sdk, plan(sdk), trial_period_days=7, trial_settings=settings)
    sandbox(base, f"customers/{trial.customer}/card", missing=True)
    sandbox(base, "advance", seconds=8 * DAY)
    after = sdk.v1.subscriptions.retrieve(trial.id)
    assert (after.status, after.to_dict()["trial_settings"]) == (status, settings)
    ends = {"paused": "customer.subscription.paused", "canceled": "customer.subscription.deleted", "past_due": "invoice.payment_failed"}
    assert newest(sdk, ends[status])["data"]["object"]["customer"] == trial.customer


def test_a_paused_subscription_is_resumed(base: str) -> None:
    """A new period begins then and is billed; with the anchor unchanged the old one goes on without an invoice."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    first = subscription["items"].data[0]
    assert sdk.v1.subscriptions.pause(subscription.id).status == "paused"
    assert newest(sdk, "customer.subscription.paused")["data"]["object"]["status"] == "paused"
    kept: Any = {"billing_cycle_anchor": {"type": "unchanged"}}
    again = sdk.v1.subscriptions.resume(subscription.id, kept)
    assert (again.status, again["items"].data[0].current_period_end) == ("active", first.current_period_end)
    sdk.v1.subscriptions.pause(subscription.id)
    sandbox(base, "advance", seconds=60 * DAY)
    assert sdk.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_end == first.current_period_end
    path = f"/v1/subscriptions/{subscription.id}/resume"
    answer = requests.post(f"{base}{path}", data={"billing_cycle_anchor": "now"}, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    assert not complaints("post", "/v1/subscriptions/{subscription}/resume", answer.json())
    assert (answer.json()["status"], answer.json()["items"]["data"][0]["current_period_start"]) == ("active", NOW + 60 * DAY)
    assert newest(sdk, "customer.subscription.resumed")["data"]["object"]["status"] == "active"
    assert newest(sdk, "invoice.paid")["data"]["object"]["billing_reason"] == "subscription_update"
    with pytest.raises(stripe.InvalidRequestError, match="active"):
        sdk.v1.subscriptions.resume(subscription.id)


def test_who_resumes_without_a_working_card_is_past_due(base: str) -> None:
    """And pays with the next try."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    sdk.v1.subscriptions.pause(subscription.id)
    sandbox(base, f"customers/{subscription.customer}/card", declined=True)
    assert sdk.v1.subscriptions.resume(subscription.id).status == "past_due"
    sandbox(base, f"customers/{subscription.customer}/card", declined=False)
    sandbox(base, "advance", seconds=4 * DAY)
    assert sdk.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_failed_renewal_is_tried_again(base: str) -> None:
    """Each try that fails makes an event and names the next; the one that goes through makes it active again."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    sandbox(base, f"customers/{subscription.customer}/card", declined=True)
    sandbox(base, "advance", seconds=subscription["items"].data[0].current_period_end - NOW)
    failed = newest(sdk, "invoice.payment_failed")
    invoice = failed["data"]["object"]
    assert (invoice["attempt_count"], invoice["next_payment_attempt"]) == (1, failed["created"] + 3 * DAY)
    sandbox(base, "advance", seconds=3 * DAY)
    invoice = newest(sdk, "invoice.payment_failed")["data"]["object"]
    assert (invoice["attempt_count"], invoice["next_payment_attempt"]) == (2, failed["created"] + 8 * DAY)
    sandbox(base, f"customers/{subscription.customer}/card", declined=False)
    sandbox(base, "advance", seconds=5 * DAY)
    paid = newest(sdk, "invoice.paid")
    assert (paid["data"]["object"]["id"], paid["created"]) == (invoice["id"], failed["created"] + 8 * DAY)
    assert (paid["data"]["object"]["attempt_count"], paid["data"]["object"]["next_payment_attempt"]) == (3, None)
    assert sdk.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert len(told(sdk, "invoice.payment_failed")) == 2


def test_tries_come_to_an_end(base: str) -> None:
    """After the fourth the invoice stays open and nothing more is planned; what was cancelled is not tried at all."""
    sdk = client(base)
    price = plan(sdk)
    subscription, leaving = subscriber(sdk, price), subscriber(sdk, price)
    for one in (subscription, leaving):
        sandbox(base, f"customers/{one.customer}/card", declined=True)
    sandbox(base, "advance", seconds=subscription["items"].data[0].current_period_end - NOW + 60)
    sdk.v1.subscriptions.cancel(leaving.id)
    sandbox(base, "advance", seconds=16 * DAY)
    assert len(told(sdk, "invoice.payment_failed")) == 1 + 4
    late = sdk.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]}).to_dict()
    assert (late["status"], late["latest_invoice"]["status"]) == ("past_due", "open")
    assert late["latest_invoice"]["next_payment_attempt"] is None


def test_a_bank_that_takes_its_time(base: str) -> None:
    """The session completes unpaid; days later the payment succeeds, or another's fails, each with its event."""
    sdk = client(base)
    line = {"price_data": {"currency": "usd", "unit_amount": 900, "product_data": {"name": "Tokens"}}}
    wanted: Any = {"mode": "payment", "line_items": [line]}
    lucky, unlucky = (sdk.v1.checkout.sessions.create(wanted).id for _ in range(2))
    for session in (lucky, unlucky):
        assert sandbox(base, f"checkout/sessions/{session}/complete", paid=False)["payment_status"] == "unpaid"
    assert newest(sdk, "checkout.session.completed")["data"]["object"]["payment_status"] == "unpaid"
    assert sandbox(base, f"checkout/sessions/{lucky}/clear")["payment_status"] == "paid"
    sandbox(base, f"checkout/sessions/{unlucky}/clear", succeeded=False)
    assert newest(sdk, "checkout.session.async_payment_succeeded")["data"]["object"]["id"] == lucky
    assert newest(sdk, "checkout.session.async_payment_failed")["data"]["object"]["payment_status"] == "unpaid"
    again = requests.post(f"{base}/_sandbox/checkout/sessions/{lucky}/clear", headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    assert again.status_code == 400


def test_a_deleted_customer_takes_its_subscriptions_along(base: str) -> None:
    """First each subscription ends, then the customer; their events say so in this order."""
    sdk = client(base)
    price = plan(sdk)
    subscription = subscriber(sdk, price)
    customer = str(subscription.customer)
    second: Any = {"customer": customer, "items": [{"price": price}]}
    sdk.v1.subscriptions.create(second)
    sdk.v1.customers.delete(customer)
    assert told(sdk)[-3:] == ["customer.subscription.deleted"] * 2 + ["customer.deleted"]
    assert newest(sdk, "customer.deleted")["data"]["object"]["id"] == customer


def test_stripe_knows_what_is_sent_to_pause_and_resume() -> None:
    """The parameters of the official SDK's resume are those of the description; pause is newer than it."""
    assert {"billing_cycle_anchor", "proration_behavior", "proration_date"} <= parameters("post", "/v1/subscriptions/{subscription}/resume")
    assert "trial_settings" in parameters("post", "/v1/subscriptions")
    assert "delivery_success" in parameters("get", "/v1/events")
