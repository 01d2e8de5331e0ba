"""/v1/subscriptions"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aura_cli.sandbox.stripe import billing, params, search
from aura_cli.sandbox.stripe.errors import ApiError, invalid_parameter, missing_resource
from aura_cli.sandbox.stripe.pages import LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.records import Item, Subscription
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route, merged
from aura_cli.sandbox.stripe.state import StripeState, require

STATUSES = ("active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")
SEARCHED = ("created", "metadata", "status", "canceled_at")
IGNORED = (
    "automatic_tax",
    "collection_method",
    "default_payment_method",
    "off_session",
    "payment_settings",
    "proration_behavior",
)
NEW_ITEM = params.nested({"price": params.text, "quantity": params.quantity, "metadata": params.mapping}, ("price",))
CHANGED_ITEM = params.nested({"id": params.text, "price": params.text, "quantity": params.quantity})
END_BEHAVIOR = params.nested({"missing_payment_method": params.one_of("cancel", "create_invoice", "pause")}, ("missing_payment_method",))
COMMON: params.Fields = {
    "trial_settings": params.nested({"end_behavior": END_BEHAVIOR}, ("end_behavior",)),
    "metadata": params.mapping,
    "description": params.optional_text,
    "cancel_at_period_end": params.boolean,
    "trial_end": params.text,
    **dict.fromkeys(IGNORED, params.ignored),
}
CREATE_FIELDS: params.Fields = {
    **COMMON,
    "customer": params.text,
    "items": params.many(NEW_ITEM),
    "trial_period_days": params.trial_days,
    "payment_behavior": params.one_of("default_incomplete", "allow_incomplete", "error_if_incomplete", "pending_if_incomplete"),
}
UPDATE_FIELDS: params.Fields = {
    **COMMON,
    "items": params.many(CHANGED_ITEM),
    "pause_collection": lambda name, raw: None if raw == "" else params.nested({"behavior": params.text}, ("behavior",))(name, raw),
    "cancellation_details": params.ignored,
    "payment_behavior": params.ignored,
}
RESUME_FIELDS: params.Fields = {
    "billing_cycle_anchor": lambda name, raw: _anchor(name, raw),
    **dict.fromkeys(("payment_behavior", "proration_behavior", "proration_date"), params.ignored),
}
FILTERS: params.Fields = {"customer": params.text, "price": params.text, "status": params.one_of(*STATUSES, "all", "ended")}


def create(call: Call) -> Answer:
    state, given = call.state, call.given
    customer = require(state.customers, given["customer"], "customer", status=400)
    if customer.deleted:
        raise missing_resource("customer", customer.id, "customer", status=400)
    wanted = [(item["price"], item.get("quantity", 1)) for item in given["items"]]
    trial_end = _moment(given["trial_end"], state.now()) if "trial_end" in given else None
    if days := given.get("trial_period_days"):
        trial_end = state.now() + days * billing.DAY
    incomplete = given.get("payment_behavior") == "default_incomplete"
    if trial_end is not None and trial_end <= state.now():
        trial_end = None
    subscription = billing.subscribe(
        state,
        customer.id,
        wanted,
        trial_end=trial_end,
        at_trial_end=_at_trial_end(given) or "create_invoice",
        incomplete=incomplete,
        metadata=given.get("metadata") or {},
    )
    subscription = require(state.subscriptions, subscription.id)
    wished = replace(subscription, description=given.get("description"), **_cancellation(state, subscription, given))
    return billing.change(state, subscription, wished)


def _at_trial_end(given: Mapping[str, Any]) -> str | None:
    wish: str | None = given["trial_settings"]["end_behavior"]["missing_payment_method"] if "trial_settings" in given else None
    return wish


def _moment(raw: str, now: int) -> int:
    """`now` or epoch seconds. Raises ApiError 400 for the past."""
    moment = now if raw == "now" else params.integer("trial_end", raw)
    if moment < now:
        raise invalid_parameter("trial_end", "Invalid timestamp: must be an integer Unix timestamp in the future")
    return moment


def _cancellation(state: StripeState, subscription: Subscription, given: Mapping[str, Any]) -> dict[str, Any]:
    """What asking for, or taking back, an end with the period changes."""
    wish = given.get("cancel_at_period_end")
    if wish is None or wish == subscription.cancel_at_period_end:
        return {}
    if not wish:
        return {"cancel_at_period_end": False, "cancel_at": None, "canceled_at": None, "cancellation": None}
    end = subscription.items[0].period_end
    return {"cancel_at_period_end": True, "cancel_at": end, "canceled_at": state.now(), "cancellation": "cancellation_requested"}


def update(call: Call) -> Answer:
    state, given = call.state, call.given
    before = require(state.subscriptions, call.id)
    if before.status in billing.ENDED and set(given) - {"metadata", "cancellation_details"}:
        raise ApiError(400, "A canceled subscription can only update its cancellation_details and metadata.")
    after = replace(before, metadata=merged(before.metadata, given.get("metadata", {})), **_cancellation(state, before, given))
    if "items" in given:
        after = replace(after, items=_items(state, after, given["items"]))
    if "description" in given:
        after = replace(after, description=given["description"])
    if "pause_collection" in given:
        pause = given["pause_collection"]
        after = replace(after, paused=pause["behavior"] if pause else None)
    after = replace(after, at_trial_end=_at_trial_end(given) or after.at_trial_end)
    if "trial_end" in given:
        after = _on_trial(state, after, _moment(given["trial_end"], state.now()))
    after = billing.change(state, before, after)
    if "trial_end" in given and after.items[0].period_end <= state.now():
        billing.turn(state, after, state.now())
    return require(state.subscriptions, after.id)


def _items(state: StripeState, subscription: Subscription, wanted: list[Mapping[str, Any]]) -> tuple[Item, ...]:
    """The items with new prices and quantities; an item without an id is added. No proration is billed."""
    items = {item.id: item for item in subscription.items}
    for wish in wanted:
        price = billing.recurring_price(state, wish["price"]) if "price" in wish else None
        if "id" not in wish:
            if price is None:
                raise invalid_parameter("items", "Each item needs an id or a price")
            first = subscription.items[0]
            new = Item(state.mint.new("si"), state.now(), price.id, first.period_start, first.period_end, wish.get("quantity", 1))
            items[new.id] = new
            continue
        item = items.get(wish["id"])
        if item is None:
            raise missing_resource("subscription_item", wish["id"], "items[0][id]", status=400)
        items[item.id] = replace(item, price=price.id if price else item.price, quantity=wish.get("quantity", item.quantity))
    return tuple(items.values())


def _on_trial(state: StripeState, subscription: Subscription, trial_end: int) -> Subscription:
    """The subscription with its trial moved: its period ends with the trial, and the next one is billed then."""
    now = state.now()
    items = tuple(replace(item, period_end=trial_end) for item in subscription.items)
    trial_start = subscription.trial_start or now
    return replace(subscription, status="trialing", trial_start=trial_start, trial_end=trial_end, anchor=trial_end, items=items)


def cancel(call: Call) -> Answer:
    subscription = require(call.state.subscriptions, call.id)
    if subscription.status in billing.ENDED:
        raise missing_resource("subscription", call.id)
    return billing.cancel(call.state, subscription, call.state.now())


def pause(call: Call) -> Answer:
    subscription = require(call.state.subscriptions, call.id)
    if subscription.status not in ("active", "trialing", "past_due"):
        raise ApiError(400, f"A subscription that is {subscription.status} cannot be paused.")
    return billing.pause(call.state, subscription, call.state.now())


def resume(call: Call) -> Answer:
    subscription = require(call.state.subscriptions, call.id)
    if subscription.status != "paused":
        raise ApiError(400, f"Only a paused subscription can be resumed; this one is {subscription.status}.")
    billing.resume(call.state, subscription, keep_anchor=call.given.get("billing_cycle_anchor") == "unchanged")
    return require(call.state.subscriptions, call.id)


def _anchor(name: str, raw: Any) -> str:
    """`now` or `unchanged`; since API version 2026-09-30 (endive) in an object with a `type`."""
    choose = params.one_of("now", "unchanged")
    wish: str = params.nested({"type": choose}, ("type",))(name, raw)["type"] if isinstance(raw, dict) else choose(name, raw)
    return wish


def index(call: Call) -> Page:
    given = call.given
    wanted = {name: [given[name]] for name in ("customer", "price") if name in given}
    status = given.get("status")
    if status is None:
        wanted["standing"] = ["not_canceled"]
    elif status == "ended":
        wanted["status"] = list(billing.ENDED)
    elif status != "all":
        wanted["status"] = [status]
    return page(call.state.subscriptions, given, wanted)


ROUTES = (
    Route("POST", "/v1/subscriptions", create, CREATE_FIELDS, ("customer", "items")),
    Route("GET", "/v1/subscriptions", index, {**LIST_FIELDS, **FILTERS}),
    Route(
        "GET",
        "/v1/subscriptions/search",
        lambda call: search.search(call.state.subscriptions, call.given, SEARCHED),
        search.FIELDS,
        ("query",),
    ),
    Route("GET", "/v1/subscriptions/{id}", lambda call: require(call.state.subscriptions, call.id), {}),
    Route("POST", "/v1/subscriptions/{id}", update, UPDATE_FIELDS),
    Route("POST", "/v1/subscriptions/{id}/pause", pause, dict.fromkeys(("type", "bill_for", "invoicing_behavior"), params.ignored)),
    Route("POST", "/v1/subscriptions/{id}/resume", resume, RESUME_FIELDS),
    Route("DELETE", "/v1/subscriptions/{id}", cancel, dict.fromkeys(("cancellation_details", "invoice_now", "prorate"), params.ignored)),
)
