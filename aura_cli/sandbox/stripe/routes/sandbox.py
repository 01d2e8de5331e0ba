"""/v1/account, and what only the sandbox can do: move time, pay at the checkout, decline a card, know a secret, watch deliveries."""

from dataclasses import asdict

from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.sandbox.stripe import billing, params, shapes
from aura_cli.sandbox.stripe.delivery import register
from aura_cli.sandbox.stripe.errors import invalid_parameter
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route
from aura_cli.sandbox.stripe.state import ACCOUNT, require
from aura_cli.settings import leads_here


def account(call: Call) -> Answer:
    return {**shapes.ACCOUNT, "id": ACCOUNT, "created": call.state.opened}


def advance(call: Call) -> Answer:
    """Move the clock and let what has become due happen: `{"now", "happened"}`."""
    now = call.state.clock.advance(call.given["seconds"])
    return {"now": now, "happened": billing.settle(call.state, now)}


def complete(call: Call) -> Answer:
    return billing.complete(call.state, require(call.state.sessions, call.id), paid=call.given.get("paid", True))


def clear(call: Call) -> Answer:
    return billing.clear(call.state, require(call.state.sessions, call.id), succeeded=call.given.get("succeeded", True))


def card(call: Call) -> Answer:
    """Whether a customer's card is declined from now on, and whether there is one; as it is where nothing is said."""
    state, customer = call.state, require(call.state.customers, call.id).id
    wishes = call.given or {"declined": True}
    for name, unlucky in (("declined", state.declining), ("missing", state.cardless)):
        if name in wishes:
            (unlucky.add if wishes[name] else unlucky.discard)(customer)
    return {"customer": customer, "declined": customer in state.declining, "missing": customer in state.cardless}


def endpoint(call: Call) -> Answer:
    """A webhook endpoint whose secret is known beforehand: the one given, or that of the sandbox's environment."""
    given = call.given
    if not leads_here(given["url"]):
        raise invalid_parameter("url", "Nothing is delivered to any other machine")
    secret, events = given.get("secret", STRIPE_WEBHOOK_SECRET), given.get("enabled_events", ("*",))
    return register(call.state, given["url"], secret, events, given.get("api_version"))


def deliveries(call: Call) -> Answer:
    """The last attempts, oldest first, of all events or one; and how many deliveries are still to succeed."""
    event = call.given.get("event")
    attempts = [asdict(one) for one in call.state.deliveries if event in (None, one.event)]
    return {"deliveries": attempts, "pending": sum(map(len, call.state.pending.values()))}


ROUTES = (
    Route("GET", "/v1/account", account, {}),
    Route("POST", "/_sandbox/advance", advance, {"seconds": params.between(0, 366 * billing.DAY)}, ("seconds",)),
    Route("POST", "/_sandbox/checkout/sessions/{id}/complete", complete, {"paid": params.boolean}),
    Route("POST", "/_sandbox/checkout/sessions/{id}/clear", clear, {"succeeded": params.boolean}),
    Route("POST", "/_sandbox/customers/{id}/card", card, dict.fromkeys(("declined", "missing"), params.boolean)),
    Route(
        "POST",
        "/_sandbox/webhook_endpoints",
        endpoint,
        {"url": params.web_address, "secret": params.text, "enabled_events": params.texts, "api_version": params.text},
        ("url",),
    ),
    Route("GET", "/_sandbox/deliveries", deliveries, {"event": params.text}),
)
