"""A correct event of any handled type: what the sandbox's Stripe would send had it just happened there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from aura_cli.errors import UsageError
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.stripe import API_VERSION, StripeState, billing, records
from aura_cli.sandbox.stripe.clock import Clock
from aura_cli.sandbox.stripe.ids import Mint
from aura_cli.sandbox.stripe.render import Renderer
from aura_cli.sandbox.stripe.routes.customers import delete
from aura_cli.sandbox.stripe.routes.routing import Call
from aura_cli.webhooks.events import HANDLED

TOKENS = records.Price("price_sandboxTokensStarter", 0, "prod_sandboxTokens", 900, "usd", nickname="starter")
CHECKOUT = ("checkout.session.completed", "checkout.session.async_payment_succeeded")


@dataclass(frozen=True)
class Wish:
    """What a sample is about; what is not given is made up. `user` is a person's uuid.

    With `tokens` a checkout is the purchase of that many, else of a subscription.
    """

    customer: str | None = None
    subscription: str | None = None
    user: str | None = None
    tokens: int | None = None
    price: str = PRO_MONTHLY.id
    api_version: str = API_VERSION
    livemode: bool = False


class _Mint(Mint):
    """Gives the ids that were wished for first."""

    def __init__(self, seed: int, wished: Mapping[str, str | None]) -> None:
        super().__init__(seed)
        self._wished = {prefix: identifier for prefix, identifier in wished.items() if identifier}

    def new(self, prefix: str) -> str:
        return self._wished.pop(prefix, None) or super().new(prefix)


@dataclass(frozen=True)
class _Scene:
    """A Stripe with one customer and a clock that stands still."""

    state: StripeState
    customer: str
    wish: Wish

    def subscribe(self, *, trial: int = 0, at_trial_end: str = "create_invoice") -> records.Subscription:
        end = self.state.now() + trial * billing.DAY if trial else None
        return billing.subscribe(self.state, self.customer, [(self.wish.price, 1)], trial_end=end, at_trial_end=at_trial_end)

    def since(self, days: int, *, trial: int = 0, at_trial_end: str = "create_invoice") -> records.Subscription:
        """A subscription that began so many days ago."""
        now = self.state.now()
        self.state.clock.advance(-days * billing.DAY)
        subscription = self.subscribe(trial=trial, at_trial_end=at_trial_end)
        self.state.clock.advance(now - self.state.now())
        return self.state.subscriptions.get(subscription.id) or subscription

    def checkout(self, tokens: int | None) -> records.Session:
        """An open session: of a purchase of tokens, or of a subscription."""
        price = TOKENS if tokens else self.state.prices.get(self.wish.price) or TOKENS
        metadata = {"type": "token_topup", "tokens": str(tokens), "user_id": self.wish.user or "", "package_id": "starter"}
        now = self.state.now()
        return records.Session(
            self.state.mint.new("cs_live" if self.wish.livemode else "cs_test"),
            now,
            "payment" if tokens else "subscription",
            "open",
            "unpaid",
            self.customer,
            None,
            price.currency,
            price.amount,
            (records.Line(price.id, 1, price.amount),),
            now + billing.DAY,
            success_url="https://app.example.com/dashboard",
            metadata=metadata if tokens else {"userId": self.wish.user or ""},
        )


def sample(kind: str, now: int, wish: Wish | None = None, *, seed: int = 0) -> bytes:
    """The body of an event of type `kind` that happened at `now` (epoch seconds), as Stripe would deliver it.

    The same `seed` makes the same ids. Raises UsageError for a type that is not handled, and for tokens where none are sold.
    """
    wish = wish or Wish()
    if kind not in _STORIES:
        raise UsageError(f"No sample of {kind}", f"There are: {', '.join(HANDLED)}")
    if wish.tokens is not None and kind not in CHECKOUT:
        raise UsageError(f"{kind} sells no tokens", f"Tokens go with {' and '.join(CHECKOUT)}")
    state = StripeState(now, livemode=wish.livemode, api_version=wish.api_version)
    state.clock = Clock(now, lambda: 0.0)
    state.mint = _Mint(seed, {"cus": wish.customer, "sub": wish.subscription})
    price = records.Price(wish.price, 0, PRO_MONTHLY.product, PRO_MONTHLY.amount, PRO_MONTHLY.currency, "month", nickname="Pro")
    state.prices.load([price, TOKENS])
    metadata = {"userId": wish.user} if wish.user else {}
    customer = records.Customer(state.mint.new("cus"), now - 40 * billing.DAY, "ada@example.com", "Ada Example", metadata=metadata)
    state.customers.put(customer)
    _STORIES[kind](_Scene(state, customer.id, wish))
    event = max((event for event in state.events if event.type == kind), key=lambda event: event.id)
    return msgspec.json.encode(Renderer(state, wish.api_version)(event))


def _completed(scene: _Scene) -> None:
    billing.complete(scene.state, scene.checkout(scene.wish.tokens))


def _cleared(scene: _Scene) -> None:
    session = billing.complete(scene.state, scene.checkout(scene.wish.tokens or 1_000_000), paid=False)
    billing.clear(scene.state, session)


def _created(scene: _Scene) -> None:
    scene.subscribe()


def _updated(scene: _Scene) -> None:
    before, now = scene.since(14), scene.state.now()
    ends = before.items[0].period_end
    wished = replace(before, cancel_at_period_end=True, cancel_at=ends, canceled_at=now, cancellation="cancellation_requested")
    billing.change(scene.state, before, wished)


def _deleted(scene: _Scene) -> None:
    billing.cancel(scene.state, scene.since(14), scene.state.now())


def _paused(scene: _Scene) -> None:
    scene.state.cardless.add(scene.customer)
    billing.turn(scene.state, scene.since(14, trial=14, at_trial_end="pause"), scene.state.now())


def _resumed(scene: _Scene) -> None:
    billing.resume(scene.state, billing.pause(scene.state, scene.since(14), scene.state.now()))


def _trial_will_end(scene: _Scene) -> None:
    billing.turn(scene.state, scene.since(11, trial=14), scene.state.now())


def _customer_deleted(scene: _Scene) -> None:
    scene.since(14)
    delete(Call(scene.state, scene.customer, {}))


def _renewed(scene: _Scene, *, declined: bool = False) -> None:
    subscription, now = scene.since(30), scene.state.now()
    if declined:
        scene.state.declining.add(scene.customer)
    items = tuple(replace(item, period_end=now) for item in subscription.items)
    billing.turn(scene.state, scene.state.subscriptions.put(replace(subscription, items=items, anchor=now)), now)


def _failed(scene: _Scene) -> None:
    _renewed(scene, declined=True)


_STORIES: Mapping[str, Callable[[_Scene], None]] = {
    "checkout.session.completed": _completed,
    "checkout.session.async_payment_succeeded": _cleared,
    "customer.subscription.created": _created,
    "customer.subscription.updated": _updated,
    "customer.subscription.deleted": _deleted,
    "customer.subscription.paused": _paused,
    "customer.subscription.resumed": _resumed,
    "customer.subscription.trial_will_end": _trial_will_end,
    "customer.deleted": _customer_deleted,
    "invoice.paid": _renewed,
    "invoice.payment_failed": _failed,
}
