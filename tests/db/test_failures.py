"""Whatever is wrong with a database address or the database behind it: the right exit code, a next step, and never the password."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from aura_cli.console import Console
from aura_cli.db.engine import connect, load, writing
from aura_cli.db.failures import translate
from aura_cli.db.location import database_url
from aura_cli.db.migrate import require_current, upgrade
from aura_cli.db.shared import users
from aura_cli.drift.tables import scan_windows
from aura_cli.errors import AuraError
from aura_cli.settings import Settings
from tests.parts.migrated import engine_of
from tests.parts.postgres import PASSWORD, Server
from tests.parts.program import REPOSITORY, Aura
from tests.parts.service import free_port

SECRET = "pass-w0rd-nobody-may-see"


def failure(url: str, act: Callable[..., object] = require_current) -> AuraError:
    """What a person is told when `act` meets the database of this address."""
    try:
        address, _ = database_url(Settings.load({"DATABASE_URL": url}, Path("/")))
        engine = connect(address)
        try:
            act(engine)
        finally:
            engine.dispose()
    except AuraError as error:
        return error
    except Exception as error:
        told = translate(error)
        if told is None:
            raise
        return told
    pytest.fail("it worked")


def told(error: AuraError) -> str:
    return f"{error.message}\n{error.hint}"


MALFORMED = [
    f"u:{SECRET}@host/db",
    f"mysql://u:{SECRET}@host/db",
    f"postgresql+asyncpg://u:{SECRET}@host/db",
    f"POSTGRESQL//u:{SECRET}@host/db",
    f"postgresql://u:{SECRET}@host",
    f"postgresql://u:{SECRET}@host/",
    f"postgresql://u:{SECRET}@host:port/db",
    f"postgresql://u:{SECRET}@host:99999/db",
    f"postgresql://u:{SECRET}@host:0/db",
    f"postgresql://u:{SECRET}@[::1/db",
    "postgresql://",
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    f"sqlite:{SECRET}",
    SECRET,
]


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_addresses(url: str) -> None:
    """They are configuration errors that show the right form and not what was written."""
    error = failure(url)
    assert error.exit_code == 4
    assert "DATABASE_URL" in error.message
    assert "postgresql://HOST/NAME" in error.hint
    assert Console().redact(error.hint) == error.hint
    assert SECRET not in told(error)


@pytest.mark.parametrize("prefix", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_spelling_connects(postgres_database: str, prefix: str) -> None:
    """Both of Neon's spellings reach the database; it has no schema yet, and that is said."""
    error = failure(postgres_database.replace("postgresql", prefix) + "?sslmode=disable")
    assert (error.exit_code, error.message) == (4, "This database has no aura schema yet")


def test_refused_logins(postgres_server: Server) -> None:
    """Wrong password, role or database: configuration, with the server's words."""
    wrong = [
        postgres_server.url("postgres", password=SECRET),
        postgres_server.url("postgres", user="nobody-there", password=SECRET),
        postgres_server.url("not_there"),
        postgres_server.url("postgres", user="aura", password=""),
        postgres_server.url("postgres") + "?bogus=1",
        postgres_server.url("postgres") + "?sslmode=bogus",
    ]
    for url in wrong:
        error = failure(url)
        assert error.exit_code == 4, (url, told(error))
        assert SECRET not in told(error)
        assert PASSWORD not in told(error)


def test_unreachable_hosts(postgres_server: Server, tmp_path: Path) -> None:
    """Nobody listens, the name does not resolve, a socket that is not there: try again later (8)."""
    for url in (
        f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/db",
        f"postgresql://u:{SECRET}@host.invalid/db",
        f"postgresql://u:{SECRET}@/db?host={tmp_path}",
    ):
        error = failure(url)
        assert (error.exit_code, SECRET in told(error)) == (8, False), told(error)


def test_a_server_that_goes_away(postgres_server: Server, postgres_database: str) -> None:
    """A connection that is cut in the middle of a transaction, or of a COPY, is unreachable and not a bug."""

    def cut(engine: Engine, *, in_copy: bool) -> None:
        with writing(engine) as connection:
            process = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
            if in_copy:
                load(connection, scan_windows, ("scan_id",), [["x"]])
            connection.execute(text("SELECT 1"))

    for in_copy in (False, True):
        error = failure(postgres_database, partial(cut, in_copy=in_copy))
        assert error.exit_code == 8, told(error)


def test_read_only_roles(postgres_database: str) -> None:
    """A role that may not write is configuration (4): without rights, and with a read-only default."""
    name = postgres_database.rpartition("/")[2]
    for statement in (
        f"ALTER ROLE aura IN DATABASE {name} SET default_transaction_read_only = on",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ):
        with psycopg.connect(postgres_database.replace("aura:", "postgres:"), autocommit=True) as admin:
            admin.execute("ALTER SCHEMA public OWNER TO postgres")
            admin.execute(statement.encode())
        error = failure(postgres_database, upgrade)
        assert error.exit_code == 4
        assert "may not do this" in error.message
        with psycopg.connect(postgres_database.replace("aura:", "postgres:"), autocommit=True) as admin:
            admin.execute(f"ALTER ROLE aura IN DATABASE {name} RESET default_transaction_read_only".encode())


def test_files_that_are_no_database(tmp_path: Path) -> None:
    """A directory, a missing folder, other content, a file that may not be written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("this is no database at all, but long enough to look like a header of one" * 20)
    for path in ("folder", "nowhere/aura.db", "text"):
        error = failure(f"sqlite:///{tmp_path / path}", upgrade)
        assert error.exit_code == 4, told(error)
        assert error.message.startswith("The database file")
    assert (tmp_path / "text").read_text().startswith("this is")


def test_a_busy_file(tmp_path: Path) -> None:
    """A file that another process holds for longer than we wait is a conflict (6)."""
    url = f"sqlite:///{tmp_path / 'aura.db'}"
    with engine_of(url) as engine:
        upgrade(engine)
    holder = sqlite3.connect(tmp_path / "aura.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    def write(engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(text("SELECT 1"))

    def impatient(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=50")
        write(engine)

    assert failure(url, impatient).exit_code == 6
    holder.close()


FILL = """
import resource, sys
from aura_cli.db.engine import writing
from aura_cli.db.shared import users
from aura_cli.db.failures import translate
from tests.parts.migrated import engine_of
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = os.path.getsize(sys.argv[2])
with engine_of(sys.argv[1]) as engine:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, size + 20_000))
    try:
        with writing(engine) as connection:
            connection.execute(users.insert(), [{"privy_user_id": f"did:privy:{n}", "name": "x" * 500} for n in range(5_000)])
    except Exception as error:
        told = translate(error)
        print(told.exit_code, told.message)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """A file that cannot grow any more is told as such (8), and of the transaction nothing is left."""
    path = tmp_path / "aura.db"
    with engine_of(f"sqlite:///{path}") as engine:
        upgrade(engine)
    done = subprocess.run(
        [sys.executable, "-c", FILL, f"sqlite:///{path}", str(path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("8 "), done.stdout + done.stderr
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_bad_sql_stays_a_bug(engine: Engine) -> None:
    """A broken constraint is nobody's configuration: it comes out untranslated."""
    row = {"privy_user_id": "did:privy:1"}
    with pytest.raises(Exception, match=r"(?i)unique") as raised, writing(engine) as connection:
        connection.execute(users.insert(), [row, row])
    assert translate(raised.value) is None
    assert translate(ValueError("database is locked")) is None


def test_an_error_names_no_values(engine: Engine) -> None:
    """What a failed statement was given (addresses, names) is not in the error, which goes to the terminal and to Sentry."""
    with pytest.raises(DBAPIError) as failed, writing(engine) as connection:
        connection.execute(text("SELECT nothing_there(:address)"), {"address": "somebody@example.com"})
    assert "nothing_there" in str(failed.value)
    assert "somebody@example.com" not in str(failed.value)


def test_nothing_configured(aura: Aura) -> None:
    """The embedded database is used, readable by its owner alone, and that is said once, on stderr; -q says nothing."""
    done = aura("db", "upgrade")
    assert done.exit == 0
    assert done.err.count("using the embedded database") == 1
    assert "embedded" not in done.out
    assert (aura.directory / "data" / "aura.db").stat().st_mode & 0o077 == 0
    assert aura("db", "status", "-q").err == ""


def test_something_configured_but_no_database(aura: Aura) -> None:
    """A key without a database is exit 4, naming where it was looked for; another program's client id is no configuration."""
    (aura.work / ".env").write_text("RESEND_API_KEY=re_test_123456\n")
    done = aura("db", "status")
    assert done.exit == 4
    assert "DATABASE_URL is not set, though RESEND_API_KEY is" in done.err
    assert str(aura.work / ".env.local") in done.err
    assert "re_test_123456" not in done.err
    (aura.work / ".env").unlink()
    assert "embedded" in aura("db", "status", env={"AZURE_CLIENT_ID": "somebody"}).err


def test_a_home_that_is_a_file(aura: Aura) -> None:
    """A data directory that is none is configuration (4)."""
    done = aura("db", "upgrade", env={"AURA_HOME": "/dev/null/x"})
    assert done.exit == 4
    assert "data directory" in done.err
