"""Stripe over plain HTTP: the few calls we make, decoded into just the fields that we need.

The SDK's objects cost about a millisecond each; a typed msgspec decoder reads a page of a hundred in one.
Shapes: Stripe API reference, version below; older payloads (before 2025-03-31, "basil") are understood too.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

from aura_cli.errors import ConfigurationError, ServiceError
from aura_cli.settings import Settings
from aura_cli.transport import Rate, Service

T = TypeVar("T")
Epoch = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]  # seconds; to the end of the year 9999, as far as databases count


def time_of(epoch: int) -> datetime:
    """A moment as Stripe tells it, in epoch seconds."""
    return datetime.fromtimestamp(epoch, UTC)


API_VERSION = "2026-10-28.endive"
BASE = "https://api.stripe.com"
PAGE = 100  # the most that a list gives
LARGEST_AMOUNT = 2**63 - 1
LARGEST_TOP_UP = 1_000_000_000  # tokens
LIVE_RATE, TEST_RATE = 15.0, 10.0  # requests a second; Stripe allows 25 an endpoint, and the web app's checkout draws on the same
ENDED = ("canceled", "incomplete_expired")
NEAREST = {  # Stripe's eight statuses → the nearest of the web app's five
    "trialing": "trialing",
    "active": "active",
    "past_due": "past_due",
    "canceled": "canceled",
    "unpaid": "unpaid",
    "incomplete": "unpaid",
    "incomplete_expired": "canceled",
    "paused": "unpaid",
}


_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # after an even number of backslashes: an odd one would be escaped itself


class Reference(msgspec.Struct):
    """Something that Stripe has expanded, as far as its id."""

    id: str


class _Recurring(msgspec.Struct):
    interval: str
    interval_count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class _Price(msgspec.Struct):
    id: str
    currency: str | None = None
    unit_amount: int | None = None
    recurring: _Recurring | None = None


class _Item(msgspec.Struct):
    price: _Price | None = None
    quantity: int | None = None
    current_period_start: Epoch | None = None
    current_period_end: Epoch | None = None


class _Items(msgspec.Struct):
    data: list[_Item] = []


class Subscription(msgspec.Struct):
    """A subscription as Stripe sends it, of any API version."""

    id: str
    customer: str | Reference
    status: str
    created: Epoch
    cancel_at_period_end: bool = False
    trial_end: Epoch | None = None
    current_period_start: Epoch | None = None
    current_period_end: Epoch | None = None
    currency: str | None = None
    items: _Items | None = None


class Session(msgspec.Struct):
    """A checkout session."""

    id: str
    created: Epoch
    mode: str | None = None
    payment_status: str | None = None
    customer: str | Reference | None = None
    amount_total: int | None = None
    metadata: dict[str, str] | None = None

    @property
    def is_top_up(self) -> bool:
        """Does it sell tokens, as the web app's purchases do?"""
        return self.mode == "payment" and (self.metadata or {}).get("type") == "token_topup"

    @property
    def tokens(self) -> int:
        """How many it sells; 0 where that cannot be read, or cannot be."""
        said = (self.metadata or {}).get("tokens", "")
        tokens = int(said) if said.isascii() and said.isdigit() and len(said) <= 10 else 0
        return tokens if tokens <= LARGEST_TOP_UP else 0


class _Transitions(msgspec.Struct):
    paid_at: Epoch | None = None


class Invoice(msgspec.Struct):
    """An invoice, as far as it tells of a renewal."""

    id: str
    created: Epoch
    billing_reason: str | None = None
    status_transitions: _Transitions | None = None

    @property
    def paid_at(self) -> int:
        """When it was paid: days after it was made where the card was declined at first."""
        return (self.status_transitions and self.status_transitions.paid_at) or self.created


class _EventData(msgspec.Struct):
    object: Reference


class Customer(msgspec.Struct):
    """A customer; a deleted one has nothing but its id."""

    id: str
    deleted: bool = False
    email: str | None = None
    metadata: dict[str, str] | None = None


class Event(msgspec.Struct):
    """An event, as far as it names what it is about."""

    id: str
    created: Epoch
    data: _EventData


class _Account(msgspec.Struct):
    id: str


class SubscriptionList(msgspec.Struct):
    data: list[Subscription]
    has_more: bool = False


class SessionList(msgspec.Struct):
    data: list[Session]
    has_more: bool = False


class InvoiceList(msgspec.Struct):
    data: list[Invoice]
    has_more: bool = False


class EventList(msgspec.Struct):
    data: list[Event]
    has_more: bool = False


class CustomerList(msgspec.Struct):
    data: list[Customer]
    has_more: bool = False


def service(settings: Settings, max_rps: float | None = None) -> Service:
    """Stripe with the configured key; `max_rps` 0 lifts the default request rate.

    Raises ConfigurationError where STRIPE_SECRET_KEY is missing or has no key's form.
    """
    key = settings.require("STRIPE_SECRET_KEY", "it is what Stripe is asked with").reveal()
    if not key.startswith(("sk_live_", "sk_test_", "rk_live_", "rk_test_")):
        raise ConfigurationError("STRIPE_SECRET_KEY is no secret key", "It starts with sk_live_, sk_test_, rk_live_ or rk_test_")
    headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(), "Stripe-Version": API_VERSION}
    default = LIVE_RATE if settings.stripe_mode == "live" else TEST_RATE
    if max_rps is None and settings.is_sandbox:
        default = 0.0
    return Service("Stripe", settings.get("STRIPE_API_BASE") or BASE, headers, Rate(default if max_rps is None else max_rps), _said)


def account(stripe: Service) -> str:
    """The id of the account that the key belongs to."""
    return decoder(_Account)(stripe.get("/v1/account")).id


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function from an answer's body to `kind`; it raises ServiceError for a body that is none.

    NUL characters are left out: PostgreSQL's text cannot hold them.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> T:
        try:
            return decode(_NUL.sub(rb"\1", body) if b"\\u0000" in body else body)
        except msgspec.DecodeError as error:
            raise ServiceError(f"Stripe's answer is not what it should be: {error}", "Trying again is safe; nothing was written") from error

    return read


def period(subscription: Subscription) -> tuple[int | None, int | None]:
    """Start and end of the current period: of the item that runs longest.

    API versions before basil say it on the subscription itself.
    """
    items = subscription.items.data if subscription.items else []
    ends = [(item.current_period_end, item.current_period_start) for item in items if item.current_period_end is not None]
    if not ends:
        return subscription.current_period_start, subscription.current_period_end
    end, start = max(ends, key=lambda pair: pair[0] or 0)
    return start, end


def facts(subscription: Subscription) -> tuple[Any, ...]:
    """A subscription as a row of `tables.FACTS`.

    Price and interval are those of its first item, the amount is the sum of the items with that interval.
    """
    items = subscription.items.data if subscription.items else []
    first = items[0].price if items else None
    rhythm = first.recurring if first else None
    amounts = [
        (i.price.unit_amount or 0) * (1 if i.quantity is None else i.quantity) for i in items if i.price and i.price.recurring == rhythm
    ]
    start, end = period(subscription)
    return (
        reference(subscription.customer),
        subscription.status,
        first.id if first else None,
        start,
        end,
        subscription.trial_end,
        subscription.cancel_at_period_end,
        subscription.created,
        (first.currency if first else None) or subscription.currency,
        sum(amounts) if first and sum(amounts) <= LARGEST_AMOUNT else None,
        rhythm.interval if rhythm else None,
        rhythm.interval_count if rhythm else None,
    )


def reference(value: str | Reference | None) -> str | None:
    """The id of something that Stripe may have expanded."""
    return value.id if isinstance(value, Reference) else value


def page_parameters(since: int | None, until: int | None, cursor: str | None, **more: str) -> Mapping[str, Any]:
    """Query parameters of one page of a list, newest first, of what was created in `since` ≤ t < `until`."""
    asked = {"limit": PAGE, "created[gte]": since, "created[lt]": until, "starting_after": cursor, **more}
    return {name: value for name, value in asked.items() if value is not None}


def _said(body: bytes) -> str:
    """The message of Stripe's error object."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
