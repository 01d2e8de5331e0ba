"""Every endpoint of the stand-in, one module a resource."""

from aura_cli.sandbox.stripe.routes import catalogue, checkout, customers, events, invoices, sandbox, subscriptions
from aura_cli.sandbox.stripe.routes.routing import Route

ROUTES: tuple[Route, ...] = (
    *customers.ROUTES,
    *catalogue.ROUTES,
    *subscriptions.ROUTES,
    *invoices.ROUTES,
    *checkout.ROUTES,
    *events.ROUTES,
    *sandbox.ROUTES,
)
