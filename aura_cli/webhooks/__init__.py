"""Stripe's webhooks: received, stored once, handled. `make_app` and `Handlers` are for programs that embed the listener."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aura_cli.webhooks.handling import Handlers
    from aura_cli.webhooks.listener import make_app

__all__ = ["Handlers", "make_app"]


def __getattr__(name: str) -> Any:
    """Import on demand: who wants a signature checked need not load a web server."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"aura_cli.webhooks.{'listener' if name == 'make_app' else 'handling'}"), name)
