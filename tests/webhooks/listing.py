"""Stripe's list of events in the hands of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aura_cli.sandbox.credentials import Addresses, environment
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.stripe import records
from aura_cli.settings import Settings
from aura_cli.subscriptions.stripe import service
from aura_cli.transport import Service
from tests.parts.books import NOW, population
from tests.parts.stripe import StandIn, stand_in


def happen(stripe: StandIn, *moments: int, kind: str = "invoice.paid") -> list[str]:
    """Events of a type at these moments (epoch seconds); their ids."""
    made = []
    for moment in moments:
        name = f"{len(stripe.state.events):06}"
        invoice = records.Invoice(
            f"in_{name}", moment, "cus_Ada", "sub_Ada", "paid", "subscription_cycle", "usd", (), 2900, 1, moment, moment
        )
        event = records.Event(f"evt_{name}", moment, kind, invoice, None, stripe.state.api_version)
        stripe.state.events.put(event)
        made.append(event.id)
    return made


@contextmanager
def listing(home: Path, faults: Faults | None = None) -> Iterator[tuple[StandIn, Service]]:
    """A Stripe where nothing happened yet, and our way to ask it."""
    with stand_in(population(), faults) as stripe:
        variables = environment(Addresses(stripe.base, stripe.base), home, f"sqlite:///{home}/aura.db")
        with service(Settings.load(variables, home)) as asked:
            yield stripe, asked


__all__ = ["NOW", "happen", "listing"]
