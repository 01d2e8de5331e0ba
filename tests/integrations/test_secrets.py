"""Tokens, codes and client secrets stand in no output, no log, no process list, no error and no Sentry event."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from tests.parts.loopback import serving
from tests.parts.program import Aura
from tests.parts.providers import Town, town_of


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """Nobody connected yet, on a database of each kind."""
    with town_of(aura, engine, database_url) as made:
        yield made


def test_no_token_anywhere(town: Town) -> None:
    """With --debug, through successes and every failure, and with Sentry listening: not one secret in what was said."""
    app, said = sentry_app()
    users = town.people(2)
    rows = [*town.connect("linear", users), *town.connect("telegram", users[:1], expires=None, access_token=town.vault.seal(BOT))]
    with serving(app) as sentry, watched() as lines:
        env = {"NEXT_PUBLIC_SENTRY_DSN": sentry.replace("http://", "http://public@") + "/1"}
        for kind in ("invalid_grant", "invalid_client", "html", "cut", "error_with_200", "access_token", "expires_in"):
            town.order(kind, request="refresh", value="x")
            said += both(town, "refresh", "--force", "--debug", env=env)
        said += both(town, "refresh", "--force", "--debug", env=env)
        town.change(rows[0], access_token=town.vault.seal("sandbox-with-a-line\nfeed"))
        said += both(town, "verify", "--all", "--debug", env=env)
        said += both(town, "list", "--json", "--debug", env=env)
        said += both(town, "show", users[0], "linear", "--debug", env=env)
        said += both(town, "disconnect", "linear", "--user", users[0], "--debug", env=env)
    everything = "\n".join([*said, *lines])
    secrets = [*town.state.tokens, *town.state.clients.values(), BOT, "sandbox-with-a-line", town.env["INTEGRATION_ENCRYPTION_KEY"]]
    public = {value for name, value in town.state.clients.items() if not name.endswith("_SECRET")}
    assert [secret for secret in secrets if secret in everything and secret not in public] == []
    assert "HTTP Request: POST" in everything  # it was listened to


BOT = "123456789:AAabcdefghijklmnopqrstuvwxyz0123456"


def both(town: Town, *args: str, env: dict[str, str]) -> list[str]:
    """What one command says."""
    done = town(*args, env=env)
    return [done.out, done.err]


class watched:  # noqa: N801 (a context manager)
    """The command lines and environments' names of all processes of this machine, looked at all the time."""

    def __enter__(self) -> set[str]:
        self.lines: set[str] = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self.lines

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                except OSError:
                    continue
                if "aura_cli" in text:
                    self.lines.add(text)
            time.sleep(0.05)


def test_sentry_hears_of_bugs_without_tokens(town: Town) -> None:
    """An unforeseen error in the middle of a refresh reaches Sentry, and holds no token, sealed or not."""
    app, said = sentry_app()
    rows = town.connect("linear", town.people(2))
    place = "" if town.engine.dialect.name == "sqlite" else "aura_ops."
    with writing(town.engine) as connection:  # what no database of ours has
        connection.exec_driver_sql(f"CREATE UNIQUE INDEX one_only ON {place}connections (provider)")
    with serving(app) as sentry:
        done = town("refresh", "--json", "--debug", env={"NEXT_PUBLIC_SENTRY_DSN": sentry.replace("http://", "http://public@") + "/1"})
    assert done.exit == 1
    events = "".join(said)
    assert "IntegrityError" in events
    secrets = [*town.state.tokens, *(town.row(row).refresh_token for row in rows)]
    assert not [secret for secret in secrets if secret in done.out + done.err + events]


def sentry_app() -> tuple[web.Application, list[str]]:
    """What takes Sentry's events, and what it was told."""
    said: list[str] = []
    app = web.Application(client_max_size=2**24)

    async def envelope(request: web.Request) -> web.Response:
        said.append((await request.read()).decode("utf-8", "replace"))
        return web.json_response({})

    app.router.add_route("*", "/{path:.*}", envelope)
    return app, said
