"""Everything the stand-in knows, in memory."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aura_cli.sandbox.stripe import records
from aura_cli.sandbox.stripe.clock import Clock
from aura_cli.sandbox.stripe.collection import Collection, Terms
from aura_cli.sandbox.stripe.errors import missing_resource
from aura_cli.sandbox.stripe.idempotency import IdempotencyKeys
from aura_cli.sandbox.stripe.ids import Mint
from aura_cli.sandbox.stripe.limits import Limiter, RateLimit
from aura_cli.sandbox.stripe.records import Record

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1SandboxAura0001"
R = TypeVar("R", bound=Record)


def _customer_terms(customer: records.Customer) -> Terms:
    yield "present", "no" if customer.deleted else "yes"
    if customer.deleted:
        return
    if customer.email:
        yield "email", customer.email
        yield "email_folded", customer.email.casefold()
    for key, value in customer.metadata.items():
        yield f"metadata.{key}", value


def _subscription_terms(subscription: records.Subscription) -> Terms:
    yield "customer", subscription.customer
    yield "status", subscription.status
    yield "standing", "canceled" if subscription.status == "canceled" else "not_canceled"
    for item in subscription.items:
        yield "price", item.price
    for key, value in subscription.metadata.items():
        yield f"metadata.{key}", value


def _invoice_terms(invoice: records.Invoice) -> Terms:
    yield "customer", invoice.customer
    yield "status", invoice.status
    if invoice.subscription:
        yield "subscription", invoice.subscription


def _session_terms(session: records.Session) -> Terms:
    yield "status", session.status
    fields = {"customer": session.customer, "subscription": session.subscription, "payment_intent": session.payment_intent}
    yield from ((name, value) for name, value in fields.items() if value)


def _price_terms(price: records.Price) -> Terms:
    yield "product", price.product
    yield "active", str(price.active).lower()
    yield "currency", price.currency
    yield "type", "recurring" if price.interval else "one_time"
    if price.lookup_key:
        yield "lookup_keys", price.lookup_key


def _product_terms(product: records.Product) -> Terms:
    yield "active", str(product.active).lower()
    yield "ids", product.id


class EventFaults(Protocol):
    """What goes wrong with the delivery of events."""

    duplicate_events: float  # how large a part is delivered twice, 0 to 1
    reorder_events: bool  # those that wait go out in any order


@dataclass
class InOrder:
    """Nothing does."""

    duplicate_events: float = 0.0
    reorder_events: bool = False


class StripeState:
    """One account of Stripe.

    `now`: where the clock starts, epoch seconds. `limit`: requests a second let through, None for any number.
    `api_version`: the version the account is pinned to, in which events are made and requests without a
    Stripe-Version header answered. `faults` is looked at with every delivery and may change meanwhile. Not to be used
    from several threads.
    """

    def __init__(
        self,
        now: int,
        *,
        seed: int = 0,
        livemode: bool = False,
        api_version: str = API_VERSION,
        limit: RateLimit | None = None,
        faults: EventFaults | None = None,
    ) -> None:
        self.clock = Clock(now)
        self.mint = Mint(seed)
        self.random = random.Random(seed)
        self.livemode = livemode
        self.api_version = api_version
        self.limiter = Limiter(limit)
        self.keys = IdempotencyKeys()
        self.faults = faults or InOrder()
        self.declining: set[str] = set()  # customers whose card is declined
        self.cardless: set[str] = set()  # customers without a card
        self.warned: set[tuple[str, int]] = set()  # subscription and end of the trial that was told of beforehand
        self.due: list[tuple[int, str]] = []  # heap of (moment, id of the subscription, session or invoice something happens to)
        self.on_event: Callable[[records.Event], None] | None = None
        self.origin: tuple[str, str | None] | None = None  # id and idempotency key of the request that is being served
        self.pending: dict[str, set[str]] = {}  # event → endpoints that have not taken it (yet)
        self.deliveries: deque[records.Delivery] = deque(maxlen=10_000)
        self.opened = now

        self.customers = Collection("customer", _customer_terms)
        self.products = Collection("product", _product_terms)
        self.prices = Collection("price", _price_terms)
        self.subscriptions = Collection("subscription", _subscription_terms)
        self.invoices = Collection("invoice", _invoice_terms)
        self.sessions = Collection[records.Session]("checkout.session", _session_terms)
        self.events = Collection[records.Event]("event", lambda event: [("type", event.type)])
        self.endpoints = Collection[records.Endpoint]("webhook endpoint", lambda endpoint: [])

    def now(self) -> int:
        return self.clock.now()

    @property
    def key_prefixes(self) -> tuple[str, ...]:
        mode = "live" if self.livemode else "test"
        return f"sk_{mode}_sandbox", f"rk_{mode}_sandbox"

    def find(self, identifier: str) -> Record | None:
        """Any object by its id."""
        prefix = identifier.split("_", 1)[0]
        homes: dict[str, Collection[Any]] = {
            "cus": self.customers,
            "prod": self.products,
            "price": self.prices,
            "sub": self.subscriptions,
            "in": self.invoices,
            "cs": self.sessions,
            "evt": self.events,
            "we": self.endpoints,
        }
        home = homes.get(prefix)
        found: Record | None = None if home is None else home.get(identifier)
        return found

    def emit(self, kind: str, subject: Record, *, before: Record | None = None, at: int | None = None) -> None:
        """Something happened (at `at`, epoch seconds, or now): make the event and hand it to whoever delivers."""
        moment = self.now() if at is None else at
        request, key = self.origin or (None, None)
        event = records.Event(self.mint.new("evt"), moment, kind, subject, before, self.api_version, request, key)
        self.events.put(event)
        if self.on_event is not None:
            self.on_event(event)


def require(home: Collection[R], identifier: str, param: str = "id", *, status: int = 404) -> R:
    """The record of that id. Raises ApiError `resource_missing`: 404, or 400 where the id was given as a parameter."""
    record = home.get(identifier)
    if record is None:
        raise missing_resource(home.kind, identifier, param, status=status)
    return record
