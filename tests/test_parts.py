"""The services that the other tests rely on are what they say, and nothing of them stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from tests.parts.postgres import Server
from tests.parts.program import REPOSITORY, Aura
from tests.parts.sampling import WHOLE, sample


def test_database_is_fresh(database_url: str) -> None:
    """Both kinds of database can be written to and begin empty."""
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE proof (id INTEGER)"))
    assert sqlalchemy.inspect(engine).get_table_names() == ["proof"]
    engine.dispose()


def test_newest_postgres(postgres_server: Server) -> None:
    """The wheel's server is PostgreSQL 18."""
    with psycopg.connect(postgres_server.admin_url) as connection:
        assert connection.info.server_version // 10_000 == 18


def test_debian_postgres(debian_postgres: Server, debian_postgres_database: str) -> None:
    """Debian's server is the one from apt, and its databases belong to the same ordinary role."""
    assert debian_postgres.programs.is_relative_to("/usr/lib/postgresql")
    with psycopg.connect(debian_postgres_database) as connection:
        assert connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == ("aura", False)


@pytest.mark.parametrize("through_socket", [False, True])
def test_wrong_password_is_refused(postgres_server: Server, through_socket: bool) -> None:
    """Passwords are checked on TCP and on the Unix socket alike."""
    host = str(postgres_server.directory) if through_socket else "127.0.0.1"
    url = postgres_server.url("postgres", password="wrong-password")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url, host=host)


def test_pgbouncer_gives_no_session(pooled_database: str) -> None:
    """The pooler is what Neon's is: the next transaction may run in another server process, and start-up options are refused."""
    with psycopg.connect(pooled_database, autocommit=True) as ours, psycopg.connect(pooled_database) as other:
        before = ours.execute("SELECT pg_backend_pid()").fetchone()
        other.execute("SELECT 1")  # its open transaction takes the server process that we just gave back
        assert ours.execute("SELECT pg_backend_pid()").fetchone() != before
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(pooled_database, options="-c statement_timeout=1000")


def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """A server ends, and its directory goes, although the process that started it is killed."""
    script = (
        "import time\nfrom tests.parts.postgres import FAST, newest_postgres\n"
        "with newest_postgres(**FAST) as server:\n    print(server.directory, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        directory = Path(parent.stdout.readline().strip())
        server = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_sample_is_seeded() -> None:
    """The same seed picks the same cases in their order; a whole run takes them all."""
    cases = range(100)
    assert sample(cases, 200) == list(cases)
    assert sample(cases, 5) == (list(cases) if WHOLE else sorted(sample(cases, 5)))
    assert WHOLE or len(set(sample(cases, 5)) & set(sample(cases, 5, seed=1))) < 5


@pytest.mark.parametrize(
    ("words", "env", "given"),
    [
        (("users", "list", "--json"), {}, None),
        (("db", "status"), {"DATABASE_URL": "nonsense://"}, None),
        (("env", "show"), {"AURA_OPERATOR": "ünï\udcff", "HOME": ""}, ""),
        (("webhooks", "send", "--file", "event.json", "--to", "http://127.0.0.1:9/"), {"STRIPE_WEBHOOK_SECRET": "whsec_x"}, None),
        (("nothing",), {}, "said\n"),
        (("--help",), {"COLUMNS": "60", "TERM": "xterm"}, None),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, tuple) else "",
)
def test_forked_is_like_fresh(aura: Aura, words: tuple[str, ...], env: dict[str, str], given: str | None) -> None:
    """A run of the program that was forked ends as one that was started does, with the same words; a file is found where it runs."""
    (aura.work / "event.json").write_bytes(b"[]")
    fresh = Aura(aura.directory, fresh=True)(*words, env=env, input=given)
    assert Aura(aura.directory, fresh=False)(*words, env=env, input=given) == fresh
    assert fresh.out + fresh.err


@pytest.mark.parametrize("fresh", [False, True])
def test_a_started_run_is_a_process_of_its_own(aura: Aura, fresh: bool) -> None:
    """Forked or not: it is told what to do on its standard input, killed by its number, stopped by signals, and given up in time."""
    run = Aura(aura.directory, fresh=fresh)
    env = {"AURA_PROVIDERS_DIR": "", "DATABASE_URL": f"sqlite:///{aura.directory}/aura.db", "AURA_ENV": "development"}
    assert run("db", "upgrade", env=env).exit == 0
    with run.start("sandbox", "--users", "20", env=env) as one, run.start("sandbox", "--users", "20", env=env) as other:
        assert one.stdout
        assert other.stdout
        assert one.stdout.readline()
        assert other.stdout.readline()
        assert one.pid != other.pid
        assert one.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0.05)
        os.kill(one.pid, signal.SIGKILL)
        other.send_signal(signal.SIGINT)
        assert (one.wait(20), other.wait(20), one.poll()) == (-9, 130, -9)
    with pytest.raises(subprocess.TimeoutExpired):
        run("sandbox", "--users", "20", env=env, timeout=0.5)
