"""Events that go on to the web app: carried out of the outbox, signed anew with the secret that it verifies with.

Whatever the web app answers but 2xx is tried again for a day: one that is being deployed may say 404, one with another secret 400, and
servers that nobody stops cost money. At least once: one that dies between the answer and its note lets the claim run out, and the
event is sent again. The receiver tells a repetition by the event's id, as it does with Stripe's own.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Self

from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import writing
from aura_cli.db.failures import translate
from aura_cli.db.leases import identity
from aura_cli.db.types import among, utc_now
from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.outbox import queue
from aura_cli.outbox.queue import Effect
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings
from aura_cli.webhooks.deeds import FORWARD
from aura_cli.webhooks.sending import Target, is_loopback
from aura_cli.webhooks.signature import WEB, secrets_of
from aura_cli.webhooks.tables import webhook_events

LOG = logging.getLogger("aura_cli.webhooks")
SETTING = "AURA_FORWARD_URL"
IDLE_SECONDS = 1.0
LONGEST_PAUSE = 10.0  # while the database is away
_TOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Forwarded:
    """What became of one event on its way: `state` is done, pending (tried again later) or dead."""

    event: str
    state: str
    error: str | None


@dataclass(eq=False)
class Forwarding:
    """Takes the events that are due to `target`, one at a time. Several may run at once, in threads and on machines."""

    engine: Engine
    target: Target
    owner: str = field(default_factory=identity)
    _told: float = float("-inf")

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> Self | None:
        """As configured; None where nothing is to be forwarded. Raises ConfigurationError where it cannot be as it is set."""
        url = settings.get(SETTING)
        if url is None:
            return None
        try:
            target = Target(url, secrets_of(settings).get(WEB, ""))
            with target:
                pass
        except UsageError as error:
            raise ConfigurationError(f"{SETTING}: {error.message}", error.hint) from error
        if not target.secret:
            raise ConfigurationError(
                f"{SETTING} is set, and STRIPE_WEBHOOK_SECRET is not", "Forwarded events are signed with it, as the web app expects them"
            )
        if not url.startswith("https:") and not is_loopback(url):
            raise ConfigurationError(f"{SETTING} is {url}: what tells of customers travels by https", "Only this machine needs none")
        if settings.is_sandbox and not is_loopback(url):
            raise ConfigurationError(f"{SETTING} is not on this machine, and this is the sandbox", "Take a server on 127.0.0.1")
        return cls(engine, target)

    def once(self, stop: threading.Event | None = None) -> list[Forwarded]:
        """Carry out what is due now, each claimed, sent and settled by itself, until there is nothing or `stop` is set."""
        with self.target:
            return self._all_due(stop or threading.Event())

    def run(self, stop: threading.Event) -> None:
        """Carry out what becomes due, until `stop` is set."""
        pause = IDLE_SECONDS
        with self.target:
            while not stop.is_set():
                try:
                    self._all_due(stop)
                    pause = IDLE_SECONDS
                except Exception as error:  # noqa: BLE001 (whatever happened: it is due again)
                    LOG.warning("Events could not be forwarded, which is tried again: %s", translate(error) or error)
                    pause = min(LONGEST_PAUSE, pause * 2)
                stop.wait(pause)

    def _all_due(self, stop: threading.Event) -> list[Forwarded]:
        done: list[Forwarded] = []
        while not stop.is_set() and (one := self._next()):
            done.append(one)
        return done

    def _next(self) -> Forwarded | None:
        with writing(self.engine) as connection:
            claimed = queue.claim(connection, self.owner, limit=1, kinds=(FORWARD,))
            if not claimed:
                return None
            (effect,) = claimed
            payload = connection.execute(select(webhook_events.c.payload).where(webhook_events.c.id == effect.payload["event"])).scalar()
        if payload is None:
            return self._settle(effect, "The event is not stored here any more", final=True)
        sent = self.target.deliver(bytes(payload))
        if sent.taken:
            return self._settle(effect, None, final=False)
        return self._settle(effect, f"{sent.status or 'not reached'}: {sent.answer}".rstrip(": "), final=False)

    def _settle(self, effect: Effect, error: str | None, *, final: bool) -> Forwarded:
        with writing(self.engine) as connection:
            queue.settle(connection, self.owner, effect, error, final=final)
        dead = final or effect.attempt >= queue.ATTEMPTS
        if error and (dead or monotonic() - self._told > _TOLD_SECONDS):
            self._told = monotonic()
            LOG.warning("%s did not get %s (%s)%s", self.target.url, effect.key, error, "; given up" if dead else "; tried again later")
        return Forwarded(effect.key, "dead" if error and dead else "pending" if error else "done", error)


def revive(connection: Connection, events: Sequence[str]) -> int:
    """Let events be forwarded that had been given up; returns how many."""
    o = outbox.c
    values = {"state": "pending", "attempts": 0, "next_try_at": utc_now(), "done_at": None}
    mine = (o.kind == FORWARD) & among(o.key, events) & (o.state == "dead")
    revived: int = connection.execute(outbox.update().where(mine).values(values)).rowcount
    return revived
