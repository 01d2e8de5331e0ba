"""A stateful stand-in of Stripe, in memory: `make_app(state)` serves it, `seed(state, population)` fills it."""

from aura_cli.sandbox.stripe.app import make_app
from aura_cli.sandbox.stripe.limits import LIMITS, RateLimit
from aura_cli.sandbox.stripe.seed import seed
from aura_cli.sandbox.stripe.state import API_VERSION, StripeState

__all__ = ["API_VERSION", "LIMITS", "RateLimit", "StripeState", "make_app", "seed"]
