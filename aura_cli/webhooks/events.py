"""The events that are handled, by their types at Stripe (https://docs.stripe.com/api/events/types)."""

HANDLED = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.deleted",
    "invoice.paid",
    "invoice.payment_failed",
)
REFUNDED = "charge.refunded"  # handled where payments are counted (aura_cli.analytics)


def handled(*, counts: bool) -> tuple[str, ...]:
    """The types that are handled; `counts`: payments are counted, and refunds with them."""
    return (*HANDLED, REFUNDED) if counts else HANDLED
