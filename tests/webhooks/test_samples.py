"""Sample events: about whom they are asked to be, and telling what their type says."""

import json
from typing import Any

import pytest

from aura_cli.errors import UsageError
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.samples import Wish, sample

NOW = 1_795_000_000
TELLING = {
    "checkout.session.completed": ("mode", "subscription"),
    "checkout.session.async_payment_succeeded": ("payment_status", "paid"),
    "customer.subscription.created": ("status", "active"),
    "customer.subscription.updated": ("cancel_at_period_end", True),
    "customer.subscription.deleted": ("status", "canceled"),
    "customer.subscription.paused": ("status", "paused"),
    "customer.subscription.resumed": ("status", "active"),
    "customer.subscription.trial_will_end": ("trial_end", NOW + 3 * 86_400),
    "customer.deleted": ("object", "customer"),
    "invoice.paid": ("billing_reason", "subscription_cycle"),
    "invoice.payment_failed": ("status", "open"),
}


def carried(kind: str, **wish: Any) -> Any:
    """What a sample is about."""
    return json.loads(sample(kind, NOW, Wish(**wish)))["data"]["object"]


def test_every_handled_type_has_a_sample() -> None:
    """And this test knows what each must tell."""
    assert set(TELLING) == set(HANDLED)


@pytest.mark.parametrize(("kind", "name", "value"), [(kind, *telling) for kind, telling in TELLING.items()])
def test_it_tells_what_its_type_says(kind: str, name: str, value: object) -> None:
    """One attribute of each that its handler looks at."""
    assert carried(kind)[name] == value


@pytest.mark.parametrize("kind", HANDLED)
def test_it_is_about_whom_it_is_asked_to_be(kind: str) -> None:
    """The ids that were wished for, wherever Stripe puts them."""
    wished = carried(kind, customer="cus_Ada", subscription="sub_Ada")
    assert (wished["id"] if kind == "customer.deleted" else wished["customer"]) == "cus_Ada"
    if kind.startswith("customer.subscription"):
        assert wished["id"] == "sub_Ada"
    if kind == "checkout.session.completed":
        assert wished["subscription"] == "sub_Ada"


def test_a_checkout_of_tokens() -> None:
    """Payment mode, with the metadata by which the web app knows a top-up."""
    session = carried("checkout.session.completed", tokens=5000, user="u-1")
    assert (session["mode"], session["payment_status"], session["subscription"]) == ("payment", "paid", None)
    assert session["metadata"] == {"type": "token_topup", "tokens": "5000", "user_id": "u-1", "package_id": "starter"}


def test_the_seed_decides_the_ids() -> None:
    """Same seed, same body; another seed, another event."""
    assert sample("invoice.paid", NOW, seed=1) == sample("invoice.paid", NOW, seed=1)
    assert json.loads(sample("invoice.paid", NOW, seed=1))["id"] != json.loads(sample("invoice.paid", NOW, seed=2))["id"]


def test_live_and_test_mode() -> None:
    """The mode stands in the event and in what it carries."""
    for livemode in (True, False):
        event = json.loads(sample("invoice.paid", NOW, Wish(livemode=livemode)))
        assert (event["livemode"], event["data"]["object"]["livemode"]) == (livemode, livemode)


@pytest.mark.parametrize(("kind", "wish"), [("charge.refunded", Wish()), ("invoice.paid", Wish(tokens=1))])
def test_what_there_is_no_sample_of(kind: str, wish: Wish) -> None:
    """A type that is not handled, and tokens where none are sold."""
    with pytest.raises(UsageError):
        sample(kind, NOW, wish)
