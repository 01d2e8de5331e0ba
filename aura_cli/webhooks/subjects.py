"""What an event is about: what it says itself, and what Stripe says now.

The event is a hint; with a key its object is fetched anew, because events come late, twice and out of order.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from aura_cli.errors import AuraError, NotFoundError, ServiceError
from aura_cli.subscriptions.keeping import Facts
from aura_cli.subscriptions.stripe import Customer, Epoch, Reference, Subscription, decoder, facts, reference
from aura_cli.subscriptions.stripe import Session as Checkout
from aura_cli.transport import Service
from aura_cli.webhooks.envelope import BadEvent
from aura_cli.webhooks.inbox import Event

THREADS = 16


class _Details(msgspec.Struct):
    subscription: str | Reference | None = None


class _Parent(msgspec.Struct):
    subscription_details: _Details | None = None


class Invoice(msgspec.Struct):
    """An invoice of any API version: since basil (2025-03-31) its subscription stands under `parent`."""

    id: str
    created: Epoch
    status: str | None = None
    billing_reason: str | None = None
    customer: str | Reference | None = None
    amount_paid: int | None = None
    currency: str | None = None
    subscription: str | Reference | None = None
    parent: _Parent | None = None

    @property
    def subscription_id(self) -> str | None:
        details = self.parent.subscription_details if self.parent else None
        return reference(details.subscription if details else self.subscription)


class Session(Checkout):
    """A checkout session, with what it began and for whom."""

    subscription: str | Reference | None = None
    payment_intent: str | Reference | None = None
    currency: str | None = None
    client_reference_id: str | None = None

    @property
    def subscription_id(self) -> str | None:
        return reference(self.subscription)


Object = Facts | Invoice | Session | Customer


class _SubscriptionData(msgspec.Struct):
    object: Subscription


class _InvoiceData(msgspec.Struct):
    object: Invoice


class _SessionData(msgspec.Struct):
    object: Session


class _CustomerData(msgspec.Struct):
    object: Customer


class _SubscriptionBody(msgspec.Struct):
    data: _SubscriptionData


class _InvoiceBody(msgspec.Struct):
    data: _InvoiceData


class _SessionBody(msgspec.Struct):
    data: _SessionData


class _CustomerBody(msgspec.Struct):
    data: _CustomerData


def _facts(subscription: Subscription) -> Facts:
    return Facts(subscription.id, *facts(subscription))


def _same(found: Any) -> Any:
    return found


@dataclass(frozen=True)
class _Kind:
    """How the objects of some event types are read from a body, asked for, and read from the answer."""

    body: Callable[[bytes], Any]
    path: str
    answer: Callable[[bytes], Any]
    shape: Callable[[Any], Object] = _same

    def of(self, identifier: str) -> str:
        """Where the object of that id is asked for."""
        return self.path + quote(identifier, safe="")


_KINDS: Mapping[str, _Kind] = {  # by the type's beginning
    "customer.subscription.": _Kind(decoder(_SubscriptionBody), "/v1/subscriptions/", decoder(Subscription), _facts),
    "invoice.": _Kind(decoder(_InvoiceBody), "/v1/invoices/", decoder(Invoice)),
    "checkout.session.": _Kind(decoder(_SessionBody), "/v1/checkout/sessions/", decoder(Session)),
    "customer.": _Kind(decoder(_CustomerBody), "/v1/customers/", decoder(Customer)),
}
_SUBSCRIPTION = _KINDS["customer.subscription."]


@dataclass(frozen=True)
class Look:
    """An event with what it `said` and what was `found` at Stripe (the same without a key).

    `subscription` is what is known now of the subscription that it is about; `error` is why Stripe could not be asked.
    `asked_at` (epoch seconds): when Stripe's side was so.
    """

    event: Event
    said: Object
    found: Object | None
    subscription: Facts | None
    asked_at: int
    error: AuraError | None = None

    @property
    def subscription_id(self) -> str | None:
        return subscription_of(self.said)

    @property
    def customer(self) -> str | None:
        """The customer's id, by what is known now, or else by the event."""
        for known in (self.subscription, self.found, self.said):
            if isinstance(known, Customer):
                return known.id
            if known is not None and known.customer is not None:
                return reference(known.customer)
        return self.event.customer


def say(event: Event) -> Object:
    """The object in an event's body. Raises BadEvent where it is not what its type promises."""
    kind = _kind(event.type)
    try:
        return kind.shape(kind.body(event.payload).data.object)
    except ServiceError as error:
        raise BadEvent(f"The event's body is not what {event.type} promises: {error.__cause__ or error.message}") from error


def subscription_of(said: Object) -> str | None:
    """The id of the subscription that an object is or belongs to."""
    if isinstance(said, Facts):
        return said.id
    return None if isinstance(said, Customer) else said.subscription_id


def ask(stripe: Service, said: Mapping[Event, Object], moment: Callable[[], int]) -> list[Look]:
    """Fetch what the events are about and the subscriptions behind it, each object once, many at a time."""
    wanted: dict[str, _Kind] = {}
    for event, one in said.items():
        wanted[_kind(event.type).of(one.id)] = _kind(event.type)
        if (subscription := subscription_of(one)) is not None:
            wanted[_SUBSCRIPTION.of(subscription)] = _SUBSCRIPTION
    asked_at = moment()
    answers = _fetch(stripe, wanted)

    def look(event: Event, one: Object) -> Look:
        subscription = subscription_of(one)
        found = answers[_kind(event.type).of(one.id)]
        behind = answers[_SUBSCRIPTION.of(subscription)] if subscription else None
        error = next((answer for answer in (found, behind) if isinstance(answer, AuraError)), None)
        return Look(
            event,
            one,
            None if isinstance(found, AuraError) else found,
            behind if isinstance(behind, Facts) else None,
            asked_at,
            error,
        )

    return [look(event, one) for event, one in said.items()]


def believe(said: Mapping[Event, Object]) -> list[Look]:
    """Without a key: what the events say is all that is known, and as old as they are."""
    return [Look(event, one, one, one if isinstance(one, Facts) else None, event.created) for event, one in said.items()]


def customers(stripe: Service, ids: Iterable[str]) -> dict[str, Customer]:
    """Customers as Stripe has them; one that could not be asked for is left out."""
    kind = _KINDS["customer."]
    answers = _fetch(stripe, {kind.of(identifier): kind for identifier in ids})
    return {found.id: found for found in answers.values() if isinstance(found, Customer)}


def _fetch(stripe: Service, wanted: Mapping[str, _Kind]) -> dict[str, Object | AuraError | None]:
    def one(item: tuple[str, _Kind]) -> Object | AuraError | None:
        path, kind = item
        try:
            return kind.shape(kind.answer(stripe.get(path)))
        except NotFoundError:
            return None
        except AuraError as error:
            return error

    if not wanted:
        return {}
    with ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(one, wanted.items()), strict=True))


def _kind(event_type: str) -> _Kind:
    return next(kind for prefix, kind in _KINDS.items() if event_type.startswith(prefix))
