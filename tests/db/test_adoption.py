"""A database that the web app made is taken as it is, or refused with what differs, and never changed in `public`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from aura_cli.db.adoption import examine
from aura_cli.db.check import check
from aura_cli.db.engine import reading
from aura_cli.db.migrate import adopted, downgrade, upgrade
from aura_cli.errors import AttentionNeeded
from tests.parts.migrated import engine_of
from tests.parts.postgres import Server
from tests.parts.program import Aura

WEB_APP = (Path(__file__).parent / "web_app.sql").read_text()
LEFT_ALONE = {"agent_instances", "agent_templates", "agents", "call_logs", "channels", "provisioning_jobs", "voice_settings", "waitlist"}


def run_sql(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def web_app(postgres_database: str) -> str:
    """The address of a database that the web app made."""
    run_sql(postgres_database, WEB_APP)
    return postgres_database


@pytest.fixture
def web_app_engine(web_app: str) -> Iterator[Engine]:
    with engine_of(web_app) as engine:
        yield engine


def dump(server: Server, url: str) -> list[str]:
    """Schema and rows of `public`, without the random token that newer versions print."""
    command = [str(server.programs / "pg_dump"), "--schema=public", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def has_ops(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regnamespace('aura_ops')").fetchone() != (None,)


def test_adoption_leaves_public_as_it_is(postgres_server: Server, web_app: str, web_app_engine: Engine) -> None:
    """Up, down, up and down: schema, rows, indexes and foreign keys of `public` are the same to the byte."""
    before = dump(postgres_server, web_app)
    report = upgrade(web_app_engine)
    assert len(report.adopted) == 8
    assert not report.made
    assert set(report.extra) == {f"table {name}" for name in LEFT_ALONE} | {
        "column users.theme",
        "index integrations_by_age",
        "index one_live_token",
        "index token_balances_user",
    }
    with reading(web_app_engine) as connection:
        assert adopted(connection)
    assert dump(postgres_server, web_app) == before
    assert all(room.usable for room in check(web_app_engine))
    for step in (downgrade, downgrade, upgrade):
        step(web_app_engine)
        assert dump(postgres_server, web_app) == before


def test_adoption_on_the_oldest_postgres(debian_postgres: Server, debian_postgres_database: str) -> None:
    """The same on Debian's PostgreSQL."""
    run_sql(debian_postgres_database, WEB_APP)
    before = dump(debian_postgres, debian_postgres_database)
    with engine_of(debian_postgres_database) as engine:
        assert not upgrade(engine).made
    assert dump(debian_postgres, debian_postgres_database) == before


def test_what_is_missing_is_made(postgres_database: str) -> None:
    """Where only some of the tables stand, the others are made beside them, their types shared."""
    users = WEB_APP[WEB_APP.index("CREATE TABLE users") : WEB_APP.index("CREATE TABLE agents")]
    run_sql(postgres_database, "CREATE TYPE team_role AS ENUM ('owner', 'admin', 'member', 'viewer')", users)
    with engine_of(postgres_database) as engine:
        report = upgrade(engine)
        assert report.adopted == ("users",)
        assert len(report.made) == 7
        assert upgrade(engine).before == report.after


DIFFERENCES = [
    ("ALTER TABLE users ALTER email TYPE varchar(255)", "users.email: expected text, found varchar(255)"),
    (
        "ALTER TABLE subscriptions ALTER trial_end TYPE timestamp",
        "subscriptions.trial_end: expected timestamp with time zone, found timestamp without time zone",
    ),
    (
        "ALTER TABLE subscriptions ALTER trial_end TYPE timestamptz(3)",
        "subscriptions.trial_end: expected timestamp with time zone, found timestamp(3) with time zone",
    ),
    ("ALTER TABLE integrations ALTER metadata TYPE json", "integrations.metadata: expected jsonb, found json"),
    (
        "ALTER TABLE integrations ALTER scopes TYPE varchar[]",
        "integrations.scopes: expected text[], found varchar[]",
    ),
    ("ALTER TABLE token_balances ALTER balance TYPE bigint", "token_balances.balance: expected integer, found bigint"),
    ("ALTER TABLE users DROP avatar_url", "users.avatar_url: expected text, found nothing"),
    (
        "ALTER TYPE team_role ADD VALUE 'guest'",
        "team_members.role: expected team_role(owner, admin, member, viewer), found team_role(owner, admin, member, viewer, guest)",
    ),
    ("ALTER TABLE users ALTER privy_user_id DROP NOT NULL", "users.privy_user_id: expected text NOT NULL, found text NULL"),
    ("ALTER TABLE users ALTER email SET NOT NULL", "users.email: expected text NULL, found text NOT NULL"),
    ("ALTER TABLE users ALTER id DROP DEFAULT", "users.id: expected uuid NOT NULL with a default, found uuid NOT NULL"),
    ("ALTER TABLE users DROP CONSTRAINT users_privy_user_id_key", "users.privy_user_id: expected unique, found not unique"),
]


def test_what_differs_is_named(web_app_engine: Engine) -> None:
    """A column of another type, form or promise is named with both sides."""
    for change, said in DIFFERENCES:
        with web_app_engine.connect() as connection:
            connection.execute(text(change))
            assert str(examine(connection).differences[0]) == said
            connection.rollback()


def test_refusal_on_the_command_line(aura: Aura, web_app: str) -> None:
    """`aura db upgrade` ends with 3 and tells every difference; a dry run does the same."""
    run_sql(web_app, *(change for change, _ in DIFFERENCES[:3:2]))
    for options in ([], ["-n"]):
        done = aura("db", "upgrade", *options, env={"DATABASE_URL": web_app})
        assert done.exit == 3
        assert not done.out
        assert "2 columns of the web app's tables differ; nothing was changed" in done.err
        assert "users.email" in done.err
    assert not has_ops(web_app)


def test_rooms_and_rights(aura: Aura, postgres_server: Server, web_app: str) -> None:
    """`db check` tells for each room whether it can work: rights, absent tables, a column that forbids adding rows."""
    env = {"DATABASE_URL": web_app}
    assert aura("db", "upgrade", env=env).exit == 0
    done = aura("db", "check", "--json", env=env)
    assert done.exit == 0
    assert {room["room"] for room in done.json if room["usable"]} >= {"users", "subscriptions", "integrations", "mail"}
    reader = postgres_server.url(web_app.rpartition("/")[2], user="reader")
    run_sql(
        web_app.replace("aura:", "postgres:"),
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN PASSWORD 'test-password'",
        "GRANT USAGE ON SCHEMA public, aura_ops TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public, aura_ops TO reader",
        "GRANT INSERT, UPDATE ON users TO reader",
        "ALTER TABLE team_members ADD needed text NOT NULL DEFAULT 'x'",
        "ALTER TABLE team_members ALTER needed DROP DEFAULT",
        "DROP TABLE token_top_ups",
    )
    try:
        done = aura("db", "check", env={"DATABASE_URL": reader})
        assert done.exit == 3
        lines = {line.split(":")[0]: line for line in done.out.splitlines()}
        assert lines["users"] == "users: the role may not read and write all of aura_ops"
        assert "table token_top_ups is absent" in lines["subscriptions"]
        assert "the role may not read and write integrations" in lines["integrations"]
        assert "team_members.needed: expected a column that may be left out, found NOT NULL without a default" in lines["mail"]
        run_sql(web_app.replace("aura:", "postgres:"), "REVOKE USAGE ON SCHEMA aura_ops FROM reader")
        assert "may not read and write all of aura_ops" in aura("db", "check", env={"DATABASE_URL": reader}).out
    finally:
        run_sql(web_app.replace("aura:", "postgres:"), "DROP OWNED BY reader", "DROP ROLE reader")


def test_an_administrators_schema_is_taken(postgres_server: Server, web_app: str) -> None:
    """A role that may create no schema works in the one that an administrator made for it."""
    admin = web_app.replace("aura:", "postgres:")
    run_sql(admin, "CREATE SCHEMA aura_ops AUTHORIZATION aura")
    name = web_app.rpartition("/")[2]
    run_sql(
        admin,
        f"ALTER DATABASE {name} OWNER TO postgres",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO aura",
    )
    with engine_of(web_app) as engine:
        upgrade(engine)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM aura_ops.binding")).scalar() == 1


def test_an_sqlite_file_of_somebody_else(sqlite_database: str) -> None:
    """On SQLite a table of a shared name and another shape stops the upgrade as well."""
    with engine_of(sqlite_database) as engine:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT)"))
        with pytest.raises(AttentionNeeded, match=r"users\.privy_user_id: expected text, found nothing"):
            upgrade(engine)
