"""/v1/events and /v1/webhook_endpoints"""

from dataclasses import replace

from aura_cli.sandbox.stripe import params
from aura_cli.sandbox.stripe.billing import DAY
from aura_cli.sandbox.stripe.errors import invalid_parameter, missing_resource
from aura_cli.sandbox.stripe.pages import CURSOR_FIELDS, LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.records import Endpoint
from aura_cli.sandbox.stripe.render import Renderer, deleted
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route, changes, merged
from aura_cli.sandbox.stripe.state import require

MOST_TYPES = 20
KEPT = 30 * DAY  # how long events can be read: https://docs.stripe.com/api/events
ENDPOINT_FIELDS: params.Fields = {
    "url": params.web_address,
    "enabled_events": params.texts,
    "description": params.optional_text,
    "metadata": params.mapping,
}


def index(call: Call) -> Page:
    given = call.given
    if "type" in given and "types" in given:
        raise invalid_parameter("types", "You may pass either type or types, not both")
    types = list(given.get("types", ())) or [given[name] for name in ("type",) if name in given]
    if len(types) > MOST_TYPES:
        raise invalid_parameter("types", f"You may pass up to {MOST_TYPES} types")
    pending, delivered = call.state.pending, given.get("delivery_success")
    keep = None if delivered is None else (lambda event: (event.id not in pending) is delivered)
    return page(call.state.events, given, {"type": types} if types else {}, oldest=call.state.now() - KEPT, keep=keep)


def retrieve(call: Call) -> Answer:
    event = require(call.state.events, call.id)
    if event.created < call.state.now() - KEPT:
        raise missing_resource("event", call.id)
    return event


def create_endpoint(call: Call) -> Answer:
    """The answer to this call alone carries the secret."""
    state, given = call.state, call.given
    endpoint = Endpoint(
        state.mint.new("we"),
        state.now(),
        given["url"],
        given["enabled_events"],
        state.mint.new("whsec"),
        given.get("api_version"),
        given.get("description"),
        metadata=given.get("metadata") or {},
    )
    state.endpoints.put(endpoint)
    return {**Renderer(state, state.api_version)(endpoint), "secret": endpoint.secret}


def update_endpoint(call: Call) -> Answer:
    before = require(call.state.endpoints, call.id)
    enabled = not call.given["disabled"] if "disabled" in call.given else before.enabled
    metadata = merged(before.metadata, call.given.get("metadata", {}))
    attributes = changes(call, "url", "enabled_events", "description")
    return call.state.endpoints.put(replace(before, **attributes, enabled=enabled, metadata=metadata))


def delete_endpoint(call: Call) -> Answer:
    endpoint = require(call.state.endpoints, call.id)
    call.state.endpoints.remove(endpoint.id)
    return deleted("webhook_endpoint", endpoint.id)


ROUTES = (
    Route("GET", "/v1/events", index, {**LIST_FIELDS, "type": params.text, "types": params.texts, "delivery_success": params.boolean}),
    Route("GET", "/v1/events/{id}", retrieve, {}),
    Route("POST", "/v1/webhook_endpoints", create_endpoint, {**ENDPOINT_FIELDS, "api_version": params.text}, ("url", "enabled_events")),
    Route("GET", "/v1/webhook_endpoints", lambda call: page(call.state.endpoints, call.given, {}), CURSOR_FIELDS),
    Route("GET", "/v1/webhook_endpoints/{id}", lambda call: require(call.state.endpoints, call.id), {}),
    Route("POST", "/v1/webhook_endpoints/{id}", update_endpoint, {**ENDPOINT_FIELDS, "disabled": params.boolean}),
    Route("DELETE", "/v1/webhook_endpoints/{id}", delete_endpoint, {}),
)
