"""A sender of webhooks that does not give up, as Stripe does not: what got no 200 is sent again, until everything got one.

Run as a program: FILE PORTS CLIENTS SECRET. FILE holds one event's body a line; PORTS are listeners, with commas between. So many
clients send at once, each over a connection of its own to one of the listeners, another one after every failure. Each time some more
events have got their 200 it prints {"acknowledged": how many lines so far}, at last {"statuses": {status: number of answers}}; 0 stands
for no answer at all.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from aura_cli.webhooks.signature import sign

PATH = "/api/webhooks/stripe"
PATIENCE = 20.0  # seconds for an answer
PAUSE = 0.05  # seconds after a failure


@dataclass
class Post:
    """What all clients share."""

    waiting: deque[bytes]
    ports: list[int]
    secret: str
    left: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def request(self, body: bytes) -> bytes:
        """Complete, signed now."""
        head = f"POST {PATH} HTTP/1.1\r\nHost: listener.test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Stripe-Signature: {sign(self.secret, body, int(time.time()))}\r\n\r\n".encode() + body

    def note(self, body: bytes, status: int) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.left -= 1
        else:
            self.waiting.append(body)


async def client(post: Post) -> None:
    """Send one event after the other, until all have got their 200, whoever sent them."""
    while post.left:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", random.choice(post.ports))
        except (OSError, TimeoutError):
            await asyncio.sleep(PAUSE)
            continue
        while post.left and not reader.at_eof():
            if not post.waiting:  # others wait for an answer that may be no 200
                await asyncio.sleep(PAUSE)
                continue
            body = post.waiting.popleft()
            status = await _deliver(reader, writer, post.request(body))
            post.note(body, status)
            if status != 200:
                await asyncio.sleep(PAUSE)
                break
        writer.close()


async def _deliver(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """The answer's status."""
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return 0
    return int(head.split(b" ", 2)[1])


async def main(file: Path, ports: list[int], clients: int, secret: str) -> None:
    """Send, and say how it goes."""
    bodies = file.read_bytes().splitlines()
    post = Post(deque(bodies), ports, secret, len(bodies))
    senders = asyncio.gather(*(client(post) for _ in range(clients)))
    told = -1
    while not senders.done():
        if (acknowledged := len(bodies) - post.left) != told:
            told = acknowledged
            _say({"acknowledged": told})
        await asyncio.wait([senders], timeout=PAUSE)
    await senders
    _say({"acknowledged": len(bodies), "statuses": post.statuses})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), [int(port) for port in sys.argv[2].split(",")], int(sys.argv[3]), sys.argv[4]))
