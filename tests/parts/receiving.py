"""A webhook endpoint of a test: what arrived is kept, and the answers are scripted."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

PATH = "/api/webhooks/stripe"


@dataclass
class Receiver:
    """`script` holds the statuses of the next answers; after that it is always 200."""

    port: int
    script: list[int] = field(default_factory=list)
    arrived: list[tuple[bytes, str]] = field(default_factory=list)  # body, Stripe-Signature
    queue: "Queue[tuple[bytes, str]]" = field(default_factory=Queue)  # the same, for who waits for it
    senders: set[str] = field(default_factory=set)  # User-Agent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def events(self) -> list[Any]:
        """What arrived, parsed."""
        return [json.loads(body) for body, _ in self.arrived]


@contextmanager
def receiving(*script: int, port: int = 0) -> Iterator[Receiver]:
    """An endpoint on loopback for as long as the block lasts."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.script.pop(0) if receiver.script else 200
            receiver.senders.add(self.headers["User-Agent"])
            receiver.arrived.append((body, self.headers["Stripe-Signature"]))
            receiver.queue.put(receiver.arrived[-1])
            said = b"" if status == 200 else b"not now"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Hook) as server:
        receiver = Receiver(server.server_port, list(script))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
