"""Purchases and refunds on their way to Google Analytics: asked for in the outbox inside a change's transaction, delivered after it."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from sqlalchemy import Engine

from aura_cli.analytics.collecting import Collector, client_id, is_configured, request_body
from aura_cli.analytics.rules import problems
from aura_cli.db.engine import writing
from aura_cli.errors import AuraError
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Outcome
from aura_cli.outbox.queue import Effect
from aura_cli.settings import Settings

KIND = "analytics"  # of effects in the outbox
OLDEST = 72 * 3600  # seconds: Google puts what is older at another time than it was
Wanted = tuple[str, dict[str, Any]]  # an effect's key and payload


@dataclass(frozen=True)
class Money:
    """An amount that a user paid, or got back, at `at` (epoch seconds); `value` in the currency's usual unit (9.99, not 999)."""

    user_id: str
    transaction: str
    value: float
    currency: str
    at: int


def purchase(money: Money, item: str) -> Wanted:
    """A purchase of `item`, once a transaction."""
    items = [{"item_id": item[:100], "price": money.value, "quantity": 1}]
    return f"purchase:{money.transaction}", _payload("purchase", money, {"items": items})


def refund(money: Money, name: str, payment: str | None = None) -> Wanted:
    """A refund of that transaction, once by its `name`. `payment`: that is all that is known of the transaction, maybe an invoice's."""
    return f"refund:{name}", {**_payload("refund", money, {}), "payment": payment}


def _payload(event: str, money: Money, more: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {"transaction_id": money.transaction, "value": money.value, "currency": money.currency.upper(), **more}
    return {"event": event, "user_id": money.user_id, "at": money.at, "params": parameters}


@dataclass(eq=False)
class Counting:
    """Delivers to Google Analytics. Google counts a purchase that comes twice once, by its transaction, and a refund twice.

    `invoice_of` gives the invoice that a payment paid, if it paid one; it raises AuraError where that cannot be known now.
    """

    engine: Engine
    settings: Settings
    invoice_of: Callable[[str], str | None] = lambda payment: None
    clock: Callable[[], float] = time.time  # epoch seconds
    kind: ClassVar[str] = KIND
    most: ClassVar[int] = 1  # Stripe may keep one waiting for most of a claim's time
    to: ClassVar[str] = "Google Analytics"
    _collector: Collector | None = None

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> Self | None:
        """As configured; None where nothing is to be counted. Raises ConfigurationError where it cannot be as it is set."""
        if not is_configured(settings):
            return None
        Collector.of(settings)
        return cls(engine, settings)

    def opened(self) -> AbstractContextManager[object]:
        self._collector = Collector.of(self.settings)
        return self._collector

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        for effect in effects:
            if stop.is_set():
                return
            if outcome := self._send(effect):
                yield outcome

    def _send(self, effect: Effect) -> Outcome | None:
        """None where the claim was lost before anything was sent: somebody else goes on with it."""
        assert self._collector is not None, "opened() comes first"
        asked = effect.payload
        if asked["at"] < self.clock() - OLDEST:
            return Outcome(effect, "Google takes nothing that is older than 72 hours", final=True)
        at = datetime.fromtimestamp(asked["at"], UTC)
        try:
            invoice = self.invoice_of(asked["payment"]) if asked.get("payment") else None
            parameters = {**asked["params"], "transaction_id": invoice or asked["params"]["transaction_id"]}
            body = request_body(client_id(asked["user_id"]), asked["event"], parameters, at)
            if wrong := next(problems(body), None):
                return Outcome(effect, f"{wrong.path}: {wrong.what}", final=True)
            if not self._still_held(effect):
                return None
            self._collector.send(body)
        except AuraError as error:
            return Outcome(effect, error.message)
        return Outcome(effect)

    def _still_held(self, effect: Effect) -> bool:
        with writing(self.engine) as connection:
            return queue.still_held(connection, effect)
