"""/v1/customers"""

from dataclasses import replace

from aura_cli.sandbox.stripe import billing, params, search
from aura_cli.sandbox.stripe.errors import missing_resource
from aura_cli.sandbox.stripe.pages import LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.records import Customer
from aura_cli.sandbox.stripe.render import deleted
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route, changes, merged
from aura_cli.sandbox.stripe.state import require

TEXTS = ("email", "name", "phone", "description")
SEARCHED = ("created", "email", "metadata", "name", "phone")
FIELDS: params.Fields = {
    **dict.fromkeys(TEXTS, params.optional_text),
    "metadata": params.mapping,
    **dict.fromkeys(
        ("address", "invoice_settings", "payment_method", "preferred_locales", "shipping", "source", "tax", "tax_exempt"), params.ignored
    ),
}


def create(call: Call) -> Answer:
    state = call.state
    metadata = merged({}, call.given.get("metadata", {}))
    customer = state.customers.put(Customer(state.mint.new("cus"), state.now(), **changes(call, *TEXTS), metadata=metadata))
    state.emit("customer.created", customer)
    return customer


def present(call: Call) -> Customer:
    """The customer, if not deleted. Raises ApiError 404."""
    customer = require(call.state.customers, call.id)
    if customer.deleted:
        raise missing_resource("customer", call.id)
    return customer


def update(call: Call) -> Answer:
    before = present(call)
    after = replace(before, **changes(call, *TEXTS), metadata=merged(before.metadata, call.given.get("metadata", {})))
    if after != before:
        call.state.customers.put(after)
        call.state.emit("customer.updated", after, before=before)
    return after


def retrieve(call: Call) -> Answer:
    customer = require(call.state.customers, call.id)
    return deleted("customer", customer.id) if customer.deleted else customer


def delete(call: Call) -> Answer:
    """What is left of a deleted customer is its id; its subscriptions end at once."""
    customer = present(call)
    for subscription in list(call.state.subscriptions.select({"customer": [customer.id]})):
        if subscription.status not in billing.ENDED:
            billing.cancel(call.state, subscription, call.state.now())
    call.state.customers.put(Customer(customer.id, customer.created, deleted=True))
    call.state.emit("customer.deleted", customer)
    return deleted("customer", customer.id)


def index(call: Call) -> Page:
    wanted = {"present": ["yes"]}
    if email := call.given.get("email"):
        wanted["email"] = [email]  # to the letter, unlike in a search
    return page(call.state.customers, call.given, wanted)


def find(call: Call) -> Page:
    return search.search(call.state.customers, call.given, SEARCHED, lambda customer: customer.deleted)


ROUTES = (
    Route("POST", "/v1/customers", create, FIELDS),
    Route("GET", "/v1/customers", index, {**LIST_FIELDS, "email": params.text}),
    Route("GET", "/v1/customers/search", find, search.FIELDS, ("query",)),
    Route("GET", "/v1/customers/{id}", retrieve, {}),
    Route("POST", "/v1/customers/{id}", update, FIELDS),
    Route("DELETE", "/v1/customers/{id}", delete, {}),
)
