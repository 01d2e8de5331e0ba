"""A believable, reproducible population: the same size, seed and moment give the same people, byte for byte.

`generation.build` makes one. Both stand-ins and the sandbox's database are filled from it, so that all three agree until somebody
plants drift.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TopUp:
    """A paid one-off checkout for tokens. Times are epoch seconds, `amount` is cents."""

    session: str  # cs_test_…
    created: int
    tokens: int
    amount: int
    package: str  # starter, growth, pro


@dataclass(frozen=True, slots=True)
class Contract:
    """One Stripe subscription of a person, as Stripe has it now. Times are epoch seconds (UTC)."""

    id: str  # sub_…
    item: str  # si_…
    price: str  # price_… out of PRICES
    status: str  # one of Stripe's eight
    created: int
    period_start: int
    period_end: int
    trial_end: int | None
    cancel_at_period_end: bool
    ended: int | None  # canceled_at and ended_at of an ended one
    invoices: tuple["Bill", ...]  # oldest first


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice of a contract: `reason` is Stripe's billing_reason, `status` paid, open or void."""

    id: str  # in_…
    created: int
    reason: str  # subscription_create, subscription_cycle
    status: str
    amount: int


@dataclass(frozen=True, slots=True)
class Price:
    id: str
    product: str
    nickname: str
    amount: int  # cents
    currency: str  # lower-case ISO 4217
    interval: str  # month, year


@dataclass(frozen=True, slots=True)
class Person:
    """One user of AURA: `did` at Privy, `uuid` in the database, `customer` at Stripe (None: never paid)."""

    uuid: str
    did: str  # did:privy:…
    created: int
    name: str | None
    email: str | None
    email_verified: bool
    google: bool  # has a Google account linked (then name and e-mail come from it)
    wallet: str | None
    avatar: str | None
    customer: str | None
    contracts: tuple[Contract, ...] = ()  # oldest first
    top_ups: tuple[TopUp, ...] = ()


@dataclass(frozen=True, slots=True)
class Population:
    seed: int
    now: int  # epoch seconds: the moment the population is seen at
    prices: tuple[Price, ...]
    people: tuple[Person, ...] = field(repr=False)
