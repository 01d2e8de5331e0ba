"""What events tell of money that came and went, asked to be counted by Google Analytics where that is configured.

A paid invoice is one purchase, a paid checkout of tokens another; a checkout of a subscription is none beside its invoice. The
transaction is the invoice, and where there is none the payment: what a refund can name too. What is older than Google takes is not
counted, or a backfill would put last month's purchases into today.
"""

from collections.abc import Iterable

import msgspec

from aura_cli.analytics.effects import OLDEST, Money, Wanted, purchase, refund
from aura_cli.errors import ConfigurationError, NotFoundError, ServiceError
from aura_cli.subscriptions import customers
from aura_cli.subscriptions.stripe import Reference, decoder, reference
from aura_cli.subscriptions.views import DECIMALS
from aura_cli.transport import Service
from aura_cli.webhooks.batch import Batch
from aura_cli.webhooks.events import REFUNDED
from aura_cli.webhooks.inbox import Event
from aura_cli.webhooks.subjects import Invoice, Look, Session


class _Charge(msgspec.Struct):
    """A charge, as far as it tells of its refunds: `amount_refunded` is of them all. Since basil (2025-03-31) it names no invoice."""

    id: str
    amount_refunded: int = 0
    currency: str = ""
    customer: str | Reference | None = None
    invoice: str | Reference | None = None
    payment_intent: str | Reference | None = None


class _Before(msgspec.Struct):
    amount_refunded: int = 0


class _Data(msgspec.Struct):
    object: _Charge
    previous_attributes: _Before | None = None


class _Body(msgspec.Struct):
    data: _Data


class _Payment(msgspec.Struct):
    invoice: str | Reference


class _Payments(msgspec.Struct):
    data: list[_Payment]


_read, _read_payments = decoder(_Body), decoder(_Payments)


def payments(batch: Batch, looks: Iterable[Look], others: Iterable[Event]) -> dict[str, Wanted]:
    """What is to be counted, by event: what `looks` say was paid, and what refunds among `others`, of this account, say went back."""
    refunds = (event for event in others if event.type == REFUNDED and not (event.thin or event.account))
    found = {look.event.id: _purchase(batch, look) for look in looks}
    found |= {event.id: _refund(batch, event) for event in refunds}
    return {event: wanted for event, wanted in found.items() if wanted}


def _purchase(batch: Batch, look: Look) -> Wanted | None:
    """What was paid, where it is known who paid."""
    found, at = look.found, look.event.created
    user = batch.buyers.get(found.id) if isinstance(found, Session) else None
    user = user or batch.users.get(look.customer or "")
    if user is None or at < batch.now.timestamp() - OLDEST:
        return None
    match found:
        case Invoice() if look.event.type == "invoice.paid" and found.amount_paid and found.currency:
            item = look.subscription.price if look.subscription else None
            money = Money(user, found.id, amount(found.amount_paid, found.currency), found.currency, at)
            return purchase(money, item or found.billing_reason or "invoice")
        case Session() if found.is_top_up and found.payment_status == "paid" and found.amount_total and found.currency:
            transaction = reference(found.payment_intent) or found.id
            money = Money(user, transaction, amount(found.amount_total, found.currency), found.currency, at)
            return purchase(money, (found.metadata or {}).get("package_id") or "tokens")
    return None


def _refund(batch: Batch, event: Event) -> Wanted | None:
    """What went back by itself: not what went back before. None where the event says nothing that counts."""
    try:
        data = _read(event.payload).data
    except ServiceError:
        return None
    charge = data.object
    back = charge.amount_refunded - (data.previous_attributes.amount_refunded if data.previous_attributes else 0)
    customer = reference(charge.customer)
    user = customers.owners(batch.connection, [customer]).get(customer) if customer else None
    if user is None or back <= 0 or not charge.currency or event.created < batch.now.timestamp() - OLDEST:
        return None
    invoice, payment = reference(charge.invoice), reference(charge.payment_intent)
    money = Money(user, invoice or payment or charge.id, amount(back, charge.currency), charge.currency, event.created)
    return refund(money, f"{charge.id}:{charge.amount_refunded}", None if invoice else payment)


def invoice_of(stripe: Service, payment: str) -> str | None:
    """The invoice that a payment intent paid (https://docs.stripe.com/api/invoice-payment/list); None where it paid none.

    None, too, where Stripe's API or the key is too small to say so. Raises UnreachableError, ServiceError.
    """
    asked = {"payment[type]": "payment_intent", "payment[payment_intent]": payment, "limit": 1}
    try:
        found = _read_payments(stripe.get("/v1/invoice_payments", asked)).data
    except (NotFoundError, ConfigurationError):
        return None
    return reference(found[0].invoice) if found else None


def amount(smallest: int, currency: str) -> float:
    """So many of a currency's smallest units in its usual one: 999 is 9.99 in most, 999 in yen."""
    decimals = DECIMALS.get(currency.lower(), 2)
    return float(round(smallest / 10**decimals, decimals))
