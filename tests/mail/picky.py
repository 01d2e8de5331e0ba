"""A Resend that refuses addresses which look like any other, as the real one does, and otherwise takes everything."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

SAID = "The domain does not take mail."


@dataclass
class Picky:
    """`refuses` are the addresses; `taken` is how often each other was sent something."""

    refuses: set[str]
    status: int = 422
    base: str = ""
    taken: list[str] = field(default_factory=list)
    modes: list[str | None] = field(default_factory=list)  # x-batch-validation of the batches

    def judge(self, message: dict[str, Any]) -> str | None:
        (to,) = message["to"]
        if to in self.refuses:
            return SAID
        self.taken.append(to)
        return None


@contextmanager
def picky(*refuses: str, status: int = 422) -> Iterator[Picky]:
    """It listens for the length of the block."""
    found = Picky(set(refuses), status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/emails":
                error = found.judge(asked)
                said = {"statusCode": status, "name": "validation_error", "message": error}
                self._say(status, said) if error else self._say(200, _created())
                return
            found.modes.append(self.headers["x-batch-validation"])
            errors = [found.judge(message) for message in asked]
            refused = [{"index": index, "message": error} for index, error in enumerate(errors) if error]
            self._say(200, {"data": [_created() for error in errors if not error], "errors": refused})

        def _say(self, status: int, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        found.base = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _created() -> dict[str, str]:
    return {"id": str(uuid4())}
