"""A population's people, contracts and top-ups as objects of Stripe."""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aura_cli.sandbox.population import Contract, Person, Population, TopUp
from aura_cli.sandbox.stripe import records
from aura_cli.sandbox.stripe.billing import DAY, schedule
from aura_cli.sandbox.stripe.routes.events import KEPT
from aura_cli.sandbox.stripe.state import StripeState

TOKENS_PRODUCT = "prod_sandboxTokens"
FAILING = ("past_due", "unpaid", "incomplete")  # nobody is there with a card that works
TOLD_OF = {"paid": "invoice.paid", "open": "invoice.payment_failed", "void": "invoice.voided"}
PRICES_SINCE = 1_700_000_000  # before everybody


@dataclass
class _Heap:
    """Records of each kind, before they are sorted into the state at once."""

    customers: list[records.Customer] = field(default_factory=list)
    subscriptions: list[records.Subscription] = field(default_factory=list)
    invoices: list[records.Invoice] = field(default_factory=list)
    sessions: list[records.Session] = field(default_factory=list)


def seed(state: StripeState, population: Population) -> None:
    """Fill the state; events of the last 30 days are made for what began in them."""
    collecting = gc.isenabled()
    gc.disable()  # a third of the time of a large population otherwise, and nothing here makes a cycle
    try:
        _fill(state, population)
    finally:
        if collecting:
            gc.enable()


def _fill(state: StripeState, population: Population) -> None:
    amounts = {price.id: price for price in population.prices}
    currency = population.prices[0].currency if population.prices else "usd"
    state.products.load(_products(population))
    state.prices.load(
        records.Price(price.id, PRICES_SINCE, price.product, price.amount, price.currency, price.interval, nickname=price.nickname)
        for price in population.prices
    )
    packages: dict[str, records.Price] = {}
    heap = _Heap()
    for person in population.people:
        if person.customer is None:
            continue
        heap.customers.append(_customer(person, person.customer))
        for contract in person.contracts:
            price = amounts.get(contract.price)
            if contract.status in FAILING:
                state.declining.add(person.customer)
            _add_contract(heap, person.customer, contract, price.currency if price else currency)
        for top_up in person.top_ups:
            package = packages.setdefault(top_up.package, _package(top_up, currency))
            heap.sessions.append(_session(state, person, top_up, package))
    state.products.load([records.Product(TOKENS_PRODUCT, PRICES_SINCE, "Tokens")] if packages else [])
    state.prices.load(packages.values())
    state.customers.load(heap.customers)
    state.subscriptions.load(heap.subscriptions)
    state.invoices.load(heap.invoices)
    state.sessions.load(heap.sessions)
    state.events.load(_events(state, heap, population.now - KEPT))
    for subscription in heap.subscriptions:
        schedule(state, subscription)


def _products(population: Population) -> Iterable[records.Product]:
    names = {price.product: price.nickname for price in reversed(population.prices)}
    return [records.Product(identifier, PRICES_SINCE, name) for identifier, name in names.items()]


def _package(top_up: TopUp, currency: str) -> records.Price:
    return records.Price(
        f"price_sandboxTokens{top_up.package.capitalize()}", PRICES_SINCE, TOKENS_PRODUCT, top_up.amount, currency, nickname=top_up.package
    )


def _customer(person: Person, identifier: str) -> records.Customer:
    """A customer comes to be with the first thing bought."""
    bought = [contract.created for contract in person.contracts] + [top_up.created for top_up in person.top_ups]
    metadata = {"userId": person.uuid, "privyUserId": person.did}
    return records.Customer(identifier, min(bought, default=person.created), person.email, person.name, metadata=metadata)


def _add_contract(heap: _Heap, customer: str, contract: Contract, currency: str) -> None:
    item = records.Item(contract.item, contract.created, contract.price, contract.period_start, contract.period_end)
    asked = contract.ended if contract.status == "canceled" else None
    if contract.ended is None and contract.cancel_at_period_end:
        asked = contract.period_start + (contract.period_end - contract.period_start) // 4
    heap.subscriptions.append(
        records.Subscription(
            contract.id,
            contract.created,
            customer,
            contract.status,
            (item,),
            currency,
            contract.period_end,  # a population's months have 30 days; from here on they are the calendar's
            latest_invoice=contract.invoices[-1].id if contract.invoices else None,
            trial_start=contract.created if contract.trial_end else None,
            trial_end=contract.trial_end,
            cancel_at_period_end=contract.cancel_at_period_end,
            cancel_at=contract.period_end if contract.cancel_at_period_end else None,
            canceled_at=asked,
            ended_at=contract.ended,
            cancellation="cancellation_requested" if asked else None,
        )
    )
    ends = [following.created for following in contract.invoices[1:]] + [contract.period_end]
    earlier = sum(1 for invoice in reversed(heap.invoices[-60:]) if invoice.customer == customer)
    for sequence, (number, end) in enumerate(zip(contract.invoices, ends, strict=False), start=earlier + 1):
        line = records.Line(contract.price, 1, number.amount, contract.item)
        paid_at = number.created if number.status == "paid" else None
        attempts = 1 if paid_at else 2
        what = (number.id, number.created, customer, contract.id, number.status, number.reason, currency, (line,), number.amount)
        heap.invoices.append(records.Invoice(*what, sequence, number.created, end, paid_at, attempts))


def _session(state: StripeState, person: Person, top_up: TopUp, package: records.Price) -> records.Session:
    metadata = {"type": "token_topup", "tokens": str(top_up.tokens), "user_id": person.uuid, "package_id": top_up.package}
    return records.Session(
        top_up.session,
        top_up.created,
        "payment",
        "complete",
        "paid",
        person.customer,
        person.email,
        package.currency,
        top_up.amount,
        (records.Line(package.id, 1, top_up.amount),),
        top_up.created + DAY,
        success_url="http://localhost:3000/dashboard",
        payment_intent=f"pi_{top_up.session[-24:]}",
        metadata=metadata,
    )


def _events(state: StripeState, heap: _Heap, since: int) -> Iterator[records.Event]:
    """What was told of in the last days, as far as the objects still show it: oldest first within each kind."""
    told: list[tuple[int, str, records.Record]] = []
    told += [(customer.created, "customer.created", customer) for customer in heap.customers if customer.created >= since]
    for subscription in heap.subscriptions:
        if subscription.created >= since:
            told.append((subscription.created, "customer.subscription.created", subscription))
        elif subscription.items[0].period_start >= since:
            told.append((subscription.items[0].period_start, "customer.subscription.updated", subscription))
        if subscription.ended_at is not None and subscription.ended_at >= since:
            told.append((subscription.ended_at, "customer.subscription.deleted", subscription))
    for invoice in heap.invoices:
        if invoice.created >= since:
            told.append((invoice.created, TOLD_OF[invoice.status], invoice))
    told += [(session.created, "checkout.session.completed", session) for session in heap.sessions if session.created >= since]
    told.sort(key=lambda entry: entry[0])
    for moment, kind, subject in told:
        yield records.Event(state.mint.new("evt"), moment, kind, subject, None, state.api_version)
