"""Delivers events to the registered webhook endpoints, signed as Stripe signs them (https://docs.stripe.com/webhooks/signature)."""

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import aiohttp
import msgspec

from aura_cli.sandbox.stripe.records import Delivery, Endpoint, Event
from aura_cli.sandbox.stripe.render import Renderer
from aura_cli.sandbox.stripe.state import StripeState
from aura_cli.settings import leads_here

GATHER = 0.05  # seconds that events are collected for before they are sent in any order
AT_ONCE = 16
TIMEOUT = aiohttp.ClientTimeout(total=20)
WAITS = (0.2, 0.5, 1.0, 2.0)  # seconds before the next attempts; Stripe waits hours
LONGEST_WAIT = 4.0
ATTEMPTS = 60


def signature(secret: str, body: bytes, moment: int) -> str:
    """The Stripe-Signature header for a body sent at `moment` (epoch seconds)."""
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def register(state: StripeState, url: str, secret: str, events: Sequence[str] = ("*",), api_version: str | None = None) -> Endpoint:
    """A new webhook endpoint with a given secret."""
    return state.endpoints.put(Endpoint(state.mint.new("we"), state.now(), url, tuple(events), secret, api_version))


class Courier:
    """Sends each event once to each endpoint that wants it, or more often and in another order where the state says so.

    What an endpoint does not answer with 2xx is sent again, after ever longer waits.
    """

    def __init__(self, state: StripeState) -> None:
        self.state = state
        self._waiting: deque[Event] = deque()
        self._ring = asyncio.Event()
        self._again = asyncio.Semaphore(AT_ONCE)

    def accept(self, event: Event) -> None:
        wanting = {endpoint.id for endpoint in self.state.endpoints if _wants(endpoint, event)}
        if wanting:
            self.state.pending[event.id] = wanting
            self._waiting.append(event)
            self._ring.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as client, asyncio.TaskGroup() as repeats:
            while True:
                await self._ring.wait()
                self._ring.clear()
                if self.state.faults.reorder_events:
                    await asyncio.sleep(GATHER)
                for batch in self._batches():
                    sent = await asyncio.gather(*(self._send(client, event, endpoint, 1) for event, endpoint in batch))
                    for (event, endpoint), taken in zip(batch, sent, strict=True):
                        if not taken:
                            repeats.create_task(self._repeat(client, event, endpoint.id))

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

    async def _repeat(self, client: aiohttp.ClientSession, event: Event, identifier: str) -> None:
        """Try again until it is taken, or the endpoint is gone, or it was tried often enough."""
        for attempt in range(2, ATTEMPTS + 1):
            await asyncio.sleep(WAITS[attempt - 2] if attempt - 2 < len(WAITS) else LONGEST_WAIT)
            endpoint = self.state.endpoints.get(identifier)
            if endpoint is None:
                self._settled(event.id, identifier)
                return
            async with self._again:
                if endpoint.enabled and await self._send(client, event, endpoint, attempt):
                    return

    async def _send(self, client: aiohttp.ClientSession, event: Event, endpoint: Endpoint, attempt: int) -> bool:
        """One attempt; whether the endpoint took the event."""
        shaped = replace(event, api_version=endpoint.api_version or event.api_version)
        body = msgspec.json.encode(Renderer(self.state, shaped.api_version)(shaped))
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
        moment = time.time()
        headers["Stripe-Signature"] = signature(endpoint.secret, body, int(moment))
        try:
            async with client.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.state.deliveries.append(Delivery(event.id, endpoint.id, attempt, status, moment))
        taken = 200 <= status < 300
        if taken:
            self._settled(event.id, endpoint.id)
        return taken

    def _settled(self, event: str, endpoint: str) -> None:
        left = self.state.pending.get(event, set())
        left.discard(endpoint)
        if not left:
            self.state.pending.pop(event, None)


def _wants(endpoint: Endpoint, event: Event) -> bool:
    enabled = endpoint.enabled and leads_here(endpoint.url)
    return enabled and ("*" in endpoint.enabled_events or event.type in endpoint.enabled_events)
