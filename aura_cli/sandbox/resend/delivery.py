"""Tells webhook endpoints what became of mails, signed as Svix signs (https://docs.svix.com/receiving/verifying-payloads/how-manual)."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections import deque
from contextlib import suppress

import aiohttp
import msgspec

from aura_cli.sandbox.resend.events import payload
from aura_cli.sandbox.resend.state import Delivery, Endpoint, Event, ResendState
from aura_cli.settings import leads_here

GATHER = 0.05  # seconds that events are collected for before they are sent in any order
AT_ONCE = 16
TIMEOUT = aiohttp.ClientTimeout(total=20)
WAITS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)  # seconds before each attempt; Resend's grow to ten hours


def signature(secret: str, identifier: str, moment: int, body: bytes) -> str:
    """The header svix-signature of a body sent at `moment` (epoch seconds)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identifier}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Courier:
    """Sends each event to each endpoint that wants it, in order, or more often and in any order where the state's faults say so.

    What an endpoint does not answer with 2xx is sent again, under the same svix-id.
    """

    def __init__(self, state: ResendState) -> None:
        self.state = state
        self._waiting: deque[Event] = deque()
        self._ring = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)

    def accept(self, event: Event) -> None:
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
                for event in self._next():
                    for endpoint in [one for one in self.state.endpoints if _wants(one, event)]:
                        if self.state.faults.reorder_events or not await self._send(client, event, endpoint, 1):
                            first = 1 if self.state.faults.reorder_events else 2
                            repeats.create_task(self._insist(client, event, endpoint, first))

    def _next(self) -> list[Event]:
        """What is waiting, some of it twice."""
        state, events = self.state, list(self._waiting)
        self._waiting.clear()
        events += [event for event in events if state.random.random() < state.faults.duplicate_events]
        if state.faults.reorder_events:
            state.random.shuffle(events)
        return events

    async def _insist(self, client: aiohttp.ClientSession, event: Event, endpoint: Endpoint, first: int) -> None:
        for attempt in range(first, len(WAITS) + 1):
            await asyncio.sleep(WAITS[attempt - 1])
            async with self._room:
                if endpoint not in self.state.endpoints or await self._send(client, event, endpoint, attempt):
                    return

    async def _send(self, client: aiohttp.ClientSession, event: Event, endpoint: Endpoint, attempt: int) -> bool:
        """One attempt; whether the endpoint took the event."""
        body, moment, status = msgspec.json.encode(payload(event)), int(time.time()), 0
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Svix-Webhooks/1.0 (sandbox)",
            "svix-id": event.id,
            "svix-timestamp": str(moment),
            "svix-signature": signature(endpoint.secret, event.id, moment, body),
        }
        with suppress(aiohttp.ClientError, TimeoutError):
            async with client.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        self.state.deliveries.append(Delivery(event.id, event.type, event.mail.id, endpoint.url, attempt, status))
        return 200 <= status < 300


def _wants(endpoint: Endpoint, event: Event) -> bool:
    return leads_here(endpoint.url) and (not endpoint.events or event.type in endpoint.events)
