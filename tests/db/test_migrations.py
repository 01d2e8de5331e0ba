"""The schema's history goes up and down on both databases, and is what the code's tables say."""

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, inspect, text
from sqlalchemy.schema import BLANK_SCHEMA

import aura_cli
from aura_cli.audit.log import record
from aura_cli.db.engine import is_sqlite, reading, writing
from aura_cli.db.migrate import HEAD, adopted, current, downgrade, require_current, upgrade
from aura_cli.db.shared import METADATA, OPS, PUBLIC, SHARED
from aura_cli.errors import ConfigurationError, ConflictError, NotFoundError
from tests.parts.migrated import engine_of
from tests.parts.postgres import Server
from tests.parts.program import REPOSITORY, Aura

PACKAGE = Path(aura_cli.__file__).parent

# How names begin of what no table tells: full-text search, and Alembic's own.
BY_HAND = ("aura_version", "chat_search", "chat_messages_words")
BEFORE = "0006"  # what a downgrade from HEAD leads to


def version(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return current(connection)


def tables(engine: Engine, schema: str) -> set[str]:
    with reading(engine) as connection:
        names = set(inspect(connection).get_table_names(schema=None if is_sqlite(connection) else schema))
        shared = {table.name for table in SHARED}
        return names & shared if schema == PUBLIC else names - shared if is_sqlite(connection) else names


def test_up_twice_down_and_up(bare_engine: Engine) -> None:
    """Everything is made once; going down takes ours away, a version at a time, and leaves the web app's; up again works."""
    with pytest.raises(ConfigurationError, match="no aura schema yet"):
        require_current(bare_engine)
    first = upgrade(bare_engine, dry_run=True)
    assert (first.before, first.after, len(first.made), first.dry_run) == (None, HEAD, 8, True)
    assert not tables(bare_engine, PUBLIC)
    assert upgrade(bare_engine).after == HEAD
    assert upgrade(bare_engine).before == HEAD
    assert (downgrade(bare_engine, dry_run=True).after, version(bare_engine)) == (BEFORE, HEAD)
    require_current(bare_engine)
    assert downgrade(bare_engine).after == BEFORE
    assert upgrade(bare_engine).before == BEFORE
    assert [downgrade(bare_engine).after for _ in range(6)] == [BEFORE, "0005", "0004", "0003", "0002", "0001"]
    assert (upgrade(bare_engine, dry_run=True).after, version(bare_engine)) == (HEAD, "0001")
    assert tables(bare_engine, OPS) == {"aura_version"}
    with pytest.raises(ConfigurationError, match="older"):
        require_current(bare_engine)
    assert downgrade(bare_engine).after is None
    with pytest.raises(NotFoundError):
        downgrade(bare_engine)
    assert len(tables(bare_engine, PUBLIC)) == 8
    assert upgrade(bare_engine).after == HEAD


@pytest.mark.parametrize("theirs", [False, True])
def test_whose_the_tables_are_outlives_a_downgrade(bare_engine: Engine, theirs: bool) -> None:
    """Down to where there is no binding and up again: tables that we made do not become the web app's, and theirs stay theirs."""
    with writing(bare_engine) as connection:
        if theirs:
            METADATA.create_all(connection, tables=list(SHARED))
    upgrade(bare_engine)
    for _ in range(2):
        while version(bare_engine) != "0001":
            downgrade(bare_engine)
        upgrade(bare_engine)
        with reading(bare_engine) as connection:
            assert adopted(connection) is theirs


def test_downgrade_refuses_to_lose_rows(engine: Engine) -> None:
    """Rows of ours that it would drop stop a downgrade unless they are given up; the web app's rows stay in any case."""
    while version(engine) != "0002":
        downgrade(engine)
    with writing(engine) as connection:
        record(connection, "operator", "test", "key")
        connection.execute(SHARED[0].insert().values(privy_user_id="did:privy:one"))
    with pytest.raises(ConflictError, match="operator_log"):
        downgrade(engine)
    assert version(engine) == "0002"
    downgrade(engine, discard=True)
    with reading(engine) as connection:
        assert connection.execute(SHARED[0].select()).all()


def test_a_newer_database_is_left_alone(engine: Engine, database_url: str, aura: Aura) -> None:
    """A schema of a later program stops every command with 4, and nothing is changed."""
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {'' if is_sqlite(connection) else 'aura_ops.'}aura_version SET version_num = '9999'"))
    for attempt in (upgrade, downgrade, require_current):
        with pytest.raises(ConfigurationError, match="newer"):
            attempt(engine)
    assert aura("db", "downgrade", env={"DATABASE_URL": database_url}).exit == 4
    assert version(engine) == "9999"


def test_models_and_migrations_agree(engine: Engine) -> None:
    """Alembic finds nothing that the tables of all rooms and the migrated database say differently."""
    for path in PACKAGE.glob("*/tables.py"):
        importlib.import_module(f"aura_cli.{path.parent.name}.tables")
    with reading(engine) as connection:
        to = {PUBLIC: None, OPS: None if is_sqlite(connection) else OPS}  # Alembic sees PostgreSQL's default schema without its name
        ours = MetaData()
        for table in METADATA.tables.values():
            copied: Any = table.to_metadata
            copied(ours, schema=to[str(table.schema)], referred_schema_fn=lambda *parts: to[parts[3]] or BLANK_SCHEMA)
        names = {"schema": {None, OPS}}
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": to[OPS] is not None,
                "include_name": lambda name, kind, parents: not (name or "").startswith(BY_HAND) and name in names.get(kind, {name}),
            },
        )
        assert not compare_metadata(context, ours)


def test_upgrades_at_the_same_time(database_url: str) -> None:
    """Several programs that start on an empty database at once all end well, and it is made once."""
    ended: list[object] = []

    def up() -> None:
        try:
            with engine_of(database_url) as engine:
                ended.append(upgrade(engine).after)
        except Exception as error:  # noqa: BLE001 (shown by the assertion)
            ended.append(error)

    threads = [threading.Thread(target=up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [HEAD] * 4


def test_upgrade_through_a_pooler(pooled_database: str) -> None:
    """Transaction pooling, as on Neon's pooled host, is enough."""
    with engine_of(pooled_database) as engine:
        assert upgrade(engine).after == HEAD
        assert downgrade(engine).after == BEFORE
        assert upgrade(engine).after == HEAD


def test_payloads_are_compressed_by_lz4(debian_postgres: Server) -> None:
    """Where the server has lz4 (not all are built with it), a webhook's payload is compressed by that; going down ends it."""
    compression = "SELECT attcompression FROM pg_attribute WHERE attrelid = 'aura_ops.webhook_events'::regclass AND attname = 'payload'"
    with debian_postgres.database() as name, engine_of(debian_postgres.url(name)) as engine:
        found = []
        for after in (HEAD, "0004", HEAD):
            upgrade(engine)
            while version(engine) != after:
                downgrade(engine)
            with reading(engine) as connection:
                found.append(connection.exec_driver_sql(compression).scalar_one())
        assert found == ["l", "", "l"]


def test_a_killed_upgrade_left_nothing(database_url: str) -> None:
    """An upgrade that breaks off in its middle changes nothing: the next one makes everything."""
    with engine_of(database_url) as engine:
        script = (
            "import os, sys; from sqlalchemy import event\n"
            "from aura_cli.db.migrate import upgrade; from tests.parts.migrated import engine_of\n"
            "with engine_of(sys.argv[1]) as engine:\n"
            "    event.listen(engine, 'before_cursor_execute', lambda *a: os._exit(9) if 'outbox' in a[2] else None)\n"
            "    upgrade(engine)"
        )
        assert subprocess.run([sys.executable, "-c", script, database_url], cwd=REPOSITORY, check=False).returncode == 9
        assert not tables(engine, PUBLIC)
        assert upgrade(engine).after == HEAD


def test_the_wheel_brings_its_migrations(tmp_path: Path) -> None:
    """Installed from a wheel into another folder, `aura db upgrade` and `status` work without the checkout."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stderr.decode()
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "100% elsewhere"
    install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", str(place), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    env = {"PATH": os.defpath, "PYTHONPATH": str(place), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    script = "from aura_cli.__main__ import main; main()"
    for verb, said in (("upgrade", HEAD), ("status", f"this program needs {HEAD}")):
        done = subprocess.run(
            [sys.executable, "-c", script, "db", verb], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    show = [sys.executable, "-c", "import aura_cli; print(aura_cli.__file__)"]
    where = subprocess.run(show, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert where.stdout.decode().startswith(str(place))
