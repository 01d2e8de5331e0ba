"""Stripe's webhooks: received, stored once, handled.

For programs that embed it: `make_app` is the listener as an aiohttp application, `Handlers` takes functions for more types of events,
which get a connection and a `Delivered`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aura_cli.webhooks.batch import Delivered, Handlers
    from aura_cli.webhooks.listener import make_app

__all__ = ["Delivered", "Handlers", "make_app"]

_PLACES = {"Delivered": "batch", "Handlers": "batch", "make_app": "listener"}


def __getattr__(name: str) -> Any:
    """Imported on demand: who wants a signature checked need not load a web server."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
