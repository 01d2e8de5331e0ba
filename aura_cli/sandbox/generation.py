"""Makes a population out of a size, a seed and a moment.

Every person is drawn from a generator of their own, seeded by the population's seed and the person's number: person 17 is the same in
a population of 20 and of 100,000. Periods are counted in days (a month has 30, a year 365), which is all that a stand-in needs.
"""

import gc
import uuid
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from aura_cli.sandbox.names import FAMILY, GIVEN, MAIL_DOMAINS, UNUSUAL
from aura_cli.sandbox.population import Bill, Contract, Person, Population, Price, TopUp

HOUR = 3600
DAY = 24 * HOUR
SPAN = 3 * 365 * DAY  # the oldest account
PERIOD = {"month": 30 * DAY, "year": 365 * DAY}
TRIAL = 14 * DAY
KEPT_BILLS = 14
INCOMPLETE_LASTS = 23 * HOUR  # https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses

PRO_MONTHLY = Price("price_1SandboxProMonthly000000", "prod_SandboxPro0000", "Pro monthly", 2900, "usd", "month")
PRO_YEARLY = Price("price_1SandboxProYearly0000000", "prod_SandboxPro0000", "Pro yearly", 29000, "usd", "year")
TEAM_MONTHLY = Price("price_1SandboxTeamMonthly00000", "prod_SandboxTeam000", "Team monthly", 7900, "eur", "month")
OLD_PRO = Price("price_1SandboxOldPro2400000000", "prod_SandboxPro0000", "Pro monthly 2024", 2400, "usd", "month")
EARLY_BIRD = Price("price_1SandboxEarlyBird0000000", "prod_SandboxPro0000", "Early bird", 1900, "usd", "month")
PRICES = (PRO_MONTHLY, PRO_YEARLY, TEAM_MONTHLY, OLD_PRO, EARLY_BIRD)
_MONTHLY = (PRO_MONTHLY,) * 12 + (TEAM_MONTHLY,) * 5 + (OLD_PRO, EARLY_BIRD)

_PACKAGES = (("starter", 1_000_000, 900), ("growth", 5_000_000, 3900), ("pro", 20_000_000, 12900))
_LOWER = bytes(b"abcdefghijklmnopqrstuvwxyz0123456789"[value % 36] for value in range(256))  # tables for bytes.translate
_MIXED = bytes(b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value % 62] for value in range(256))


@dataclass(frozen=True, slots=True)
class _Story:
    """A kind of customer: how their newest contract stands. Ages are seconds before `now` at which it can have begun."""

    weight: int
    status: str
    prices: tuple[Price, ...] = _MONTHLY
    youngest: int = HOUR
    oldest: int = SPAN - 120 * DAY
    trial: bool | None = False  # None: some had one
    cancelling: bool = False


_STORIES = (
    _Story(440, "active", trial=None),
    _Story(120, "active", (PRO_YEARLY,)),
    _Story(80, "trialing", oldest=TRIAL - HOUR, trial=True),
    _Story(60, "past_due", youngest=31 * DAY),
    _Story(100, "canceled", youngest=2 * DAY),
    _Story(30, "unpaid", youngest=61 * DAY),
    _Story(20, "incomplete", oldest=INCOMPLETE_LASTS - HOUR),
    _Story(20, "incomplete_expired", youngest=2 * DAY),
    _Story(20, "paused", youngest=TRIAL + HOUR, oldest=TRIAL + 29 * DAY, trial=True),
    _Story(60, "active", cancelling=True),
    _Story(50, ""),  # a customer who never finished a checkout
)
_WEIGHTS = tuple(accumulate(story.weight for story in _STORIES))
_LAST_BILL = {"past_due": "open", "unpaid": "open", "incomplete": "open", "incomplete_expired": "void"}


def build(users: int, seed: int, now: int) -> Population:
    """`users` people as they are at `now` (epoch seconds, at least three years after 1970), the same for the same arguments."""
    collecting = gc.isenabled()
    gc.disable()  # half of the time of a large population otherwise, and nothing here makes a cycle
    try:
        people = tuple(_person(Random(seed << 40 | number), number, now) for number in range(users))
    finally:
        if collecting:
            gc.enable()
    return Population(seed, now, PRICES, people)


def _person(rng: Random, number: int, now: int) -> Person:
    """One person; `number` makes the e-mail address unique."""
    kind = rng.random()
    named, mailed = 0.10 <= kind < 0.55, kind >= 0.10
    name = _name(rng)
    pays = rng.random() < (0.63 if mailed else 0.30)
    contracts, age = _history(rng, now) if pays else ((), _age(rng, HOUR, SPAN))
    return Person(
        uuid=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        did="did:privy:c" + _letters(rng, 24, _LOWER),
        created=now - age,
        name=name if named else None,
        email=_email(rng, name, number) if mailed else None,
        email_verified=mailed and (named or rng.random() >= 0.02),
        google=named,
        wallet=_wallet(rng) if not mailed or rng.random() < 0.15 else None,
        avatar=f"https://images.example.com/avatars/{number}.png" if named and rng.random() < 0.2 else None,
        customer="cus_" + _letters(rng, 14, _MIXED) if pays else None,
        contracts=contracts,
        top_ups=_top_ups(rng, contracts, now),
    )


def _history(rng: Random, now: int) -> tuple[tuple[Contract, ...], int]:
    """A customer's contracts, oldest first, and the age of their account in seconds."""
    story = _STORIES[bisect(_WEIGHTS, rng.random() * _WEIGHTS[-1])]
    age = _age(rng, story.youngest, story.oldest)
    if not story.status:
        return (), age
    current = _current(rng, story, now - age, now)
    account = age + _age(rng, HOUR // 4, SPAN - age)
    extra = rng.random()
    if extra < 0.08:
        account = age + _age(rng, 90 * DAY, SPAN - age)
        return (_ended(rng, now - account + HOUR, current.created - DAY), current), account
    if extra < 0.10 and story.status == "active" and age > 4 * DAY:
        created = now - rng.randrange(2 * DAY, age - DAY)
        lapsed = _contract(rng, "incomplete_expired", rng.choice(_MONTHLY), created, created + INCOMPLETE_LASTS)
        return (current, lapsed), account
    return (current,), account


def _current(rng: Random, story: _Story, created: int, now: int) -> Contract:
    trial = TRIAL if story.trial or (story.trial is None and rng.random() < 0.3) else 0
    price = rng.choice(story.prices)
    match story.status:
        case "canceled":
            return _ended(rng, created, now, price)
        case "incomplete_expired":
            return _contract(rng, story.status, price, created, created + INCOMPLETE_LASTS)
        case "active" if trial and created + trial > now:
            trial = 0  # still inside it, the contract would be trialing
    return _contract(rng, story.status, price, created, now, trial=trial, cancelling=story.cancelling)


def _ended(rng: Random, created: int, latest: int, price: Price | None = None) -> Contract:
    """A canceled contract that began at `created` and ended at `latest` or before."""
    return _contract(rng, "canceled", price or rng.choice(_MONTHLY), created, rng.randrange(created + HOUR, latest))


def _contract(rng: Random, status: str, price: Price, created: int, until: int, *, trial: int = 0, cancelling: bool = False) -> Contract:
    """A contract as it stands at `until`: now for a living one, its end for one that has ended."""
    tail = _letters(rng, 22, _MIXED)
    length, paying = PERIOD[price.interval], created + trial
    starts = [created] if trial else []
    starts += range(paying, until + 1, length)
    period_end = paying if starts[-1] < paying else starts[-1] + length
    billed = starts[:1] if status == "paused" else starts
    return Contract(
        id=f"sub_1{tail}",
        item=f"si_{tail[:14]}",
        price=price.id,
        status=status,
        created=created,
        period_start=starts[-1],
        period_end=period_end,
        trial_end=paying if trial else None,
        cancel_at_period_end=cancelling,
        ended=until if status in ("canceled", "incomplete_expired") else None,
        invoices=_bills(tail, billed, status, 0 if trial else price.amount, price.amount),
    )


def _bills(tail: str, starts: list[int], status: str, first_amount: int, amount: int) -> tuple[Bill, ...]:
    """One bill at the start of each period, the newest `KEPT_BILLS` of them."""
    last = len(starts) - 1
    return tuple(
        Bill(
            id=f"in_1{tail[:20]}{number:02}",
            created=starts[number],
            reason="subscription_cycle" if number else "subscription_create",
            status=_LAST_BILL.get(status, "paid") if number == last else "paid",
            amount=amount if number else first_amount,
        )
        for number in range(max(0, last + 1 - KEPT_BILLS), last + 1)
    )


def _top_ups(rng: Random, contracts: tuple[Contract, ...], now: int) -> tuple[TopUp, ...]:
    """Tokens bought beside a contract, by one payer in eight, oldest first."""
    if not contracts or not any(bill.status == "paid" for bill in contracts[0].invoices) or rng.random() >= 0.12:
        return ()
    moments = sorted(rng.randrange(contracts[0].created, now) for _ in range(rng.choice((1, 1, 2, 3))))
    chosen = [(moment, *rng.choice(_PACKAGES)) for moment in moments]
    return tuple(TopUp(f"cs_test_a1{_letters(rng, 56, _MIXED)}", moment, tokens, amount, name) for moment, name, tokens, amount in chosen)


def _age(rng: Random, youngest: int, oldest: int) -> int:
    """Seconds between the two, more often few than many: a service that grows has more new customers than old ones."""
    return youngest + int((oldest - youngest) * rng.random() ** 1.5)


def _name(rng: Random) -> str:
    return rng.choice(UNUSUAL) if rng.random() < 0.08 else f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"


def _email(rng: Random, name: str, number: int) -> str:
    """An address that looks like the name where the name is plain ASCII; mailboxes differ by `number`."""
    letters = "".join(letter for letter in name.lower().replace(" ", ".") if letter.isascii() and (letter.isalnum() or letter in ".-"))
    return f"{letters.strip('.-').replace('..', '.') or 'user'}{number}@{rng.choice(MAIL_DOMAINS)}"


def _wallet(rng: Random) -> str:
    return f"0x{rng.getrandbits(160):040x}"


def _letters(rng: Random, length: int, table: bytes) -> str:
    return rng.randbytes(length).translate(table).decode("ascii")
