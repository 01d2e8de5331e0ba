"""Delivers events to the registered webhook endpoints, signed as Stripe signs them (https://docs.stripe.com/webhooks/signature)."""

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections import deque
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp
import msgspec

from aura_cli.sandbox.stripe.records import Endpoint, Event
from aura_cli.sandbox.stripe.render import Renderer
from aura_cli.sandbox.stripe.state import StripeState

GATHER = 0.05  # seconds that events are collected for before they are sent in any order
AT_ONCE = 16
TIMEOUT = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True)
class Delivery:
    """One attempt; `status` is what the endpoint answered, 0 when it could not be reached."""

    event: str
    endpoint: str
    status: int


def signature(secret: str, body: bytes, moment: int) -> str:
    """The Stripe-Signature header for a body sent at `moment` (epoch seconds)."""
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in ("http", "https") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


class Courier:
    """Sends each event once to each endpoint that wants it, or more often and in another order where the state says so."""

    def __init__(self, state: StripeState) -> None:
        self.state = state
        self.log: deque[Delivery] = deque(maxlen=1000)
        self._waiting: deque[Event] = deque()
        self._ring = asyncio.Event()

    def accept(self, event: Event) -> None:
        if len(self.state.endpoints):
            self._waiting.append(event)
            self._ring.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as client:
            while True:
                await self._ring.wait()
                self._ring.clear()
                if self.state.faults.reorder_events:
                    await asyncio.sleep(GATHER)
                for batch in self._batches():
                    await asyncio.gather(*(self._send(client, event, endpoint) for event, endpoint in batch))

    def _batches(self) -> list[list[tuple[Event, Endpoint]]]:
        """What is waiting, cut into what is sent at once; in order, batches hold one event each."""
        state, events = self.state, list(self._waiting)
        self._waiting.clear()
        events += [event for event in events if state.random.random() < state.faults.duplicate_events]
        if state.faults.reorder_events:
            state.random.shuffle(events)
        else:
            events.sort(key=lambda event: (event.created, event.id))
        pairs = [[(event, endpoint) for endpoint in state.endpoints if _wants(endpoint, event)] for event in events]
        if not state.faults.reorder_events:
            return [pair for pair in pairs if pair]
        flat = [pair for wanted in pairs for pair in wanted]
        return [flat[start : start + AT_ONCE] for start in range(0, len(flat), AT_ONCE)]

    async def _send(self, client: aiohttp.ClientSession, event: Event, endpoint: Endpoint) -> None:
        shaped = replace(event, api_version=endpoint.api_version or event.api_version)
        body = msgspec.json.encode(Renderer(self.state, shaped.api_version)(shaped))
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
        headers["Stripe-Signature"] = signature(endpoint.secret, body, int(time.time()))
        try:
            async with client.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.log.append(Delivery(event.id, endpoint.id, status))


def _wants(endpoint: Endpoint, event: Event) -> bool:
    enabled = endpoint.enabled and is_loopback(endpoint.url)
    return enabled and ("*" in endpoint.enabled_events or event.type in endpoint.enabled_events)
