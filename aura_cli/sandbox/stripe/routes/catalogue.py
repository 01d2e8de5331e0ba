"""/v1/products and /v1/prices"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aura_cli.sandbox.stripe import params
from aura_cli.sandbox.stripe.errors import invalid_parameter, missing_parameter
from aura_cli.sandbox.stripe.pages import LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.records import Price, Product
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route, changes, merged
from aura_cli.sandbox.stripe.state import StripeState, require

RECURRING = params.nested(
    {
        "interval": params.one_of("day", "week", "month", "year"),
        "interval_count": params.between(1, 36),
        "usage_type": params.one_of("licensed"),
    },
    ("interval",),
)
PRODUCT_DATA = params.nested({"name": params.text, "metadata": params.mapping, "description": params.optional_text}, ("name",))
PRODUCT_FIELDS: params.Fields = {
    "name": params.text,
    "description": params.optional_text,
    "active": params.boolean,
    "metadata": params.mapping,
    "images": params.ignored,
}
PRICE_FIELDS: params.Fields = {
    "currency": params.text,
    "unit_amount": params.amount,
    "product": params.text,
    "product_data": PRODUCT_DATA,
    "recurring": RECURRING,
    "nickname": params.optional_text,
    "lookup_key": params.optional_text,
    "active": params.boolean,
    "metadata": params.mapping,
}
FLAG = params.one_of("true", "false")


def create_product(call: Call) -> Answer:
    state, now = call.state, call.state.now()
    identifier = call.given.get("id") or state.mint.new("prod")
    if state.products.get(identifier) is not None:
        raise invalid_parameter("id", "Product already exists.", "resource_already_exists")
    attributes = changes(call, "name", "description", "active")
    product = Product(identifier, now, **attributes, metadata=call.given.get("metadata") or {}, updated=now)
    state.emit("product.created", state.products.put(product))
    return product


def update_product(call: Call) -> Answer:
    before = require(call.state.products, call.id)
    metadata = merged(before.metadata, call.given.get("metadata", {}))
    after = replace(before, **changes(call, "name", "description", "active"), metadata=metadata, updated=call.state.now())
    call.state.emit("product.updated", call.state.products.put(after), before=before)
    return after


def new_price(state: StripeState, given: Mapping[str, Any]) -> Price:
    """A price, and its product where it is described on the spot. Raises ApiError 400 without either."""
    now = state.now()
    if described := given.get("product_data"):
        product = Product(state.mint.new("prod"), now, described["name"], description=described.get("description"), updated=now)
        state.emit("product.created", state.products.put(product))
    elif "product" in given:
        product = require(state.products, given["product"], "product", status=400)
    else:
        raise missing_parameter("product")
    if "unit_amount" not in given:
        raise missing_parameter("unit_amount")
    recurring = given.get("recurring", {})
    price = Price(
        state.mint.new("price"),
        now,
        product.id,
        given["unit_amount"],
        given["currency"].lower(),
        recurring.get("interval"),
        recurring.get("interval_count", 1),
        given.get("nickname"),
        given.get("lookup_key"),
        given.get("active", True),
        given.get("metadata") or {},
    )
    state.emit("price.created", state.prices.put(price))
    return price


def update_price(call: Call) -> Answer:
    before = require(call.state.prices, call.id)
    metadata = merged(before.metadata, call.given.get("metadata", {}))
    after = replace(before, **changes(call, "nickname", "lookup_key", "active"), metadata=metadata)
    call.state.emit("price.updated", call.state.prices.put(after), before=before)
    return after


def index_products(call: Call) -> Page:
    wanted = {name: [call.given[name]] for name in ("active",) if name in call.given}
    if "ids" in call.given:
        wanted["ids"] = list(call.given["ids"])
    return page(call.state.products, call.given, wanted)


def index_prices(call: Call) -> Page:
    wanted = {name: [call.given[name]] for name in ("active", "currency", "product", "type") if name in call.given}
    if "lookup_keys" in call.given:
        wanted["lookup_keys"] = list(call.given["lookup_keys"])
    return page(call.state.prices, call.given, wanted)


PRICE_FILTERS: params.Fields = {
    "active": FLAG,
    "currency": params.text,
    "product": params.text,
    "type": params.one_of("one_time", "recurring"),
    "lookup_keys": params.texts,
}
ROUTES = (
    Route("POST", "/v1/products", create_product, {**PRODUCT_FIELDS, "id": params.text}, ("name",)),
    Route("GET", "/v1/products", index_products, {**LIST_FIELDS, "active": FLAG, "ids": params.texts}),
    Route("GET", "/v1/products/{id}", lambda call: require(call.state.products, call.id), {}),
    Route("POST", "/v1/products/{id}", update_product, PRODUCT_FIELDS),
    Route("POST", "/v1/prices", lambda call: new_price(call.state, call.given), PRICE_FIELDS, ("currency",)),
    Route("GET", "/v1/prices", index_prices, {**LIST_FIELDS, **PRICE_FILTERS}),
    Route("GET", "/v1/prices/{id}", lambda call: require(call.state.prices, call.id), {}),
    Route("POST", "/v1/prices/{id}", update_price, {name: PRICE_FIELDS[name] for name in ("nickname", "lookup_key", "active", "metadata")}),
)
