"""Made-up customers who live at Stripe's stand-in for some months: they subscribe, pay or fail to, buy tokens, leave; all its events."""

import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Person, Population
from aura_cli.sandbox.stripe import StripeState, billing, records
from aura_cli.sandbox.stripe.render import Renderer
from aura_cli.subscriptions.stripe import API_VERSION
from aura_cli.webhooks.events import HANDLED
from tests.parts.books import DAY, NOW, PRICES, person

BEFORE_BASIL = "2025-02-24.acacia"
TOKENS = records.Price("price_tokens", 0, "prod_tokens", 900, "usd", nickname="starter")


def newcomers(number: int, *, days: int = 100) -> Population:
    """People who signed in and bought nothing, seen `days` ago."""
    people = tuple(replace(person(one), created=NOW - (days + 1) * DAY) for one in range(1, number + 1))
    return Population(1, NOW - days * DAY, PRICES, people)


def live(state: StripeState, people: Sequence[Person], seed: int, *, days: int = 100) -> list[records.Event]:
    """Let each have a story of up to `days` days, which end today; returns the events that webhooks handle, oldest first."""
    chance = random.Random(seed)
    state.prices.put(TOKENS)
    acts = sorted(act for one in people if one.customer for act in _story(chance, one, days))
    begun, subscriptions = state.now(), dict[str, str]()
    for day, _, kind, customer in acts:
        _advance(state, begun + day * DAY)
        _play(state, chance, kind, customer, subscriptions, people)
    _advance(state, begun + days * DAY)
    return sorted((event for event in state.events if event.type in HANDLED), key=lambda event: (event.created, event.id))


def _story(chance: random.Random, one: Person, days: int) -> list[tuple[int, float, str, str]]:
    """(day, order in the day, what happens, whose)."""
    assert one.customer
    start = chance.randint(0, days - 5)
    acts = ["trial" if chance.random() < 0.2 else "checkout"]
    moments = [start]
    for what, likely in (("topup", 0.5), ("topup", 0.3), ("decline", 0.2), ("cancel", 0.25)):
        if chance.random() < likely:
            acts.append(what)
            moments.append(chance.randint(start, days - 1) if what != "topup" else chance.randint(0, days - 1))
    if "cancel" in acts and chance.random() < 0.5:
        acts.append("checkout")  # comes back
        moments.append(min(days - 1, moments[acts.index("cancel")] + 3))
    return [(moment, chance.random(), what, one.customer) for what, moment in zip(acts, moments, strict=True)]


def _advance(state: StripeState, to: int) -> None:
    state.clock.advance(max(0, to - state.now()))
    billing.settle(state, state.now())


def _play(
    state: StripeState, chance: random.Random, kind: str, customer: str, subscriptions: dict[str, str], people: Sequence[Person]
) -> None:
    user = next(one.uuid for one in people if one.customer == customer)
    match kind:
        case "checkout":
            done = billing.complete(state, session(state, customer, user, billing.recurring_price(state, PRO_MONTHLY.id), 0))
            subscriptions[customer] = done.subscription or ""
        case "trial":
            subscriptions[customer] = billing.subscribe(state, customer, [(PRO_MONTHLY.id, 1)], trial_end=state.now() + 14 * DAY).id
        case "topup":
            billing.complete(state, session(state, customer, user, TOKENS, chance.randint(1, 5) * 1_000_000))
        case "decline":
            state.declining.add(customer)
        case "cancel" if (found := state.subscriptions.get(subscriptions.get(customer, ""))) and found.status not in billing.ENDED:
            billing.cancel(state, found, state.now())


def session(state: StripeState, customer: str, user: str, price: records.Price, tokens: int) -> records.Session:
    """An open checkout for a subscription, or for so many tokens."""
    metadata = {"type": "token_topup", "tokens": str(tokens), "user_id": user, "package_id": "starter"} if tokens else {"userId": user}
    now = state.now()
    kind = "payment" if tokens else "subscription"
    lines = (records.Line(price.id, 1, price.amount),)
    made = (state.mint.new("cs_test"), now, kind, "open", "unpaid", customer, None, price.currency, price.amount, lines, now + DAY)
    return records.Session(*made, metadata=metadata)


def body(state: StripeState, event: records.Event, version: str = API_VERSION) -> bytes:
    """An event as Stripe would deliver it to an endpoint of that API version."""
    return msgspec.json.encode(Renderer(state, version)(replace(event, api_version=version)))
