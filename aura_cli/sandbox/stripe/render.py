"""Records as Stripe's JSON objects, in today's shape and in the one from before API version 2025-03-31 (basil).

Basil moved the billing period from the subscription to its items, and an invoice's subscription into `parent`
(https://docs.stripe.com/changelog/basil).
"""

import hashlib
from collections.abc import Callable
from typing import Any

from aura_cli.sandbox.stripe import records, shapes
from aura_cli.sandbox.stripe.records import Record
from aura_cli.sandbox.stripe.shapes import JSON
from aura_cli.sandbox.stripe.state import ACCOUNT, StripeState

BASIL = "2025-03-31"


def listing(data: list[Any], url: str, has_more: bool = False) -> JSON:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


class Renderer:
    """Renders for one request: `version` is the API version asked for, dates in it sort as text."""

    def __init__(self, state: StripeState, version: str) -> None:
        self.state = state
        self.version = version
        self.old = version < BASIL

    def __call__(self, record: Record) -> JSON:
        return {**_RENDERERS[type(record)](self, record), "livemode": self.state.livemode}

    def customer(self, customer: records.Customer) -> JSON:
        return {
            **shapes.CUSTOMER,
            "id": customer.id,
            "created": customer.created,
            "description": customer.description,
            "email": customer.email,
            "invoice_prefix": invoice_prefix(customer.id),
            "metadata": dict(customer.metadata),
            "name": customer.name,
            "phone": customer.phone,
        }

    def product(self, product: records.Product) -> JSON:
        return {
            **shapes.PRODUCT,
            "id": product.id,
            "active": product.active,
            "created": product.created,
            "description": product.description,
            "metadata": dict(product.metadata),
            "name": product.name,
            "updated": product.updated or product.created,
        }

    def price(self, price: records.Price) -> JSON:
        recurring = {"interval": price.interval, "interval_count": price.interval_count, "meter": None, "usage_type": "licensed"}
        return {
            **shapes.PRICE,
            "id": price.id,
            "active": price.active,
            "created": price.created,
            "currency": price.currency,
            "livemode": self.state.livemode,
            "lookup_key": price.lookup_key,
            "metadata": dict(price.metadata),
            "nickname": price.nickname,
            "product": price.product,
            "recurring": recurring if price.interval else None,
            "type": "recurring" if price.interval else "one_time",
            "unit_amount": price.amount,
            "unit_amount_decimal": str(price.amount),
        }

    def price_of(self, identifier: str) -> JSON | None:
        price = self.state.prices.get(identifier)
        return None if price is None else self.price(price)

    def item(self, item: records.Item, subscription: str) -> JSON:
        period = {} if self.old else {"current_period_start": item.period_start, "current_period_end": item.period_end}
        return {
            **shapes.ITEM,
            "id": item.id,
            "created": item.created,
            **period,
            "metadata": dict(item.metadata),
            "price": self.price_of(item.price),
            "quantity": item.quantity,
            "subscription": subscription,
        }

    def subscription(self, subscription: records.Subscription) -> JSON:
        items = [self.item(item, subscription.id) for item in subscription.items]
        period: JSON = {}
        if self.old and subscription.items:
            first = subscription.items[0]
            period = {"current_period_start": first.period_start, "current_period_end": first.period_end}
        return {
            **shapes.SUBSCRIPTION,
            "id": subscription.id,
            "billing_cycle_anchor": subscription.anchor,
            "cancel_at": subscription.cancel_at,
            "cancel_at_period_end": subscription.cancel_at_period_end,
            "canceled_at": subscription.canceled_at,
            "cancellation_details": {"comment": None, "feedback": None, "reason": subscription.cancellation},
            "created": subscription.created,
            "currency": subscription.currency,
            **period,
            "customer": subscription.customer,
            "description": subscription.description,
            "ended_at": subscription.ended_at,
            "items": {**listing(items, f"/v1/subscription_items?subscription={subscription.id}"), "total_count": len(items)},
            "latest_invoice": subscription.latest_invoice,
            "metadata": dict(subscription.metadata),
            "pause_collection": {"behavior": subscription.paused, "resumes_at": None} if subscription.paused else None,
            "start_date": subscription.created,
            "status": subscription.status,
            "trial_end": subscription.trial_end,
            "trial_settings": {"end_behavior": {"missing_payment_method": subscription.at_trial_end}},
            "trial_start": subscription.trial_start,
        }

    def invoice(self, invoice: records.Invoice) -> JSON:
        customer = self.state.customers.get(invoice.customer)
        paid = invoice.amount if invoice.status == "paid" else 0
        lines = [self.line(invoice, line, position) for position, line in enumerate(invoice.lines)]
        moment = invoice.created
        voided_at = moment if invoice.status == "void" else None
        return {
            **shapes.INVOICE,
            "id": invoice.id,
            "amount_due": invoice.amount,
            "amount_paid": paid,
            "amount_remaining": invoice.amount - paid,
            "attempt_count": invoice.attempts,
            "auto_advance": invoice.next_attempt is not None,
            "billing_reason": invoice.reason,
            "created": moment,
            "currency": invoice.currency,
            "customer": invoice.customer,
            "customer_email": customer.email if customer else None,
            "customer_name": customer.name if customer else None,
            "effective_at": moment,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/{ACCOUNT}/{invoice.id}",
            "invoice_pdf": f"https://pay.stripe.com/invoice/{ACCOUNT}/{invoice.id}/pdf",
            "lines": {**listing(lines, f"/v1/invoices/{invoice.id}/lines"), "total_count": len(lines)},
            "metadata": dict(invoice.metadata),
            "next_payment_attempt": invoice.next_attempt,
            "number": f"{invoice_prefix(invoice.customer)}-{invoice.sequence:04d}",
            **self._invoice_parent(invoice),
            "period_end": moment,
            "period_start": moment,
            "status": invoice.status,
            "status_transitions": {
                "finalized_at": moment,
                "marked_uncollectible_at": None,
                "paid_at": invoice.paid_at,
                "voided_at": voided_at,
            },
            "subtotal": invoice.amount,
            "subtotal_excluding_tax": invoice.amount,
            "total": invoice.amount,
            "total_excluding_tax": invoice.amount,
        }

    def _invoice_parent(self, invoice: records.Invoice) -> JSON:
        if self.old:
            old: JSON = {"subscription_details": {"metadata": {}}} if invoice.subscription else {}
            return {"subscription": invoice.subscription, "paid": invoice.status == "paid", **old}
        if invoice.subscription is None:
            return {"parent": None}
        details: JSON = {"metadata": {}, "subscription": invoice.subscription}
        return {"parent": {"quote_details": None, "subscription_details": details, "type": "subscription_details"}}

    def line(self, invoice: records.Invoice, line: records.Line, position: int) -> JSON:
        price = self.state.prices.get(line.price)
        common = {
            **shapes.LINE,
            "id": f"il_{invoice.id.removeprefix('in_')}{position}",
            "amount": line.amount,
            "currency": invoice.currency,
            "description": f"{line.quantity} × {price.nickname or price.id}" if price else None,
            "invoice": invoice.id,
            "livemode": self.state.livemode,
            "period": {"end": invoice.period_end, "start": invoice.period_start},
            "quantity": line.quantity,
            "subscription": invoice.subscription,
            "subtotal": line.amount,
        }
        if self.old:
            return {
                **common,
                "price": self.price_of(line.price),
                "proration": False,
                "subscription_item": line.item,
                "type": "subscription",
            }
        details = {"price": line.price, "product": price.product if price else ""}
        pricing = {"price_details": details, "type": "price_details", "unit_amount_decimal": str(price.amount) if price else None}
        return {**common, "parent": _line_parent(invoice, line), "pricing": pricing, "quantity_decimal": str(line.quantity), "taxes": []}

    def session(self, session: records.Session) -> JSON:
        subscribing = session.mode == "subscription"
        return {
            **shapes.SESSION,
            "id": session.id,
            "amount_subtotal": session.amount,
            "amount_total": session.amount,
            "cancel_url": session.cancel_url,
            "client_reference_id": session.client_reference,
            "created": session.created,
            "currency": session.currency,
            "customer": session.customer,
            "customer_creation": None if session.customer else "always" if subscribing else "if_required",
            "customer_details": self._customer_details(session),
            "customer_email": None if session.customer else session.email,
            "expires_at": session.expires_at,
            "invoice": session.invoice,
            "metadata": dict(session.metadata),
            "mode": session.mode,
            "payment_intent": session.payment_intent,
            "payment_method_collection": "always" if subscribing else "if_required",
            "payment_status": session.payment_status,
            "status": session.status,
            "subscription": session.subscription,
            "success_url": session.success_url,
            "url": f"https://checkout.stripe.com/c/pay/{session.id}" if session.status == "open" else None,
        }

    def _customer_details(self, session: records.Session) -> JSON | None:
        customer = self.state.customers.get(session.customer or "")
        email = customer.email if customer else session.email
        if email is None and session.status != "complete":
            return None
        name = customer.name if customer else None
        known = {"email": email, "name": name, "individual_name": None, "business_name": None}
        return {**known, "address": None, "phone": None, "tax_exempt": "none", "tax_ids": []}

    def session_lines(self, session: records.Session) -> JSON:
        """A session's `line_items`, which Stripe shows only when they are expanded."""
        items = [
            {
                "id": f"li_{session.id[-20:]}{position}",
                "object": "item",
                "amount_discount": 0,
                "amount_subtotal": line.amount,
                "amount_tax": 0,
                "amount_total": line.amount,
                "currency": session.currency,
                "description": None,
                "metadata": {},
                "price": self.price_of(line.price),
                "quantity": line.quantity,
            }
            for position, line in enumerate(session.lines)
        ]
        return listing(items, f"/v1/checkout/sessions/{session.id}/line_items")

    def event(self, event: records.Event) -> JSON:
        shaped = Renderer(self.state, event.api_version)
        data: JSON = {"object": shaped(event.subject)}
        if event.before is not None:
            data["previous_attributes"] = _differences(shaped(event.before), data["object"])
        return {
            "id": event.id,
            "object": "event",
            "api_version": event.api_version,
            "created": event.created,
            "data": data,
            "pending_webhooks": len(self.state.pending.get(event.id, ())),
            "request": {"id": event.request, "idempotency_key": event.idempotency_key},
            "type": event.type,
        }

    def endpoint(self, endpoint: records.Endpoint) -> JSON:
        return {
            "id": endpoint.id,
            "object": "webhook_endpoint",
            "api_version": endpoint.api_version,
            "application": None,
            "created": endpoint.created,
            "description": endpoint.description,
            "enabled_events": list(endpoint.enabled_events),
            "metadata": dict(endpoint.metadata),
            "status": "enabled" if endpoint.enabled else "disabled",
            "url": endpoint.url,
        }


def deleted(kind: str, identifier: str) -> JSON:
    return {"id": identifier, "object": kind, "deleted": True}


def invoice_prefix(customer: str) -> str:
    return hashlib.sha256(customer.encode()).hexdigest()[:8].upper()


def _line_parent(invoice: records.Invoice, line: records.Line) -> JSON | None:
    if line.item is None:
        return None
    details = {"invoice_item": None, "proration": False, "proration_details": None, "subscription": invoice.subscription}
    return {
        "invoice_item_details": None,
        "subscription_item_details": {**details, "subscription_item": line.item},
        "type": "subscription_item_details",
    }


def _differences(before: JSON, after: JSON) -> JSON:
    """What `before` said differently; objects are compared deeply, lists as a whole."""
    found: JSON = {}
    for name, value in before.items():
        now = after.get(name)
        if value != now:
            found[name] = _differences(value, now) if isinstance(value, dict) and isinstance(now, dict) else value
    return found | {name: None for name in after if name not in before}


_RENDERERS: dict[type, Callable[[Renderer, Any], JSON]] = {
    records.Customer: Renderer.customer,
    records.Product: Renderer.product,
    records.Price: Renderer.price,
    records.Subscription: Renderer.subscription,
    records.Invoice: Renderer.invoice,
    records.Session: Renderer.session,
    records.Event: Renderer.event,
    records.Endpoint: Renderer.endpoint,
}
