"""What an event asks for beyond its subscription's row: grants, links, effects; decided by the event and by what Stripe says now."""

from dataclasses import dataclass

from sqlalchemy import select

from aura_cli.db.shared import LARGEST, MONTHLY_ALLOCATION
from aura_cli.outbox.queue import enqueue
from aura_cli.subscriptions import customers
from aura_cli.subscriptions.billing_owner import Owner
from aura_cli.subscriptions.booking import Due
from aura_cli.subscriptions.keeping import Facts
from aura_cli.subscriptions.stripe import NEAREST, Customer, time_of
from aura_cli.webhooks.batch import Batch
from aura_cli.webhooks.inbox import Event
from aura_cli.webhooks.subjects import Invoice, Look, Object, Session
from aura_cli.webhooks.tables import webhook_events

FORWARD = "forward"  # a kind of effect in the outbox
FORWARDED = ("customer.subscription.deleted", "invoice.payment_failed")  # on these the web app stops servers


@dataclass(frozen=True)
class Result:
    """How an event ended. `stale`: Stripe says something else by now."""

    event: Event
    look: Look
    state: str = "done"
    note: str | None = None
    stale: bool = False


def act(batch: Batch, look: Look) -> Result:
    """What one event asks for beyond its subscription's row."""
    event = look.event
    if look.found is None and event.type != "customer.deleted":
        return Result(event, look, note="Stripe does not know it any more", stale=True)
    match look.found or look.said:
        case Session() as session:
            return _session(batch, look, session)
        case Customer() as customer:
            return _customer(batch, look, customer)
        case Invoice() as invoice:
            result = _invoice(batch, look, invoice)
        case Facts() as facts:
            result = _subscription(batch, look, facts)
    if batch.surroundings.forwards and not result.stale and event.type in FORWARDED:
        enqueue(batch.connection, FORWARD, event.id, {"event": event.id})
    return result


def _subscription(batch: Batch, look: Look, facts: Facts) -> Result:
    event = look.event
    note = None if facts.status in NEAREST else f"Stripe's status {facts.status!r} is not known to this program: nothing was changed"
    stale = event.id in batch.outdated or look.found != look.said
    if event.type == "customer.subscription.deleted":
        stale = stale and facts.status != "canceled"
    if stale and note is None:
        note = f"Stripe says otherwise by now (it is {facts.status})" if batch.trusting else "Something as young, or younger, is known"
    if (user := batch.users.get(facts.customer)) is None:
        if NEAREST.get(facts.status) == "canceled":
            return Result(event, look, note="Of a customer that nobody here is known by, and ended", stale=stale)
        return _unmatched(look)
    if facts.entitles(batch.now) and batch.reigns.surely(Owner.AURA, facts.created):
        batch.owe("initial", _first_month(facts.id, user, facts.created), event)
    return Result(event, look, note=note, stale=stale)


def _invoice(batch: Batch, look: Look, invoice: Invoice) -> Result:
    event = look.event
    if (invoice.status == "paid") != (event.type == "invoice.paid"):
        return Result(event, look, note=f"The invoice is {invoice.status} by now", stale=True)
    if event.type == "invoice.payment_failed" and not batch.trusting and _paid_since(batch, invoice):
        return Result(event, look, note="The invoice has been paid since", stale=True)
    if (subscription := invoice.subscription_id) is None:
        return Result(event, look, note="Of no subscription")
    if look.customer is None or (user := batch.users.get(look.customer)) is None:
        return _unmatched(look)
    if event.type == "invoice.paid":
        if invoice.billing_reason == "subscription_cycle" and batch.reigns.at(event.created) is Owner.AURA:
            batch.owe("renewal", Due(f"invoice:{invoice.id}", user, MONTHLY_ALLOCATION, time_of(invoice.created)), event)
        begun = look.subscription.created if look.subscription else invoice.created
        if invoice.billing_reason == "subscription_create" and batch.reigns.surely(Owner.AURA, begun):
            batch.owe("initial", _first_month(subscription, user, begun), event)
    return Result(event, look)


def _paid_since(batch: Batch, invoice: Invoice) -> bool:
    """Where Stripe cannot be asked: did the invoice's payment arrive?"""
    e = webhook_events.c
    return batch.connection.execute(select(1).where(e.object == invoice.id, e.type == "invoice.paid")).first() is not None


def buyer(batch: Batch, session: Session) -> str | None:
    """The user (uuid) whom a checkout names itself."""
    metadata = session.metadata or {}
    named = customers.known(batch.connection, (metadata.get("user_id"), metadata.get("userId"), session.client_reference_id))
    return next(iter(named)) if len(named) == 1 else None


def _session(batch: Batch, look: Look, session: Session) -> Result:
    event, metadata = look.event, session.metadata or {}
    subscribed = session.mode == "subscription" and session.subscription_id is not None
    if not subscribed and not session.is_top_up:
        return Result(event, look, note="Not a purchase that grants anything")
    if (user := batch.buyers.get(session.id) or batch.users.get(look.customer or "")) is None:
        return _unmatched(look)
    if session.mode == "subscription" and session.subscription_id:
        facts = look.subscription
        if batch.reigns.at(event.created) is Owner.AURA and (facts is None or facts.entitles(batch.now)):
            batch.owe("initial", _first_month(session.subscription_id, user, facts.created if facts else session.created), event)
        return Result(event, look)
    if not (_is_paid(session) and _is_paid(look.said)):  # what it bought counts from when it was paid
        return Result(event, look, note="It was not paid yet: the event of the payment follows")
    if not session.tokens:
        note = f"It sells {metadata.get('tokens', '')!r} tokens, which cannot be: grant by hand what was bought"
        return Result(event, look, state="dead", note=note)
    if batch.reigns.at(event.created) is Owner.AURA:
        sold = (session.id, min(session.amount_total or 0, LARGEST), metadata.get("package_id"))
        batch.owe("topup", Due(f"session:{session.id}", user, session.tokens, time_of(event.created), *sold), event)
    return Result(event, look)


def _is_paid(said: Object) -> bool:
    return isinstance(said, Session) and said.payment_status == "paid"


def _customer(batch: Batch, look: Look, customer: Customer) -> Result:
    if batch.trusting and look.found is not None and not customer.deleted:
        return Result(look.event, look, note="Stripe still has the customer", stale=True)
    if (user := batch.users.get(customer.id)) is not None:
        batch.changed(look.event.id, "users", user, customers.unlink(batch.connection, customer.id, user, shared=batch.shared))
    return Result(look.event, look)


def _unmatched(look: Look) -> Result:
    return Result(look.event, look, "unmatched", f"Nobody here is known by {look.customer or 'its customer'}")


def _first_month(subscription: str, user: str, created: int) -> Due:
    return Due(f"subscription:{subscription}", user, MONTHLY_ALLOCATION, time_of(created))
