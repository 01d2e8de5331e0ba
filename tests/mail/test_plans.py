"""What a mail tells of a price: Stripe's words, as far as it has any."""

from collections.abc import Iterator

import pytest

from aura_cli.errors import UnreachableError
from aura_cli.mail.plans import described
from aura_cli.mail.sending import unnamed
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.settings import Settings
from aura_cli.subscriptions.stripe import service
from aura_cli.transport import Service
from tests.parts.books import population
from tests.parts.stripe import StandIn, stand_in


@pytest.fixture
def stripe() -> Iterator[tuple[StandIn, Service]]:
    """The stand-in, and the way to it."""
    with stand_in(population()) as found:
        variables = {"STRIPE_SECRET_KEY": STRIPE_SECRET_KEY, "STRIPE_API_BASE": found.base, "AURA_ENV": "sandbox"}
        with service(Settings.load(variables)) as way:
            yield found, way


def test_its_name_and_price(stripe: tuple[StandIn, Service]) -> None:
    """Of the product; amount and interval in the template's forms."""
    _, way = stripe
    found = described(way, PRO_MONTHLY.id)
    assert found["plan"]
    assert (found["amount"], found["interval"]) == (f"{PRO_MONTHLY.amount / 100:.2f} USD", "month")


def test_what_stripe_does_not_know(stripe: tuple[StandIn, Service]) -> None:
    """A price that is gone, or none, has the service's name; a product without a name its nickname."""
    found, way = stripe
    assert described(way, "price_gone") == described(way, None) == unnamed(None) == {"plan": "AURA"}
    found.edit_each("/v1/prices", lambda price: price.update(product="prod_1", nickname="Pro, yearly", recurring=None))
    assert described(way, PRO_MONTHLY.id) == {"plan": "Pro, yearly"}


def test_stripe_is_away(stripe: tuple[StandIn, Service]) -> None:
    """It is told, and the mail is tried again later."""
    _, way = stripe
    way.stop.set()
    with pytest.raises(UnreachableError):
        described(way, PRO_MONTHLY.id)
