"""What a subscription's price is called and costs, as a mail tells it: Stripe is asked."""

from collections.abc import Mapping
from typing import Any

import msgspec

from aura_cli.errors import NotFoundError
from aura_cli.mail.sending import PLAN
from aura_cli.mail.variables import money
from aura_cli.subscriptions.stripe import decoder
from aura_cli.transport import Service


class _Recurring(msgspec.Struct):
    interval: str
    interval_count: int = 1


class _Product(msgspec.Struct):
    name: str | None = None


class _Price(msgspec.Struct):
    currency: str
    unit_amount: int | None = None
    nickname: str | None = None
    product: _Product | str | None = None
    recurring: _Recurring | None = None


def described(stripe: Service, price: str | None) -> Mapping[str, Any]:
    """The variables that say what a price sells: plan, amount and interval, as far as Stripe knows. Raises as `Service.get` does."""
    if price is None:
        return {"plan": PLAN}
    try:
        found = decoder(_Price)(stripe.get(f"/v1/prices/{price}", {"expand[]": "product"}))
    except NotFoundError:
        return {"plan": PLAN}
    product = found.product.name if isinstance(found.product, _Product) else None
    facts: dict[str, Any] = {"plan": product or found.nickname or PLAN}
    every = found.recurring
    if found.unit_amount is not None and every and every.interval_count == 1:
        facts |= {"amount": money(found.unit_amount, found.currency), "interval": every.interval}
    return facts
