"""Signed events on their way to a webhook endpoint: one that somebody made, or those that Stripe lists, as they happen."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import httpx

from aura_cli import __version__
from aura_cli.errors import ServiceError, UnreachableError, UsageError
from aura_cli.settings import leads_here
from aura_cli.subscriptions.stripe import time_of
from aura_cli.transport import trust
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.feed import Feed, Listed
from aura_cli.webhooks.signature import sign

TIMEOUT = 30.0  # seconds without a byte
SHOWN = 200  # characters of an answer
BUSY_WAIT, LONGEST_WAIT = 1.0, 15.0  # seconds between two looks, and between two tries of a target that is down
_DOWN = frozenset({429, 500, 502, 503, 504})  # the target's answers that pass


@dataclass(frozen=True)
class Sent:
    """An event that was delivered: what the target answered (`status` 0: it could not be reached), after so many seconds."""

    event: str
    type: str
    created: datetime
    to: str
    status: int
    seconds: float
    answer: str

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    def require(self) -> None:
        """Raise UnreachableError or ServiceError where the target did not take the event."""
        if not self.status:
            raise UnreachableError(f"{self.to} could not be reached: {self.answer}", "Is it running? Start it with: aura serve-webhooks")
        if not self.taken:
            said = f": {self.answer}" if self.answer else ""
            raise ServiceError(f"{self.to} answered {self.status} to {self.type}{said}", status=self.status)


def web_address(url: str) -> httpx.URL:
    """An address as it is read. Raises UsageError where it is none."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise UsageError(f"{url!r} is no web address", "Example: http://127.0.0.1:8787/api/webhooks/stripe")
    return address


@dataclass
class Target:
    """A webhook endpoint, and the secret that it verifies with. Use as a context manager."""

    url: str
    secret: str = field(repr=False)
    clock: Callable[[], float] = time.time
    _client: httpx.Client | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        """Raises UsageError where the address is none."""
        address = web_address(self.url)
        headers = {"User-Agent": f"aura/{__version__}"}
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT, verify=trust(address.scheme), trust_env=not leads_here(self.url))
        return self

    def __exit__(self, *_: object) -> None:
        if self._client:
            self._client.close()

    def deliver(self, body: bytes, source: str = "send") -> Sent:
        """Sign and send an event's body as it is; the answer, whatever it is. Raises BadEvent where the body is no event."""
        assert self._client is not None, "use the target as a context manager"
        event = read(body, source)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": sign(self.secret, body, int(self.clock()))}
        begun = time.monotonic()
        try:
            answer = self._client.post(self.url, content=body, headers=headers)
            status, said = answer.status_code, answer.text[:SHOWN]
        except (httpx.TransportError, httpx.DecodingError) as error:
            status, said = 0, f"{type(error).__name__} {error}".rstrip()
        return Sent(event.id, event.type, time_of(event.created), self.url, status, time.monotonic() - begun, said)


def follow(
    feed: Feed, target: Target, *, stop: threading.Event, say: Callable[[str], None], busy_wait: float = BUSY_WAIT
) -> Iterator[Sent]:
    """Deliver Stripe's events as they happen, in order, until `stop` is set.

    One that the target cannot take now is tried until it can; one that it refuses (4xx, a redirect) is passed by. What is temporarily wrong
    goes to `say`.
    """
    wait = busy_wait
    while not stop.is_set():
        try:
            found = feed.following()
        except (UnreachableError, ServiceError) as error:
            say(f"{error.message}; trying again")
            found = []
        for event in found:
            if sent := _deliver(event, target, stop, say, busy_wait):
                yield sent
        wait = busy_wait if found else min(LONGEST_WAIT, wait * 1.5)
        if not found:
            stop.wait(wait)


def _deliver(event: Listed, target: Target, stop: threading.Event, say: Callable[[str], None], wait: float) -> Sent | None:
    """One event, as often as it takes; None where `stop` is set first."""
    told = False
    while not stop.is_set():
        sent = target.deliver(event.body, "tail")
        if sent.status and sent.status not in _DOWN:
            return sent
        if not told:
            say(f"{target.url} does not take events ({sent.status or sent.answer}); {event.id} waits until it does")
            told = True
        stop.wait(wait)
        wait = min(LONGEST_WAIT, wait * 2)
    return None
