"""Privy's list of users as a test wants it: page by page, odd bytes included, each request noted, and held up where asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET

PAGE = 100
NOBODY = 404, b'{"error": "User not found"}'


def configuration(base: str, database_url: str) -> dict[str, str]:
    """The settings that the users room needs: a database and Privy at `base`."""
    return {
        "AURA_ENV": "development",
        "DATABASE_URL": database_url,
        "PRIVY_API_BASE": base,
        "NEXT_PUBLIC_PRIVY_APP_ID": PRIVY_APP_ID,
        "PRIVY_APP_SECRET": PRIVY_APP_SECRET,
    }


@dataclass
class Pages:
    """A list of users in pages of a hundred; cursors are `page-1` and so on.

    `replaced` gives another answer (status and body) for a page; `hold` is called, in the request's own thread, before a page is
    answered; `asked` holds the pages that were asked for, in order, and `asked_for` the single users.
    """

    users: Sequence[Mapping[str, Any]]
    replaced: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    unlisted: Sequence[Mapping[str, Any]] = ()
    hold: Callable[[int], object] = lambda page: None
    asked: list[int] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)
    base: str = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body for a GET of `path`."""
        parts = urlsplit(path)
        if parts.path != "/v1/users":
            did = unquote(parts.path.removeprefix("/v1/users/"))
            self.asked_for.append(did)
            found = next((user for user in (*self.users, *self.unlisted) if user["id"] == did), None)
            return (200, json.dumps(found).encode()) if found else NOBODY
        cursor = parse_qs(parts.query).get("cursor", ["page-0"])[0]
        page = int(cursor.removeprefix("page-"))
        self.asked.append(page)
        self.hold(page)
        if page in self.replaced:
            return self.replaced[page]
        following = f"page-{page + 1}" if (page + 1) * PAGE < len(self.users) else None
        return 200, json.dumps({"data": self.users[page * PAGE : (page + 1) * PAGE], "next_cursor": following}).encode()


@contextmanager
def serving(pages: Pages) -> Iterator[Pages]:
    """Answer on a free loopback port, which `pages.base` then names, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = pages.answer(self.path)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # whoever asked is gone: a test has killed it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A connection that was cut is what such a test is about."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    pages.base = f"http://127.0.0.1:{server.server_port}"
    try:
        yield pages
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
