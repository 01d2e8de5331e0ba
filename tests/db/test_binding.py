"""A database remembers what it belongs to, and a write from elsewhere stops before it begins."""

import hashlib
import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from aura_cli.db.binding import Identity, bound, check, require_sandbox
from aura_cli.db.engine import reading, writing
from aura_cli.db.location import host_of, is_production, target_line
from aura_cli.db.tables import binding
from aura_cli.errors import ConfigurationError
from aura_cli.settings import Settings
from tests.parts.migrated import engine_of

NOBODY = Identity(None, None, None, None, None)
LIVE = Identity("production", "acct_live", "live", "privy-app", "00ff")


def known(engine: Engine) -> Identity | None:
    with reading(engine) as connection:
        return bound(connection)


def test_the_first_write_is_remembered(engine: Engine) -> None:
    """Looking stores nothing; the first write stores what is configured, a later one adds what was open."""
    check(engine, LIVE, store=False)
    assert known(engine) == NOBODY
    some = replace(LIVE, privy_app=None, key_fingerprint=None)
    check(engine, some, store=True)
    assert known(engine) == some
    check(engine, LIVE, store=True)
    assert known(engine) == LIVE
    check(engine, NOBODY, store=True)
    assert known(engine) == LIVE


@pytest.mark.parametrize("what", ["environment", "stripe_account", "stripe_mode", "privy_app", "key_fingerprint"])
def test_each_contradiction_is_named(engine: Engine, what: str) -> None:
    """Whatever differs stops the write, with both sides, and nothing is changed."""
    check(engine, LIVE, store=True)
    with pytest.raises(ConfigurationError, match=rf"{what.replace('_', ' ')}: bound to {getattr(LIVE, what)}, configured another"):
        check(engine, replace(LIVE, **{what: "another"}), store=True)
    assert known(engine) == LIVE


def test_bound_between_look_and_write(engine: Engine, database_url: str) -> None:
    """Somebody of the same environment may bind it after the look: then there is nothing left to remember."""
    ended = itertools.count()

    def meanwhile(connection: Connection) -> None:
        if next(ended) == 0:  # the look
            check(other, LIVE, store=True)

    with engine_of(database_url) as other:
        event.listen(engine, "commit", meanwhile)
        check(engine, LIVE, store=True)
    assert known(engine) == LIVE
    assert next(ended) > 1


def test_two_first_writes_at_once(engine: Engine) -> None:
    """The later of two first writes from different environments finds out, though it saw no binding when it began."""
    refused: list[ConfigurationError] = []

    def write() -> None:
        try:
            check(engine, LIVE, store=True)
        except ConfigurationError as error:
            refused.append(error)

    thread = threading.Thread(target=write)
    with writing(engine) as connection:
        connection.execute(binding.update().values(environment="staging"))
        thread.start()
        thread.join(0.5)  # it has looked by now, and waits
    thread.join(30)
    assert [error.exit_code for error in refused] == [4]
    assert known(engine) == replace(NOBODY, environment="staging")


def test_identity_holds_no_secret(tmp_path: Path) -> None:
    """The key stands as a fingerprint; Stripe is asked only where there is a key."""
    settings = Settings.load({"INTEGRATION_ENCRYPTION_KEY": "the-key", "NEXT_PUBLIC_PRIVY_APP_ID": "app"}, tmp_path)
    identity = Identity.of(settings, lambda: pytest.fail("asked"))
    assert identity == Identity(None, None, None, "app", hashlib.sha256(b"the-key").hexdigest()[:16])
    assert "the-key" not in repr(identity)
    assert Identity.of(Settings.load({"STRIPE_SECRET_KEY": "sk_test_1"}, tmp_path), lambda: "acct_1").stripe_account == "acct_1"


def test_only_a_sandbox_database_in_the_sandbox(engine: Engine) -> None:
    """In the sandbox a database of another environment, or of the web app, is refused; a fresh one becomes the sandbox's."""
    require_sandbox(engine)
    for foreign in ({"adopted": True}, {"adopted": False, "environment": "development"}):
        with writing(engine) as connection:
            connection.execute(binding.update().values(foreign))
        with pytest.raises(ConfigurationError):
            require_sandbox(engine)
    with writing(engine) as connection:
        connection.execute(binding.update().values(environment=None))
    check(engine, replace(NOBODY, environment="sandbox"), store=True)
    require_sandbox(engine)


HOSTS = [
    ("postgresql+psycopg://u:p@db.example.com/x", "db.example.com"),
    ("postgresql+psycopg://u:p@127.0.0.1:5433/x", "127.0.0.1"),
    ("postgresql+psycopg://u:p@[::1]/x", "::1"),
    ("postgresql+psycopg:///x", ""),
    ("postgresql+psycopg:///x?host=/run/postgresql", ""),
    ("postgresql+psycopg://u:p@localhost/x?host=db.example.com", "db.example.com"),
    ("postgresql+psycopg://u:p@localhost/x?hostaddr=192.0.2.1", "192.0.2.1"),
    ("postgresql+psycopg://localhost:pass/word@db.example.com/x", "db.example.com"),
    ("postgresql+psycopg:///x?host=localhost,db.example.com", "db.example.com"),
    ("postgresql+psycopg:///x?host=,db.example.com", "db.example.com"),
    ("postgresql+psycopg:///x?host=localhost,,db.example.com", "db.example.com"),
    ("postgresql+psycopg:///x?hostaddr=,192.0.2.1", "192.0.2.1"),
    ("postgresql+psycopg:///x?host=127.0.0.1,", "127.0.0.1"),
    ("postgresql+psycopg:///x?service=live", "live"),
    ("sqlite:////tmp/x.db", ""),
]


@pytest.mark.parametrize(("url", "host"), HOSTS)
def test_host_as_libpq_reads_it(url: str, host: str) -> None:
    """The production guard looks at the host that a connection really goes to."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "variables", "host"),
    [
        ("postgresql+psycopg:///x", {"PGHOST": "db.example.com"}, "db.example.com"),
        ("postgresql+psycopg:///x", {"PGHOST": "/run/postgresql"}, ""),
        ("postgresql+psycopg:///x", {"PGHOST": ",db.example.com"}, "db.example.com"),
        ("postgresql+psycopg:///x", {"PGHOSTADDR": "192.0.2.1"}, "192.0.2.1"),
        ("postgresql+psycopg:///x", {"PGSERVICE": "live", "PGHOST": "localhost"}, "live"),
        ("postgresql+psycopg://localhost/x", {"PGHOST": "db.example.com", "PGSERVICE": "live"}, "localhost"),
        ("postgresql+psycopg://localhost/x", {"PGHOSTADDR": "192.0.2.1"}, "192.0.2.1"),
        ("postgresql+psycopg:///x?hostaddr=127.0.0.1", {"PGHOSTADDR": "192.0.2.1"}, "127.0.0.1"),
        ("sqlite:////tmp/x.db", {"PGHOST": "db.example.com"}, ""),
    ],
)
def test_where_libpq_s_own_variables_lead(url: str, variables: dict[str, str], host: str, tmp_path: Path) -> None:
    """What the URL leaves out, the process environment fills in: a database elsewhere without AURA_ENV is production."""
    settings = Settings.load(variables, tmp_path)
    assert host_of(url, settings.libpq) == host
    assert is_production(settings, url) is (host not in ("", "localhost", "127.0.0.1"))


@pytest.mark.parametrize(
    ("environ", "url", "production"),
    [
        ({}, "postgresql+psycopg://u@db.example.com/x", True),
        ({"AURA_ENV": "staging"}, "postgresql+psycopg://u@db.example.com/x", False),
        ({"AURA_ENV": "production"}, "postgresql+psycopg://u@localhost/x", True),
        ({"STRIPE_SECRET_KEY": "sk_live_1", "AURA_ENV": "staging"}, "sqlite:////tmp/x", True),
        ({"STRIPE_SECRET_KEY": "rk_live_1"}, "sqlite:////tmp/x", True),
        ({"STRIPE_SECRET_KEY": "sk_org_live_1"}, "sqlite:////tmp/x", True),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, "sqlite:////tmp/x", False),
        ({}, "postgresql+psycopg://u@localhost/x", False),
    ],
)
def test_what_is_production(tmp_path: Path, environ: dict[str, str], url: str, production: bool) -> None:
    """By name, by a live key, or by a remote database that nobody gave a name."""
    assert is_production(Settings.load(environ, tmp_path), url) is production


def test_target_line(tmp_path: Path) -> None:
    """It tells environment, host, account and mode, and rows; never a password."""
    settings = Settings.load({"STRIPE_SECRET_KEY": "sk_live_1"}, tmp_path)
    line = target_line(settings, "postgresql+psycopg://u:secret@db.example.com/x", LIVE, 4812)
    assert line == "production (AURA_ENV is not set) · database db.example.com · Stripe acct_live (live) · 4,812 rows to change"
