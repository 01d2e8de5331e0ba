"""The database: reachable, new enough, of this program's schema, usable by every room, writable, and the one that is meant."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, select, text

from aura_cli.db.binding import Identity
from aura_cli.db.binding import check as check_binding
from aura_cli.db.check import check as check_rooms
from aura_cli.db.engine import is_sqlite, reading
from aura_cli.db.migrate import HEAD, current, require_current
from aura_cli.db.types import utc_now
from aura_cli.errors import ConfigurationError
from aura_cli.insight.finding import SETTINGS_FIRST, Finding, absent, fail, ok
from aura_cli.insight.surroundings import NoDatabase, Surroundings

OLDEST = 13  # the first PostgreSQL that makes random ids by itself
UPGRADE = "aura db upgrade"
_EMPTY = absent("schema", "DATABASE_URL; the embedded database is empty", UPGRADE)


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at the configured database, or at the embedded one. Raises DatabaseAway."""
    try:
        engine = about.database.opened()
    except NoDatabase as none:
        yield fail("schema", str(none), UPGRADE) if _meant(about) else _EMPTY
        return
    with reading(engine) as connection:
        server, version = _server(connection)
        schema = current(connection)
        if not is_sqlite(connection):
            about.clocks.append(("the database", _ahead(connection, about.now())))
    yield ok("answer", f"{server} {version}{place(engine)}", about.database.latency_ms)
    if not server.startswith("SQLite") and int(version.partition(".")[0]) < OLDEST:
        yield fail("version", f"PostgreSQL {version} is too old: {OLDEST} is the oldest that aura works on")
    yield from _schema(about, engine, schema)


def _meant(about: Surroundings) -> bool:
    return about.settings.secret("DATABASE_URL") is not None


def _schema(about: Surroundings, engine: Engine, schema: str | None) -> Iterator[Finding]:
    if schema is None and not _meant(about):
        yield _EMPTY
        return
    try:
        require_current(engine)
    except ConfigurationError as error:
        yield fail("schema", error.message, UPGRADE if (schema or "") < HEAD else None)
        return
    unusable = [room for room in check_rooms(engine) if not room.usable]
    reasons = dict.fromkeys(reason for room in unusable for reason in room.reasons)
    if unusable:
        yield fail("schema", f"{', '.join(room.room for room in unusable)} cannot work: {'; '.join(reasons)}", "aura db check")
    else:
        yield ok("schema", f"schema {schema}")
    with reading(engine) as connection:
        if why := _read_only(connection):
            yield fail("writable", f"nothing can be written: {why}", "aura env show")
        else:
            yield ok("writable", "writable")
    yield from _binding(about, engine)


def _binding(about: Surroundings, engine: Engine) -> Iterator[Finding]:
    """Whether what is configured belongs to it; the Stripe account is compared where Stripe is asked."""
    identity = replace(Identity.of(about.settings, lambda: ""), stripe_account=None)
    try:
        check_binding(engine, identity, store=False)
    except ConfigurationError as error:
        yield fail("binding", f"{error.message}; {SETTINGS_FIRST}", "aura env show")


def _server(connection: Connection) -> tuple[str, str]:
    if is_sqlite(connection):
        return "SQLite", str(connection.execute(text("SELECT sqlite_version()")).scalar())
    return "PostgreSQL", str(connection.execute(text("SHOW server_version")).scalar()).partition(" ")[0]


def place(engine: Engine) -> str:
    """Where it is, and through what: Neon's pooled hosts bear it in their names (https://neon.com/docs/connect/connection-pooling)."""
    host = engine.url.host or ""
    if engine.dialect.name == "sqlite":
        return f" in {engine.url.database}"
    pooled = "pooled" if "-pooler." in host else "direct"
    return f" at {host or 'a local socket'}" + (f", {pooled}" if host.endswith(".neon.tech") or pooled == "pooled" else "")


def _read_only(connection: Connection) -> str | None:
    """Why nothing can be written; None where it can. Nothing is written to find out."""
    if is_sqlite(connection):
        path = Path(str(connection.engine.url.database))
        shut = next((one for one in (path, path.parent) if not os.access(one, os.W_OK)), None)
        return f"{shut} may not be written to" if shut else None
    recovering, read_only = connection.execute(text("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')")).one()
    if recovering:
        return "it is a replica that follows another; DATABASE_URL must lead to the primary"
    return "default_transaction_read_only is on" if read_only == "on" else None


def _ahead(connection: Connection, now: datetime) -> float:
    moment: datetime = connection.execute(select(utc_now())).scalar_one()
    return (moment - now).total_seconds()
