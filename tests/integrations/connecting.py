"""The program, connecting people of a real database at the stand-in of all providers."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import audit_logs, integrations, users
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.tables import connections
from aura_cli.sandbox.credentials import PROVIDER_FILES, environment
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.providers.addresses import write
from aura_cli.sandbox.server import running
from aura_cli.settings import Settings
from aura_cli.vault.keyring import KeyRing
from tests.parts.program import Aura, Completed

ADA = "ada@example.com"


class _Stays(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to whoever asked."""

    def redirect_request(self, *args: Any, **named: Any) -> None:
        return None


_BROWSER = urllib.request.build_opener(_Stays, urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Page:
    """What a browser got: status, text, and where it is sent."""

    status: int
    text: str
    location: str | None
    headers: dict[str, str]


def visit(url: str, form: dict[str, str] | None = None, *, headers: dict[str, str] | None = None) -> Page:
    """One request of a browser's; a `form` is posted."""
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, body, headers or {})
    try:
        with _BROWSER.open(request, timeout=30) as answer:
            return Page(answer.status, answer.read().decode(), answer.headers.get("Location"), dict(answer.headers))
    except urllib.error.HTTPError as answer:
        with answer:
            return Page(answer.code, answer.read().decode(), answer.headers.get("Location"), dict(answer.headers))


def consent(url: str, decision: str = "allow", account: str = "ada") -> str:
    """Click through a provider's consent page; the address that the browser is sent back to."""
    page = visit(url)
    assert page.status == 200, page.text
    sent = visit(url, {"decision": decision, "account": account})
    assert sent.location, sent.text
    return sent.location


@dataclass
class Waiting:
    """A running `connect` that waits for a consent; `said` is what stood on stderr before the address."""

    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)
    url: str = ""

    def listen(self) -> "Waiting":
        """Read until it has printed its address."""
        self.url = self.hear(r"^\s*(https?://\S+)$")
        return self

    def hear(self, pattern: str) -> str:
        """Read until a line of standard error holds `pattern`; what its group found."""
        assert self.process.stderr
        while line := self._line(self.process.stderr.fileno()):
            self.said.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it never said {pattern}: {self.said}")

    @staticmethod
    def _line(descriptor: int) -> str:
        """One line, and not a byte more: the rest is for `communicate`, which looks into no buffer."""
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
            line += byte
        return line.decode()

    def end(self, text: str | None = None, timeout: float = 30) -> Completed:
        """Wait for its end, with `text` on its standard input."""
        out, err = self.process.communicate(text, timeout=timeout)
        return Completed(self.process.returncode, out, "".join(self.said) + err)


@dataclass
class World:
    """`world(…)` is `aura integrations …`; `ada` is somebody's id, `providers` the stand-in's address."""

    aura: Aura
    engine: Engine
    env: dict[str, str]
    providers: str
    ada: str

    @property
    def home(self) -> Path:
        """The data directory."""
        return Path(self.env["AURA_HOME"])

    def __call__(self, *args: str, **named: Any) -> Completed:
        return self.aura("integrations", *args, env={**self.env, **named.pop("env", {})}, **named)

    def connect(self, provider: str, *args: str, **named: Any) -> Completed:
        """`aura integrations connect` for Ada."""
        return self("connect", provider, "--user", ADA, *args, **named)

    def waiting(self, provider: str, *args: str, env: dict[str, str] | None = None) -> Waiting:
        """The same, left waiting for a consent; what it reads from standard input comes later."""
        words = ("integrations", "connect", provider, "--user", ADA, "--json", *args)
        return Waiting(self.aura.start(*words, env={**self.env, **(env or {})}, stdin=subprocess.PIPE)).listen()

    def sandbox(self, path: str, document: Any = None) -> Any:
        """Ask the stand-in something, or tell it."""
        body = json.dumps(document).encode() if document is not None else None
        request = urllib.request.Request(f"{self.providers}/_sandbox/{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            text = answer.read().decode()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def rows(self) -> list[dict[str, Any]]:
        """What the web app sees, oldest first, with what is known here."""
        statement = select(integrations, connections.c.account, connections.c.label, connections.c.method, connections.c.name).join(
            connections, connections.c.integration_id == integrations.c.id, isouter=True
        )
        with reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(statement.order_by(integrations.c.created_at)).mappings()]

    def told(self) -> list[str]:
        """What Ada reads on her dashboard."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(audit_logs.c.description).order_by(audit_logs.c.created_at)).scalars())

    def opened(self, sealed: str | None) -> str | None:
        """A sealed value's text."""
        return KeyRing.of(Settings.load(self.env, self.aura.work)).open(sealed) if sealed else None


@contextmanager
def world_of(aura: Aura, engine: Engine, database_url: str) -> Iterator[World]:
    """One on a migrated database, with Ada in it."""
    population = build(1, seed=1, now=int(time.time()))
    with running(population) as addresses:
        home = Path(aura.environment["AURA_HOME"])
        write(load().providers, addresses.providers, home / PROVIDER_FILES)
        env = {**environment(addresses, home, database_url), "AURA_ENV": "development"}
        with writing(engine) as connection:
            added = users.insert().values(privy_user_id="did:privy:ada", email=ADA, name="Ada").returning(users.c.id)
            ada = str(connection.execute(added).scalar_one())
        yield World(aura, engine, env, addresses.providers, ada)
