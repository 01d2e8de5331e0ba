"""What happens to subscriptions, invoices and checkout sessions, at once or when their time comes; every change makes its event."""

import heapq
from collections.abc import Sequence
from dataclasses import replace

from aura_cli.sandbox.stripe.clock import period_after
from aura_cli.sandbox.stripe.errors import ApiError, invalid_parameter
from aura_cli.sandbox.stripe.records import NOTHING, Customer, Invoice, Item, Line, Metadata, Price, Session, Subscription
from aura_cli.sandbox.stripe.state import StripeState, require

DAY = 86_400
INCOMPLETE_FOR = 23 * 3600  # then Stripe expires the first payment
TRIAL_WARNING = 3 * DAY
RETRIES = (3 * DAY, 5 * DAY, 7 * DAY)  # after each failed payment of a renewal; then it stays open
BILLED = ("active", "trialing", "past_due", "unpaid")
ENDED = ("canceled", "incomplete_expired")


def subscribe(
    state: StripeState,
    customer: str,
    wanted: Sequence[tuple[str, int]],
    *,
    trial_end: int | None = None,
    at_trial_end: str = "create_invoice",
    incomplete: bool = False,
    metadata: Metadata = NOTHING,
) -> Subscription:
    """Start a subscription to (price, quantity) pairs.

    Its first invoice is paid at once, unless the card is declined or `incomplete` asks to wait.
    """
    now = state.now()
    prices = [(recurring_price(state, price), quantity) for price, quantity in wanted]
    first = prices[0][0]
    end = trial_end or period_after(now, now, first.interval or "month", first.interval_count)
    items = tuple(Item(state.mint.new("si"), now, price.id, now, end, quantity) for price, quantity in prices)
    waits = trial_end is None and (incomplete or _cannot_pay(state, customer))
    status = "trialing" if trial_end else "incomplete" if waits else "active"
    trial_start = now if trial_end else None
    subscription = Subscription(
        state.mint.new("sub"),
        now,
        customer,
        status,
        items,
        first.currency,
        trial_end or now,
        trial_start=trial_start,
        trial_end=trial_end,
        at_trial_end=at_trial_end,
        metadata=metadata,
    )
    invoice = bill(state, subscription, "subscription_create", now, free=trial_end is not None)
    subscription = state.subscriptions.put(replace(subscription, latest_invoice=invoice.id))
    state.emit("customer.subscription.created", subscription)
    if not waits:
        pay(state, invoice, now)
    elif _cannot_pay(state, customer):
        state.emit("invoice.payment_failed", invoice)
    schedule(state, subscription)
    return subscription


def recurring_price(state: StripeState, identifier: str) -> Price:
    price = require(state.prices, identifier, "items[0][price]", status=400)
    if price.interval is None:
        message = f"The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`: {identifier}"
        raise invalid_parameter("items[0][price]", message)
    return price


def bill(state: StripeState, subscription: Subscription, reason: str, at: int, *, free: bool = False) -> Invoice:
    """An open invoice over the current period of the subscription's items."""
    lines = tuple(
        Line(item.price, item.quantity, 0 if free else item.quantity * require(state.prices, item.price).amount, item.id)
        for item in subscription.items
    )
    earlier = sum(1 for _ in state.invoices.select({"customer": [subscription.customer]}))
    invoice = Invoice(
        state.mint.new("in"),
        at,
        subscription.customer,
        subscription.id,
        "open",
        reason,
        subscription.currency,
        lines,
        sum(line.amount for line in lines),
        earlier + 1,
        subscription.items[0].period_start,
        subscription.items[0].period_end,
    )
    state.invoices.put(invoice)
    state.emit("invoice.created", invoice, at=at)
    state.emit("invoice.finalized", invoice, at=at)
    return invoice


def pay(state: StripeState, invoice: Invoice, at: int) -> Invoice:
    """The invoice is paid; a subscription that waited for it becomes active."""
    paid = state.invoices.put(replace(invoice, status="paid", paid_at=at, next_attempt=None))
    state.emit("invoice.paid", paid, before=invoice, at=at)
    state.emit("invoice.payment_succeeded", paid, at=at)
    subscription = state.subscriptions.get(invoice.subscription or "")
    if (
        subscription is not None
        and subscription.latest_invoice == invoice.id
        and subscription.status in ("incomplete", "past_due", "unpaid")
    ):
        change(state, subscription, replace(subscription, status="active"), at)
    return paid


def change(state: StripeState, before: Subscription, after: Subscription, at: int | None = None) -> Subscription:
    """Store a changed subscription, tell of it, and plan what comes next."""
    if after == before:
        return before
    state.subscriptions.put(after)
    state.emit("customer.subscription.updated", after, before=before, at=at)
    schedule(state, after)
    return after


def cancel(state: StripeState, subscription: Subscription, at: int, *, reason: str = "cancellation_requested") -> Subscription:
    """End a subscription now; one that was asked to end keeps the moment it was asked at."""
    ended = replace(subscription, status="canceled", canceled_at=subscription.canceled_at or at, ended_at=at, cancellation=reason)
    state.subscriptions.put(ended)
    state.emit("customer.subscription.deleted", ended, at=at)
    return ended


def pay_now(state: StripeState, invoice: Invoice) -> Invoice:
    """Try to pay an open invoice. Raises ApiError 402 when the customer's card is declined."""
    if invoice.status != "open":
        raise ApiError(400, "Invoice is already paid" if invoice.status == "paid" else f"Invoice is {invoice.status}")
    if _cannot_pay(state, invoice.customer):
        tried = state.invoices.put(replace(invoice, attempts=invoice.attempts + 1))
        state.emit("invoice.payment_failed", tried, before=invoice)
        raise ApiError(402, "Your card was declined.", code="card_declined", kind="card_error")
    return pay(state, invoice, state.now())


def _cannot_pay(state: StripeState, customer: str) -> bool:
    return customer in state.declining or customer in state.cardless


def next_moment(state: StripeState, subscription: Subscription) -> int | None:
    """When something happens to the subscription by itself."""
    if subscription.status == "incomplete":
        return subscription.created + INCOMPLETE_FOR
    if subscription.status not in BILLED or not subscription.items:
        return None
    moments = (subscription.items[0].period_end, subscription.cancel_at, _warning(state, subscription))
    return min(moment for moment in moments if moment is not None)


def _warning(state: StripeState, subscription: Subscription) -> int | None:
    """When the customer is to be told that the trial ends: three days before, or when a shorter one begins."""
    end = subscription.trial_end
    if subscription.status != "trialing" or end is None or (subscription.id, end) in state.warned:
        return None
    return max(end - TRIAL_WARNING, subscription.trial_start or subscription.created)


def _warn(state: StripeState, subscription: Subscription, at: int) -> None:
    state.warned.add((subscription.id, subscription.trial_end or at))
    state.emit("customer.subscription.trial_will_end", subscription, at=at)


def schedule(state: StripeState, subscription: Subscription) -> None:
    """Plan what happens to the subscription next; a warning that is due already is given at once."""
    warning = _warning(state, subscription)
    if warning is not None and warning <= state.now():
        _warn(state, subscription, warning)
    moment = next_moment(state, subscription)
    if moment is not None:
        heapq.heappush(state.due, (moment, subscription.id))


def settle(state: StripeState, until: int) -> int:
    """Let everything that is due up to `until` happen, in order of time; how many things did."""
    happened = 0
    while state.due and state.due[0][0] <= until:
        moment, identifier = heapq.heappop(state.due)
        session = state.sessions.get(identifier)
        if session is not None:
            happened += _expire(state, session, moment)
            continue
        invoice = state.invoices.get(identifier)
        if invoice is not None:
            happened += _retry(state, invoice, moment)
            continue
        subscription = state.subscriptions.get(identifier)
        if subscription is not None and next_moment(state, subscription) == moment:  # otherwise it has changed since it was planned
            turn(state, subscription, moment)
            happened += 1
    return happened


def turn(state: StripeState, subscription: Subscription, at: int) -> None:
    """What was planned for the subscription happens: its trial is about to end, it expires, ends, pauses or renews."""
    if _warning(state, subscription) == at:
        _warn(state, subscription, at)
        schedule(state, subscription)
    elif subscription.status == "incomplete":
        change(state, subscription, replace(subscription, status="incomplete_expired", ended_at=at), at)
    elif subscription.cancel_at is not None and subscription.cancel_at <= at:
        cancel(state, subscription, at)
    elif subscription.status == "trialing" and subscription.customer in state.cardless and subscription.at_trial_end != "create_invoice":
        if subscription.at_trial_end == "pause":
            pause(state, subscription, at)
        else:
            cancel(state, subscription, at, reason="payment_failed")
    else:
        _renew(state, subscription, at)


def _renew(state: StripeState, subscription: Subscription, at: int) -> None:
    """A new period, its invoice, and the status that follows from whether it was paid; a trial ends here too."""
    price = require(state.prices, subscription.items[0].price)
    end = period_after(subscription.anchor, at, price.interval or "month", price.interval_count)
    items = tuple(replace(item, period_start=at, period_end=end) for item in subscription.items)
    moved = replace(subscription, items=items)
    invoice = bill(state, moved, "subscription_cycle", at)
    declined = _cannot_pay(state, subscription.customer)
    status = "unpaid" if subscription.status == "unpaid" else "past_due" if declined else "active"
    change(state, subscription, replace(moved, status=status, latest_invoice=invoice.id), at)
    if declined or status == "unpaid":
        _fail(state, invoice, invoice.attempts, at)
    else:
        pay(state, invoice, at)


def _fail(state: StripeState, invoice: Invoice, attempts: int, at: int) -> None:
    """The payment did not go through for the `attempts`th time; it is tried again later, a few times."""
    again = at + RETRIES[attempts - 1] if attempts <= len(RETRIES) else None
    failed = state.invoices.put(replace(invoice, attempts=attempts, next_attempt=again))
    state.emit("invoice.payment_failed", failed, at=at)
    if again is not None:
        heapq.heappush(state.due, (again, invoice.id))


def _retry(state: StripeState, invoice: Invoice, at: int) -> int:
    """The planned next try of an open invoice, unless it was paid or its subscription ended meanwhile; how many things happened."""
    subscription = state.subscriptions.get(invoice.subscription or "")
    if invoice.status != "open" or invoice.next_attempt != at or subscription is None or subscription.status not in BILLED:
        return 0
    if _cannot_pay(state, invoice.customer):
        _fail(state, invoice, invoice.attempts + 1, at)
    else:
        pay(state, replace(invoice, attempts=invoice.attempts + 1), at)
    return 1


def pause(state: StripeState, subscription: Subscription, at: int) -> Subscription:
    """No more periods and invoices until it is resumed."""
    paused = change(state, subscription, replace(subscription, status="paused"), at)
    state.emit("customer.subscription.paused", paused, at=at)
    return paused


def resume(state: StripeState, subscription: Subscription, *, keep_anchor: bool = False) -> Subscription:
    """Go on, with a new period that is billed now; with `keep_anchor` the old one is carried on while it lasts.

    Active if that is paid, else past due (https://docs.stripe.com/api/subscriptions/resume).
    """
    now = state.now()
    if keep_anchor and subscription.items[0].period_end > now:
        resumed = change(state, subscription, replace(subscription, status="active"))
        state.emit("customer.subscription.resumed", resumed)
        return resumed
    price = require(state.prices, subscription.items[0].price)
    anchor = subscription.anchor if keep_anchor else now
    end = period_after(anchor, now, price.interval or "month", price.interval_count)
    items = tuple(replace(item, period_start=now, period_end=end) for item in subscription.items)
    moved = replace(subscription, items=items, anchor=anchor)
    invoice = bill(state, moved, "subscription_update", now)
    declined = _cannot_pay(state, subscription.customer)
    resumed = change(state, subscription, replace(moved, status="past_due" if declined else "active", latest_invoice=invoice.id))
    state.emit("customer.subscription.resumed", resumed)
    if declined:
        _fail(state, invoice, invoice.attempts, now)
    else:
        pay(state, invoice, now)
    return resumed


def _expire(state: StripeState, session: Session, at: int) -> int:
    if session.status != "open":
        return 0
    state.emit("checkout.session.expired", state.sessions.put(replace(session, status="expired")), at=at)
    return 1


def complete(state: StripeState, session: Session, *, paid: bool = True) -> Session:
    """The customer has filled in the checkout page and paid, or in payment mode chosen a bank that takes its time (`paid` False)."""
    if session.status != "open" or not (paid or session.mode == "payment"):
        raise ApiError(400, f"This Checkout Session is {session.status} and in {session.mode} mode")
    customer, subscription = session.customer, None
    if session.mode == "subscription":
        if customer is None:
            created = state.customers.put(Customer(state.mint.new("cus"), state.now(), email=session.email))
            state.emit("customer.created", created)
            customer = created.id
        trial_end = state.now() + session.trial_days * DAY if session.trial_days else None
        wanted = [(line.price, line.quantity) for line in session.lines]
        subscription = subscribe(state, customer, wanted, trial_end=trial_end, metadata=session.subscription_metadata)
    done = replace(
        session,
        status="complete",
        payment_status="paid" if paid else "unpaid",
        customer=customer,
        payment_intent=state.mint.new("pi") if subscription is None else None,
        subscription=subscription.id if subscription else None,
        invoice=subscription.latest_invoice if subscription else None,
    )
    state.emit("checkout.session.completed", state.sessions.put(done))
    return done


def clear(state: StripeState, session: Session, *, succeeded: bool = True) -> Session:
    """The bank that took its time has paid a completed session, or refused to."""
    if session.status != "complete" or session.payment_status != "unpaid":
        raise ApiError(400, f"This Checkout Session is {session.status} and {session.payment_status}")
    cleared = state.sessions.put(replace(session, payment_status="paid") if succeeded else session)
    state.emit(f"checkout.session.async_payment_{'succeeded' if succeeded else 'failed'}", cleared)
    return cleared
