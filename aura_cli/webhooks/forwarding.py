"""Events that go on to the web app: carried out of the outbox, signed anew with the secret that it verifies with.

Whatever the web app answers but 2xx is tried again for a day: one that is being deployed may say 404, one with another secret 400, and
servers that nobody stops cost money. Of an event that comes twice it tells the repetition by the event's id, as it does with Stripe's own.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Self

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.outbox.carrying import Outcome
from aura_cli.outbox.queue import Effect
from aura_cli.settings import Settings, leads_here
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.sending import Target, web_address
from aura_cli.webhooks.signature import WEB, secrets_of
from aura_cli.webhooks.tables import webhook_events

SETTING = "AURA_FORWARD_URL"


@dataclass(eq=False)
class Forwarding:
    """Delivers the events that are to go on to `target`."""

    engine: Engine
    target: Target
    kind: ClassVar[str] = FORWARD
    most: ClassVar[int] = 1

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> Self | None:
        """As configured; None where nothing is to be forwarded. Raises ConfigurationError where it cannot be as it is set."""
        url = settings.get(SETTING)
        if url is None:
            return None
        try:
            web_address(url)
        except UsageError as error:
            raise ConfigurationError(f"{SETTING}: {error.message}", error.hint) from error
        target = Target(url, secrets_of(settings).get(WEB, ""))
        if not target.secret:
            raise ConfigurationError(
                f"{SETTING} is set, and STRIPE_WEBHOOK_SECRET is not", "Forwarded events are signed with it, as the web app expects them"
            )
        if not url.startswith("https:") and not leads_here(url):
            raise ConfigurationError(f"{SETTING} is {url}: what tells of customers travels by https", "Only this machine needs none")
        if settings.is_sandbox and not leads_here(url):
            raise ConfigurationError(f"{SETTING} is not on this machine, and this is the sandbox", "Take a server on 127.0.0.1")
        return cls(engine, target)

    @property
    def to(self) -> str:
        return self.target.url

    def opened(self) -> AbstractContextManager[object]:
        return self.target

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        del stop
        for effect in effects:
            yield self._forward(effect)

    def _forward(self, effect: Effect) -> Outcome:
        with reading(self.engine) as connection:
            payload = connection.execute(select(webhook_events.c.payload).where(webhook_events.c.id == effect.payload["event"])).scalar()
        if payload is None:
            return Outcome(effect, "The event is not stored here any more", final=True)
        sent = self.target.deliver(bytes(payload))
        return Outcome(effect, None if sent.taken else f"{sent.status or 'not reached'}: {sent.answer}".rstrip(": "))
