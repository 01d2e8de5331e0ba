"""Where a consent lands on this machine: a server on loopback that waits for one answer and turns everything else away.

RFC 8252, 7.3 and 8.3: on loopback alone, only for as long as it is waited for. It listens on ::1 too where the redirect address says
`localhost`, which browsers look for there first, and which nobody else may then answer for.
"""

import errno
import queue
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from aura_cli.errors import ConflictError, UsageError
from aura_cli.integrations import pages, ports
from aura_cli.integrations.consent import NotOurs, Parameters, parameters
from aura_cli.integrations.redirects import Loopback

_HEAD_SECONDS = 10.0
_PAGE_SECONDS = 300.0  # how long a browser waits for its page, while a person may be asked something in the terminal
_FLUSH_SECONDS = 3.0


@dataclass
class Arrival:
    """The answer that was waited for. The browser that brought it waits until `show` says what it gets."""

    found: Parameters = field(repr=False)
    page: pages.Page | None = None
    decided: Event = field(default_factory=Event, repr=False)
    shown: Event = field(default_factory=Event, repr=False)

    def show(self, page: pages.Page) -> None:
        """Give the browser its page; returns once it has it, or has gone."""
        self.page = page
        self.decided.set()
        self.shown.wait(_FLUSH_SECONDS)


@dataclass(eq=False)
class Landing:
    """A server on loopback. `belongs` says of a request's parameters whether they are the answer that is waited for."""

    address: Loopback
    belongs: Callable[[Parameters], bool] = field(repr=False, default=lambda found: False)
    _arrived: "queue.Queue[Arrival]" = field(default_factory=queue.Queue, repr=False)
    _taken: Arrival | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    def wait(self, seconds: float) -> Arrival | None:
        """The answer, or None after so many seconds. Ctrl-C is heard meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                return self._arrived.get(timeout=min(left, 0.5))
            except queue.Empty:
                continue
        return None

    def close(self) -> None:
        """Nobody waits any more: a browser that still does is told so."""
        if self._taken and not self._taken.decided.is_set():
            self._taken.show(pages.UNKNOWN)

    def answer(self, method: str, target: str, hosts: list[str]) -> tuple[int, pages.Page]:
        """The status and page for one request; blocks for the answer that is waited for until its page is known."""
        parts = urlsplit(target)
        if hosts != [self.address.netloc]:
            return 400, pages.NOT_HERE
        if parts.path != self.address.path:
            return 404, pages.NOT_HERE
        if method != "GET":
            return 405, pages.NOT_HERE
        try:
            found = parameters(parts.query)
        except NotOurs:
            return 400, pages.NOT_OURS
        if not self.belongs(found):
            return 400, pages.NOT_OURS
        with self._lock:
            if self._taken:
                return 409, pages.SECOND
            arrival = self._taken = Arrival(found)
        self._arrived.put(arrival)
        arrival.decided.wait(_PAGE_SECONDS)
        page = arrival.page or pages.UNKNOWN
        return page.status, replace(page, on_sent=arrival.shown.set)


@contextmanager
def landing(address: Loopback) -> Iterator[Landing]:
    """A server for the length of the block; its `address` has the port that it got. Raises ConflictError, naming who has the port."""
    with ExitStack() as stack:
        server = _serve(stack, socket.AF_INET, "127.0.0.1", address.port)
        made = Landing(replace(address, port=int(server.server_address[1])))
        server.landing = made
        if address.host == "localhost":
            try:
                _serve(stack, socket.AF_INET6, "::1", made.address.port).landing = made
            except OSError as error:  # a machine without IPv6
                if error.errno == errno.EADDRINUSE:
                    raise
        stack.callback(made.close)
        yield made


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    landing: Landing | None = None

    def __init__(self, family: socket.AddressFamily, host: str, port: int) -> None:
        self.address_family = family
        super().__init__((host, port), _Request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is nobody's trouble."""


def _serve(stack: ExitStack, family: socket.AddressFamily, host: str, port: int) -> _Server:
    try:
        server = _Server(family, host, port)
    except OSError as error:
        raise _not_ours(error, port) from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    stack.callback(server.server_close)
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    thread.start()
    return server


def _not_ours(error: OSError, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        who = ports.holder(port) or "another program"
        hint = "End it, or choose another one with --port and register that; --paste needs no port"
        return ConflictError(f"Port {port} is taken by {who}", hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"Port {port} is a privileged one, and this user may not listen there", "Choose one from 1024 on, or --paste")
    return error


class _Request(BaseHTTPRequestHandler):
    """One request. HTTP/1.0 to the browser: each connection ends with its answer."""

    timeout = _HEAD_SECONDS
    server: _Server

    def _reply(self) -> None:
        assert self.server.landing
        status, page = self.server.landing.answer(self.command, self.path, self.headers.get_all("Host", []))
        body = page.html.encode()
        self.send_response_only(status)
        for name, value in {**pages.HEADERS, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if self.command != "HEAD":
                self.wfile.write(body)
        finally:
            page.on_sent()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _reply  # noqa: N815 (http.server's names)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """An address with a code in it stands in no log."""
