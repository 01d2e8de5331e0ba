"""What Google Analytics 4 takes over its Measurement Protocol, as far as a request itself shows it.

Its collector answers every request alike and drops what breaks a rule, so the rules are held here before anything is sent. They are of
https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events#limitations and of `reference#reserved_names`
there; problems are told as its validation server tells them (`validating-events`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

MOST_EVENTS, MOST_PARAMETERS, MOST_ITEMS = 25, 25, 200
LONGEST_NAME, LONGEST_VALUE, LARGEST_BODY = 40, 100, 130_000  # characters, characters, bytes
_LONGER = {"page_title": 300, "page_referrer": 420, "page_location": 1000}  # values of these may be that long
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+(@|%40)[^\s@]+\.[^\s@]+", re.IGNORECASE)
RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")
RESERVED_EVENTS = frozenset(
    """ad_activeview ad_click ad_exposure ad_query ad_reward adunit_exposure app_background app_clear_data app_exception app_remove
    app_store_refund app_store_subscription_cancel app_store_subscription_convert app_store_subscription_renew app_update app_upgrade
    dynamic_link_app_open dynamic_link_app_update dynamic_link_first_open error firebase_campaign first_open first_visit in_app_purchase
    notification_dismiss notification_foreground notification_open notification_receive os_update session_start
    session_start_with_rollout user_engagement""".split()
)
RESERVED_PARAMETERS = frozenset({"firebase_conversion"})
MONEY = frozenset({"purchase", "refund"})  # events that tell of money: of which transaction they are has to be said


class Code(StrEnum):
    """The validation server's codes."""

    VALUE_INVALID = "VALUE_INVALID"
    VALUE_REQUIRED = "VALUE_REQUIRED"
    NAME_INVALID = "NAME_INVALID"
    NAME_RESERVED = "NAME_RESERVED"
    VALUE_OUT_OF_BOUNDS = "VALUE_OUT_OF_BOUNDS"
    EXCEEDED_MAX_ENTITIES = "EXCEEDED_MAX_ENTITIES"


@dataclass(frozen=True)
class Problem:
    """What is wrong, where in the request (`events[0].params.value`), and its code."""

    path: str
    what: str
    code: str


def problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything in a request's body that Google would drop it, or parts of it, for."""
    if not isinstance(body.get("client_id"), str) or not body["client_id"]:
        yield Problem("client_id", "Measurement requires a client_id.", Code.VALUE_REQUIRED)
    if len(json.dumps(body).encode()) > LARGEST_BODY:
        yield Problem("", f"The request is larger than {LARGEST_BODY:,} bytes.", Code.VALUE_OUT_OF_BOUNDS)
    events = body.get("events")
    if not isinstance(events, list) or not events:
        yield Problem("events", "Measurement requires at least one event.", Code.VALUE_REQUIRED)
        return
    if len(events) > MOST_EVENTS:
        yield Problem("events", f"There are {len(events)} events; {MOST_EVENTS} are allowed.", Code.EXCEEDED_MAX_ENTITIES)
    for index, event in enumerate(events):
        yield from _of_event(index, event)


def personal(parameters: Mapping[str, Any]) -> Iterator[str]:
    """The names of parameters that hold an e-mail address: Google's terms forbid sending what names a person."""
    return (name for name, value in parameters.items() if _EMAIL.search(json.dumps(value, ensure_ascii=False)))


def _of_event(index: int, event: Any) -> Iterator[Problem]:
    where = f"events[{index}]"
    name, parameters = (event.get("name"), event.get("params", {})) if isinstance(event, dict) else (None, {})
    if not isinstance(name, str) or not name:
        yield Problem(f"{where}.name", f"Event at index: [{index}] has no name.", Code.VALUE_REQUIRED)
        return
    yield from _of_name("events", f"Event at index: [{index}]", name)
    if name in RESERVED_EVENTS:
        yield Problem("events", f"Event at index: [{index}] has name [{name}] which is reserved.", Code.NAME_RESERVED)
    if not isinstance(parameters, dict):
        yield Problem(f"{where}.params", "Parameters are an object.", Code.VALUE_INVALID)
        return
    if len(parameters) > MOST_PARAMETERS:
        yield Problem(
            f"{where}.params", f"There are {len(parameters)} parameters; {MOST_PARAMETERS} are allowed.", Code.EXCEEDED_MAX_ENTITIES
        )
    yield from _of_parameters(f"{where}.params", parameters)
    yield from _of_money(where, name, parameters)


def _of_name(path: str, whose: str, name: str) -> Iterator[Problem]:
    if not _NAME.match(name):
        yield Problem(path, f"{whose} has invalid name [{name}]. Names must start with an alphabetic character.", Code.NAME_INVALID)
    elif not _NAME.fullmatch(name):
        said = "Only alphanumeric characters and underscores are allowed."
        yield Problem(path, f"{whose} has invalid name [{name}]. {said}", Code.NAME_INVALID)
    if len(name) > LONGEST_NAME:
        yield Problem(path, f"{whose} has name [{name}] which is longer than {LONGEST_NAME} characters.", Code.NAME_INVALID)
    if name.startswith(RESERVED_PREFIXES[1:]):  # an underscore is no alphabetic character to begin with
        yield Problem(path, f"{whose} has name [{name}] which starts with a reserved prefix.", Code.NAME_RESERVED)


def _of_parameters(path: str, parameters: Mapping[str, Any], *, item: bool = False) -> Iterator[Problem]:
    for name, value in parameters.items():
        yield from _of_name(path, "Parameter", name)
        if name in RESERVED_PARAMETERS:
            yield Problem(path, f"Parameter has name [{name}] which is reserved.", Code.NAME_RESERVED)
        if name == "items" and not item:
            yield from _of_items(f"{path}.items", value)
        elif isinstance(value, str):
            if len(value) > (most := _LONGER.get(name, LONGEST_VALUE)):
                yield Problem(f"{path}.{name}", f"The value is longer than {most} characters.", Code.VALUE_OUT_OF_BOUNDS)
        elif not isinstance(value, (int, float)) or not isfinite(value):
            yield Problem(f"{path}.{name}", "A value is text or a number.", Code.VALUE_INVALID)


def _of_items(path: str, items: Any) -> Iterator[Problem]:
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        yield Problem(path, "Items are a list of objects.", Code.VALUE_INVALID)
        return
    if len(items) > MOST_ITEMS:
        yield Problem(path, f"There are {len(items)} items; {MOST_ITEMS} are allowed.", Code.EXCEEDED_MAX_ENTITIES)
    for index, item in enumerate(items):
        if not item.get("item_id") and not item.get("item_name"):
            yield Problem(f"{path}[{index}]", "An item needs an item_id or an item_name.", Code.VALUE_REQUIRED)
        yield from _of_parameters(f"{path}[{index}]", item, item=True)


def _of_money(where: str, event: str, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """`reference/events#purchase`, `#refund`; a `value` of any event needs its currency."""
    wanted = {"transaction_id": event in MONEY, "value": event in MONEY, "currency": event in MONEY or "value" in parameters}
    wanted["items"] = event == "purchase"
    for name, needed in wanted.items():
        if needed and parameters.get(name) in (None, "", []):
            yield Problem(f"{where}.params.{name}", f"Event [{event}] needs the parameter [{name}].", Code.VALUE_REQUIRED)
    for name in ("value", "tax", "shipping"):
        if name in parameters and not isinstance(parameters[name], (int, float)):
            yield Problem(f"{where}.params.{name}", f"The value of [{name}] is no number.", Code.VALUE_INVALID)
    currency = parameters.get("currency")
    if currency and not re.fullmatch(r"[A-Z]{3}", str(currency)):
        yield Problem(f"{where}.params.currency", f"[{currency}] is no currency's three letters (ISO 4217).", Code.VALUE_INVALID)
