"""Senders of webhooks that cost little themselves: keep-alive connections that each send the next signed event once they have their answer.

Run as a program: PORT PATH CLIENTS EVENTS SECRET BYTES PREFIX; it prints {"rate": events a second, "p50": …, "p99": … (seconds)} as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aura_cli.webhooks.signature import sign


def event(number: str, size: int, created: int) -> bytes:
    """A subscription's event of about `size` bytes."""
    subscription = {"id": f"sub_{number}", "object": "subscription", "customer": f"cus_{number}", "status": "active", "livemode": False}
    items = [{"id": f"si_{number}_{n}", "object": "subscription_item", "metadata": {"plan": "monthly", "seats": n}} for n in range(4)]
    whole = {"id": f"evt_{number}", "object": "event", "api_version": "2026-10-28.endive", "created": created, "livemode": False}
    whole |= {"type": "customer.subscription.updated", "data": {"object": {**subscription, "items": {"data": items}, "description": ""}}}
    bare = len(json.dumps(whole))
    whole["data"]["object"]["description"] = "An agreement, in so many words. " * max(0, (size - bare) // 32)  # type: ignore[index]
    return json.dumps(whole).encode()


def requests(path: str, count: int, secret: str, size: int, prefix: str) -> list[bytes]:
    """That many deliveries, complete with head and signature of now."""
    now = int(time.time())
    return [request(path, event(f"{prefix}{number:08d}", size, now), secret, now) for number in range(count)]


def request(path: str, body: bytes, secret: str, now: int) -> bytes:
    """One delivery."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\nUser-Agent: Stripe/1.0\r\n"
        f"Accept: */*\r\nCache-Control: no-cache\r\nContent-Length: {len(body)}\r\nStripe-Signature: {sign(secret, body, now)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Round:
    """What all senders share: what is left to send, and how long each answer took (seconds)."""

    left: Iterator[bytes]
    senders: int
    done: asyncio.Future[None]
    taken: list[float] = field(default_factory=list)


class Sender(asyncio.Protocol):
    """One connection. An answer is short enough to come in one piece."""

    def __init__(self, shared: Round) -> None:
        self.shared = shared

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self) -> None:
        """The next one, if there is one."""
        request = next(self.shared.left, None)
        if request is None:
            self.shared.senders -= 1
            if not self.shared.senders:
                self.shared.done.set_result(None)
            return
        self.begun = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 ") or b"\r\n\r\n" not in data:
            self.shared.done.set_exception(RuntimeError(f"not a 200: {data[:300]!r}"))
            self.transport.abort()
            return
        self.shared.taken.append(time.perf_counter() - self.begun)
        self.send()


async def send(port: int, clients: int, made: Sequence[bytes]) -> None:
    """Send complete requests, and print how it went."""
    loop, count = asyncio.get_running_loop(), len(made)
    shared = Round(iter(made), clients, loop.create_future())
    connections = [await loop.create_connection(lambda: Sender(shared), "127.0.0.1", port) for _ in range(clients)]
    begun = time.perf_counter()
    for _, sender in connections:
        sender.send()
    await shared.done
    seconds = time.perf_counter() - begun
    shared.taken.sort()
    quantiles = {"p50": shared.taken[count // 2], "p99": shared.taken[count * 99 // 100]}
    sys.stdout.write(json.dumps({"rate": count / seconds, **quantiles}) + "\n")
    for transport, _ in connections:
        transport.close()


if __name__ == "__main__":
    a = sys.argv
    asyncio.run(send(int(a[1]), int(a[3]), requests(a[2], int(a[4]), a[5], int(a[6]), a[7])))
