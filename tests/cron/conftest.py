"""A database with our schema, Privy's stand-in, somebody to alert, and `aura cron` with settings for all of them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine, select

from aura_cli.cron.tables import job_runs
from aura_cli.db.engine import reading
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.privy.users import user_object
from tests.parts.privy import Pages, configuration, serving
from tests.parts.program import Aura, Completed

USERS = [user_object(person) for person in build(230, seed=11, now=1_795_000_000).people]


@dataclass
class Chat:
    """A chat's incoming webhook, and what was posted to it."""

    url: str = ""
    said: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)  # cleared: it takes what is posted, and says nothing

    def __post_init__(self) -> None:
        self.answers.set()

    @property
    def subjects(self) -> list[str]:
        """The first line of each, without who says it."""
        return [one["text"].splitlines()[0].partition("): ")[2] for one in self.said]


@contextmanager
def chat_listening() -> Iterator[Chat]:
    """A chat on a free loopback port for the length of the block."""
    found = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.said.append({"path": self.path, **json.loads(body)})
            found.answers.wait(30)
            with suppress(OSError):  # nobody waited
                self._answer()

        def _answer(self) -> None:
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/services/T000/hush-hush"
    try:
        yield found
    finally:
        found.answers.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


class Holding:
    """Holds the request for one of Privy's pages up until it is let go; later requests pass."""

    def __init__(self, page: int) -> None:
        self.page, self.arrived, self.go = page, threading.Event(), threading.Event()

    def __call__(self, page: int) -> None:
        if page == self.page and not self.arrived.is_set():
            self.arrived.set()
            self.go.wait(60)


@dataclass
class Clockwork:
    """`clockwork("run", …)` is `aura cron run …`, as a clock starts it: nobody sits at a terminal."""

    aura: Aura
    engine: Engine
    privy: Pages
    chat: Chat
    env: dict[str, str]

    def __call__(self, *words: str, **more: str) -> Completed:
        return self.aura("cron", *words, env={**self.env, **more})

    @property
    def runs(self) -> list[Any]:
        """Every run that was noted, oldest first."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(job_runs).order_by(job_runs.c.id)))

    @property
    def ends(self) -> list[tuple[str, int | None]]:
        """Job and exit code of every run, oldest first."""
        return [(run.job, run.exit_code) for run in self.runs]


@pytest.fixture
def clockwork(aura: Aura, database_url: str, engine: Engine) -> Iterator[Clockwork]:
    """One of its own for each test, on both databases."""
    with serving(Pages(USERS)) as privy, chat_listening() as chat:
        yield Clockwork(aura, engine, privy, chat, {**configuration(privy.base, database_url), "AURA_ALERT_TO": chat.url})
