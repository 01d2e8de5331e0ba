"""A listener run as the real program, and senders that say to it what no well-behaved one would."""

import itertools
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET, Addresses, environment
from aura_cli.webhooks.signature import sign
from tests.parts.books import population
from tests.parts.program import Aura
from tests.parts.stripe import stand_in

PATH = "/api/webhooks/stripe"
OLD_SECRET = "whsec_test_old"
_numbers = itertools.count(1)


def event(identifier: str = "", **values: Any) -> bytes:
    """The body of a snapshot event of test mode; a new one each time where no id is given."""
    identifier = identifier or f"evt_{next(_numbers)}"
    about = {"id": "prod_1", "object": "product", "name": "Ünïcode"}
    whole = {"id": identifier, "object": "event", "api_version": "2026-10-28.endive", "created": int(time.time()), "livemode": False}
    whole |= {"type": "product.updated", "data": {"object": about}, "pending_webhooks": 1, "request": None}
    return json.dumps({**whole, **values}).encode()


def request(
    body: bytes, signature: str | None = None, *, path: str = PATH, method: str = "POST", head: str = "", secret: str = ""
) -> bytes:
    """A complete request, signed now unless a signature is given; `head` are more header lines, each with its CRLF."""
    signature = sign(secret or STRIPE_WEBHOOK_SECRET, body, int(time.time())) if signature is None else signature
    lines = f"{method} {path} HTTP/1.1\r\nHost: listener.test\r\nContent-Length: {len(body)}\r\n{head}"
    return (lines + (f"Stripe-Signature: {signature}\r\n" if signature else "") + "\r\n").encode("utf-8", "surrogateescape") + body


@dataclass(frozen=True)
class Answer:
    """What came back: status (0: the connection was closed without a word), header names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer(connection: socket.socket) -> Answer:
    """Read one answer. Raises TimeoutError where none comes."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return Answer(0, {}, data)
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
    except ConnectionError:
        return Answer(0, {}, data)
    return Answer(int(first.split()[1]), headers, body)


@dataclass(frozen=True)
class Served:
    """A running listener, with its two ports."""

    process: "Popen[str]"
    port: int
    admin_port: int

    def connect(self, timeout: float = 15) -> socket.socket:
        """A connection to the public port."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def send(self, data: bytes, timeout: float = 15) -> Answer:
        """Say this, and hear the first answer."""
        with self.connect(timeout) as connection:
            connection.sendall(data)
            return answer(connection)

    def deliver(self, body: bytes, **how: Any) -> int:
        """The status that a delivery of `body` gets."""
        return self.send(request(body, **how)).status

    def alive(self) -> bool:
        """Whether it runs and takes a good event."""
        return self.process.poll() is None and self.deliver(event()) == 200

    def admin(self, path: str) -> str:
        """What the admin port says at `path`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=15) as found:
            return str(found.read().decode())

    def metric(self, name: str) -> float:
        """The value of one metric, with its labels as they are written."""
        found = re.search(rf"^aura_webhooks_{re.escape(name)} (\S+)$", self.admin("/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def serving(aura: Aura, url: str, *args: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """`aura serve-webhooks` on a migrated database, in test mode, on free ports; it only receives, unless `args` say otherwise."""
    with stand_in(population()) as stripe:
        variables = {**environment(Addresses(stripe.base, stripe.base), aura.directory, url), **(env or {})}
        Path(variables["AURA_PROVIDERS_DIR"]).mkdir(exist_ok=True)
        words = ("serve-webhooks", "--json", "--port", "0", "--admin-port", "0", *(args or ("--workers", "0")))
        process = aura.start(*words, env=variables)
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"it did not start: {process.communicate(timeout=15)}")
        said = json.loads(line)
        yield Served(process, *(int(re.findall(r":(\d+)", said[name])[0]) for name in ("url", "admin")))
        process.terminate()
        process.wait(30)
