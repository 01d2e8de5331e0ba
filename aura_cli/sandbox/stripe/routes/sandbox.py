"""/v1/account, and what only the sandbox can do: move time, pay at the checkout, have a card declined."""

from aura_cli.sandbox.stripe import billing, params, shapes
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route
from aura_cli.sandbox.stripe.state import ACCOUNT, require


def account(call: Call) -> Answer:
    return {**shapes.ACCOUNT, "id": ACCOUNT, "created": call.state.opened}


def advance(call: Call) -> Answer:
    """Move the clock and let what has become due happen: `{"now", "happened"}`."""
    now = call.state.clock.advance(call.given["seconds"])
    return {"now": now, "happened": billing.settle(call.state, now)}


def complete(call: Call) -> Answer:
    return billing.complete(call.state, require(call.state.sessions, call.id))


def decline(call: Call) -> Answer:
    """Whether the card of a customer is declined from now on."""
    customer = require(call.state.customers, call.id)
    declined = call.given.get("declined", True)
    (call.state.declining.add if declined else call.state.declining.discard)(customer.id)
    return {"customer": customer.id, "declined": declined}


ROUTES = (
    Route("GET", "/v1/account", account, {}),
    Route("POST", "/_sandbox/advance", advance, {"seconds": params.between(0, 366 * billing.DAY)}, ("seconds",)),
    Route("POST", "/_sandbox/checkout/sessions/{id}/complete", complete, {}),
    Route("POST", "/_sandbox/customers/{id}/card", decline, {"declined": params.boolean}),
)
