"""Sample events, held against Stripe's own OpenAPI document and its official SDK, in today's shape and the one before basil."""

import json
from typing import Any

import pytest
import stripe

from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.samples import CHECKOUT, Wish, sample
from aura_cli.webhooks.signature import sign
from tests.contracts.stripe_parts import NOW, object_complaints, undescribed

OLD = "2024-06-20"
SAMPLES = [(kind, None) for kind in HANDLED] + [(kind, 5000) for kind in CHECKOUT]
PERIOD = {"current_period_start", "current_period_end"}


def event_of(kind: str, **wish: Any) -> Any:
    """A sample, parsed."""
    return json.loads(sample(kind, NOW, Wish(**wish)))


@pytest.mark.parametrize(("kind", "tokens"), SAMPLES)
def test_stripe_describes_it_so(kind: str, tokens: int | None) -> None:
    """The event and what it carries have nothing that Stripe's description complains of, and no attribute it does not know."""
    event = event_of(kind, tokens=tokens)
    carried = event["data"]["object"]
    assert not object_complaints("event", event)
    assert not object_complaints(carried["object"], carried)
    assert not undescribed(carried["object"], [carried])
    assert (event["type"], event["created"], event["api_version"]) == (kind, NOW, "2026-10-28.endive")


@pytest.mark.parametrize(("kind", "tokens"), SAMPLES)
def test_the_official_sdk_takes_it(kind: str, tokens: int | None) -> None:
    """Signed as we sign, it is verified and parsed; our own reader finds the same in it."""
    body = sample(kind, NOW, Wish(tokens=tokens, customer="cus_Ada"))
    event = stripe.Webhook.construct_event(body, sign("whsec_test", body, NOW), "whsec_test", tolerance=10**9)
    arrival = read(body, "send")
    assert (event.id, event.type, arrival.customer) == (arrival.id, arrival.type, "cus_Ada")
    assert arrival.object == event.data.object["id"]


@pytest.mark.parametrize("kind", HANDLED)
def test_the_shape_before_basil(kind: str) -> None:
    """Period on the subscription, an invoice's subscription at its top; today they are on the items and in `parent`."""
    old, new = (event_of(kind, api_version=version, subscription="sub_Ada") for version in (OLD, "2026-10-28.endive"))
    assert old["api_version"] == OLD
    before, now = old["data"]["object"], new["data"]["object"]
    if now["object"] == "subscription":
        assert before.keys() >= PERIOD
        assert not now.keys() & PERIOD
        assert now["items"]["data"][0].keys() >= PERIOD
        assert not before["items"]["data"][0].keys() & PERIOD
    if now["object"] == "invoice":
        assert before["subscription"] == now["parent"]["subscription_details"]["subscription"] == "sub_Ada"
        assert "parent" not in before
        assert "subscription" not in now
