"""Compact, immutable records of everything the stand-in knows; the JSON is built from them per request.

Times are epoch seconds (UTC), amounts are in the currency's smallest unit. A change makes a new record, so that an
event can simply keep the record it tells of, and the one before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

Metadata = Mapping[str, str]
NOTHING: Metadata = MappingProxyType({})


def _nothing() -> Metadata:
    return NOTHING


class Record(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    created: int
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    description: str | None = None
    metadata: Metadata = field(default_factory=_nothing)
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    created: int
    name: str
    active: bool = True
    description: str | None = None
    metadata: Metadata = field(default_factory=_nothing)
    updated: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    id: str
    created: int
    product: str
    amount: int
    currency: str
    interval: str | None = None  # None: one_time
    interval_count: int = 1
    nickname: str | None = None
    lookup_key: str | None = None
    active: bool = True
    metadata: Metadata = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    created: int
    price: str
    period_start: int
    period_end: int
    quantity: int = 1
    metadata: Metadata = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Subscription:
    id: str
    created: int
    customer: str
    status: str
    items: tuple[Item, ...]
    currency: str
    anchor: int
    latest_invoice: str | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    cancel_at_period_end: bool = False
    cancel_at: int | None = None
    canceled_at: int | None = None
    ended_at: int | None = None
    cancellation: str | None = None  # cancellation_details.reason
    paused: str | None = None  # pause_collection.behavior
    at_trial_end: str = "create_invoice"  # what happens when a trial ends without a card
    description: str | None = None
    metadata: Metadata = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Line:
    """What is sold `quantity` times; `item` names the subscription's item it bills."""

    price: str
    quantity: int
    amount: int
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    id: str
    created: int
    customer: str
    subscription: str | None
    status: str
    reason: str
    currency: str
    lines: tuple[Line, ...]
    amount: int
    sequence: int  # of the customer's invoices, from 1
    period_start: int  # of the period that the lines bill
    period_end: int
    paid_at: int | None = None
    attempts: int = 1
    next_attempt: int | None = None  # when its payment is tried again by itself
    metadata: Metadata = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Session:
    """A checkout session."""

    id: str
    created: int
    mode: str
    status: str
    payment_status: str
    customer: str | None
    email: str | None
    currency: str
    amount: int
    lines: tuple[Line, ...]
    expires_at: int
    success_url: str | None = None
    cancel_url: str | None = None
    client_reference: str | None = None
    payment_intent: str | None = None
    subscription: str | None = None
    invoice: str | None = None
    trial_days: int = 0
    metadata: Metadata = field(default_factory=_nothing)
    subscription_metadata: Metadata = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    created: int
    type: str
    subject: Record
    before: Record | None
    api_version: str
    request: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event, counted from 1; `status` is what the endpoint answered, 0 when it could not be reached."""

    event: str
    endpoint: str
    attempt: int
    status: int
    at: float  # real time, not the stand-in's


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered webhook endpoint."""

    id: str
    created: int
    url: str
    enabled_events: tuple[str, ...]
    secret: str = field(repr=False)
    api_version: str | None = None
    description: str | None = None
    enabled: bool = True
    metadata: Metadata = field(default_factory=_nothing)
