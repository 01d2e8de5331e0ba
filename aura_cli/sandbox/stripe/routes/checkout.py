"""/v1/checkout/sessions"""

import heapq
from collections.abc import Mapping
from typing import Any

from aura_cli.sandbox.stripe import billing, params
from aura_cli.sandbox.stripe.errors import invalid_parameter, missing_parameter
from aura_cli.sandbox.stripe.pages import LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.records import Line, Session
from aura_cli.sandbox.stripe.routes.catalogue import PRODUCT_DATA, RECURRING, new_price
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route
from aura_cli.sandbox.stripe.state import StripeState, require

PRICE_DATA = params.nested(
    {
        "currency": params.text,
        "unit_amount": params.amount,
        "product": params.text,
        "product_data": PRODUCT_DATA,
        "recurring": RECURRING,
        "tax_behavior": params.ignored,
    },
    ("currency",),
)
LINE = params.nested({"price": params.text, "price_data": PRICE_DATA, "quantity": params.quantity})
FIELDS: params.Fields = {
    "mode": params.one_of("payment", "subscription"),
    "customer": params.text,
    "customer_email": params.text,
    "client_reference_id": params.text,
    "success_url": params.text,
    "cancel_url": params.text,
    "line_items": params.many(LINE),
    "metadata": params.mapping,
    "subscription_data": params.nested({"metadata": params.mapping, "trial_period_days": params.trial_days}),
    **dict.fromkeys(
        ("allow_promotion_codes", "automatic_tax", "billing_address_collection", "locale", "payment_intent_data", "payment_method_types"),
        params.ignored,
    ),
}
FILTERS: params.Fields = {
    "customer": params.text,
    "subscription": params.text,
    "payment_intent": params.text,
    "status": params.one_of("complete", "expired", "open"),
}


def create(call: Call) -> Answer:
    state, given = call.state, call.given
    if "customer" in given:
        require(state.customers, given["customer"], "customer", status=400)
    lines = tuple(_line(state, line, given["mode"]) for line in given["line_items"])
    if not lines:
        raise missing_parameter("line_items")
    details = given.get("subscription_data", {})
    expires_at = state.now() + billing.DAY
    session = Session(
        state.mint.new("cs_live" if state.livemode else "cs_test"),
        state.now(),
        given["mode"],
        "open",
        "unpaid",
        given.get("customer"),
        given.get("customer_email"),
        require(state.prices, lines[0].price).currency,
        sum(line.amount for line in lines),
        lines,
        expires_at,
        given.get("success_url"),
        given.get("cancel_url"),
        given.get("client_reference_id"),
        trial_days=details.get("trial_period_days", 0),
        metadata=given.get("metadata") or {},
        subscription_metadata=details.get("metadata") or {},
    )
    heapq.heappush(state.due, (expires_at, session.id))
    return state.sessions.put(session)


def _line(state: StripeState, given: Mapping[str, Any], mode: str) -> Line:
    if "price_data" in given:
        price = new_price(state, given["price_data"])
    elif "price" in given:
        price = require(state.prices, given["price"], "line_items[0][price]", status=400)
    else:
        raise missing_parameter("line_items[0][price]")
    if mode == "payment" and price.interval:
        message = (
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices."
        )
        raise invalid_parameter("line_items[0][price]", message)
    if mode == "subscription":
        billing.recurring_price(state, price.id)
    quantity = given.get("quantity", 1)
    return Line(price.id, quantity, quantity * price.amount)


def index(call: Call) -> Page:
    wanted = {name: [call.given[name]] for name in FILTERS if name in call.given}
    return page(call.state.sessions, call.given, wanted)


ROUTES = (
    Route("POST", "/v1/checkout/sessions", create, FIELDS, ("mode", "line_items")),
    Route("GET", "/v1/checkout/sessions", index, {**LIST_FIELDS, **FILTERS}),
    Route("GET", "/v1/checkout/sessions/{id}", lambda call: require(call.state.sessions, call.id), {}),
)
