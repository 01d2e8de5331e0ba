"""What the users room takes against the least that the same work can take, both in one run, medians of interleaved rounds."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text

from aura_cli.db.engine import connect, writing
from aura_cli.db.migrate import upgrade
from aura_cli.drift import scan
from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.privy.users import user_object
from aura_cli.sandbox.server import running
from aura_cli.settings import Setting, Settings
from aura_cli.transport import Service
from aura_cli.users import staging
from aura_cli.users.privy import service
from aura_cli.users.shapes import Staged, read_page
from aura_cli.users.sync import Intake, Sync, Synced
from tests.benchmarks.figures import Figure, interleaved, seconds, show
from tests.parts.program import REPOSITORY

USERS, CHUNK, ROUNDS = 100_000, 10_000, 3
LISTED, LIST_ROUNDS = 1_000, 11
PAGE = 100


class Prepared:
    """Privy's list, all of it in memory: what a sync takes when fetching takes nothing."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.bodies = bodies

    def get(self, path: str, params: dict[str, Any]) -> bytes:
        """The page that the cursor names."""
        return self.bodies[int(params.get("cursor", "0"))]


def bodies() -> list[bytes]:
    """The population as Privy's pages."""
    users = [user_object(person) for person in build(USERS, seed=1, now=1_795_000_000).people]
    pages = [users[first : first + PAGE] for first in range(0, USERS, PAGE)]
    return [
        json.dumps({"data": page, "next_cursor": str(number) if number < len(pages) else None}).encode()
        for number, page in enumerate(pages, 1)
    ]


def sync(engine: Engine, privy: object) -> Synced:
    """All of it, as the command does it."""
    return Sync(engine, cast("Service", privy), PRIVY_APP_ID, "benchmark", lambda: datetime.now(UTC)).everybody()


UPSERT = """INSERT INTO public.users (privy_user_id, email, name, avatar_url, created_at)
    SELECT privy_user_id, email, name, avatar_url, to_timestamp(created) FROM raw_staging WHERE batch = %s
    ON CONFLICT (privy_user_id) DO UPDATE SET email = coalesce(excluded.email, users.email), name = coalesce(excluded.name, users.name),
    avatar_url = coalesce(excluded.avatar_url, users.avatar_url), updated_at = now()
    WHERE (coalesce(excluded.email, users.email), coalesce(excluded.name, users.name), coalesce(excluded.avatar_url, users.avatar_url))
    IS DISTINCT FROM (users.email, users.name, users.avatar_url)"""
REMEMBER = """INSERT INTO aura_ops.privy_users (privy_user_id, verified_email, linked_accounts, created)
    SELECT privy_user_id, verified_email, linked_accounts, created FROM raw_staging WHERE batch = %s
    ON CONFLICT (privy_user_id) DO UPDATE SET verified_email = excluded.verified_email, linked_accounts = excluded.linked_accounts
    WHERE (excluded.verified_email, excluded.linked_accounts) IS DISTINCT FROM (privy_users.verified_email, privy_users.linked_accounts)"""


def raw(url: str, rows: Sequence[Staged], statements: Sequence[str]) -> None:
    """COPY into a staging table and an upsert, 10,000 rows a transaction, out of tuples that are ready."""
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute(
            "CREATE TABLE raw_staging (batch int, privy_user_id text, email text, verified_email text, name text, avatar_url text,"
            " linked_accounts jsonb, created bigint, failure text)"
        )
        for batch, first in enumerate(range(0, len(rows), CHUNK)):
            with connection.cursor().copy("COPY raw_staging FROM STDIN") as copy:
                for row in rows[first : first + CHUNK]:
                    copy.write_row((batch, *row))
            for statement in statements:
                connection.execute(statement, (batch,))
            connection.commit()
        connection.execute("DROP TABLE raw_staging")


def empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE public.users, aura_ops.privy_users, aura_ops.staged_users CASCADE")
        connection.execute("VACUUM ANALYZE")


def take_in(engine: Engine, rows: Sequence[Staged]) -> None:
    """What a sync does to rows that are ready: a batch a transaction with its counts, at the end who is absent, and cleaning up."""
    with writing(engine) as connection:
        intake = Intake(scan.begin(connection, staging.SOURCE, "", {}), merges=True)
    for first in range(0, len(rows), CHUNK):
        with writing(engine) as connection:
            intake.store(connection, rows[first : first + CHUNK])
    with writing(engine) as connection:
        assert staging.absent(connection, intake.scan_id) == []
        staging.forget(connection, intake.scan_id)


def test_into_the_database(database: tuple[str, Engine]) -> None:
    """100,000 users, inserted and then unchanged, against raw SQL that gets the same rows and writes the same two tables.

    For information: a whole sync (decoding pages, cursors, lease, thread) and a raw side that only writes `users`, half of the work.
    """
    url, engine = database
    pages = bodies()
    rows = [row for page in pages for row in cast("list[Staged]", read_page(page).users)]
    gc.collect()
    gc.freeze()  # what lies ready would be walked through again and again, which no sync has to do
    sides: dict[str, Callable[[], object]] = {
        "raw": lambda: raw(url, rows, [UPSERT, REMEMBER]),
        "raw, users alone": lambda: raw(url, rows, [UPSERT]),
        "rows": lambda: take_in(engine, rows),
        "sync": lambda: sync(engine, Prepared(pages)),
    }
    taken: dict[tuple[str, str], list[float]] = {(side, kind): [] for side in sides for kind in ("inserted", "unchanged")}
    for _ in range(ROUNDS):
        for side, work in sides.items():
            empty(url)
            taken[side, "inserted"].append(seconds(work))
            taken[side, "unchanged"].append(seconds(work))
    gc.unfreeze()
    rate = {case: USERS / statistics.median(found) for case, found in taken.items()}
    show(
        *(
            Figure(f"{USERS:,} users {kind}: {ours} ({limit})", f"{most:,.0f}/s", f"{measured:,.0f}/s", measured / most, hold)
            for kind in ("inserted", "unchanged")
            for ours, limit, hold in (("rows", "raw", "≥ 0.7"), ("rows", "raw, users alone", ""), ("sync", "raw", ""))
            for measured, most in [(rate[ours, kind], rate[limit, kind])]
        )
    )


@pytest.mark.parametrize(("users", "latency"), [(10_000, 0.04), (20_000, 0.0)])
def test_with_a_paged_source(database: tuple[str, Engine], users: int, latency: float) -> None:
    """A list at 40 ms a page, as Privy's is, and for its information one that answers at once out of this very process."""
    url, engine = database
    population = build(users, seed=1, now=1_795_000_000)
    with running(population, faults=Faults(latency=latency)) as addresses, service(settings(addresses.privy)) as privy:

        def fetch() -> None:
            cursor: str | None = ""
            while cursor is not None:
                body = privy.get("/v1/users", {"limit": PAGE, **({"cursor": cursor} if cursor else {})})
                cursor = json.loads(body)["next_cursor"]

        def whole() -> None:
            empty(url)
            begun.append(time.perf_counter())
            sync(engine, privy)
            begun[-1] = time.perf_counter() - begun[-1]

        begun: list[float] = []
        alone = interleaved({"fetch": fetch, "sync": whole}, ROUNDS)["fetch"]
    ours = statistics.median(begun)
    work = f"user sync, {users:,} paged at {latency * 1000:.0f} ms: total"
    show(Figure(work, f"{alone:.2f} s fetching alone", f"{ours:.2f} s", ours / alone, "≤ 1.1" if latency else ""))


def settings(base: str) -> Settings:
    values = {"PRIVY_API_BASE": base, "NEXT_PUBLIC_PRIVY_APP_ID": PRIVY_APP_ID, "PRIVY_APP_SECRET": PRIVY_APP_SECRET}
    return Settings({name: Setting(value, "test") for name, value in values.items()}, (), Path(), "benchmark")


SCRIPT = """
import sys
from sqlalchemy import column, create_engine, select, table
with create_engine(sys.argv[1]).connect() as connection:
    columns = "id privy_user_id email name avatar_url stripe_customer_id created_at updated_at".split()
    users = table("users", *(column(n) for n in columns))
    gone = table("privy_users", column("privy_user_id"), column("verified_email"), column("missing_since"))
    joined = users.outerjoin(gone, gone.c.privy_user_id == users.c.privy_user_id)
    found = select(*users.c, gone.c.verified_email, gone.c.missing_since).select_from(joined)
    for row in connection.execute(found.order_by(users.c.created_at.desc(), users.c.id)):
        print(row.id, row.email or "", row.name or "", row.created_at, row.missing_since or "", sep="\\t")
"""


def test_listing(tmp_path: Path) -> None:
    """`aura users list` of 1,000 rows on SQLite, in a pipe, against a script that imports SQLAlchemy Core and does the same SELECT."""
    url = f"sqlite:///{tmp_path / 'aura.db'}"
    engine = connect(url)
    upgrade(engine)
    pages = bodies()[: LISTED // PAGE]
    sync(engine, Prepared([*pages[:-1], last(pages[-1])]))
    engine.dispose()
    assert create_engine(url).connect().execute(text("SELECT count(*) FROM users")).scalar() == LISTED
    environment = {"PYTHONPATH": str(REPOSITORY), "AURA_HOME": str(tmp_path), "DATABASE_URL": url, "HOME": str(tmp_path)}
    commands = {
        "script": [sys.executable, "-c", SCRIPT, url],
        "aura": [sys.executable, "-m", "aura_cli", "users", "list"],
    }
    works = {
        name: lambda c=command: subprocess.run(c, env=environment, check=True, capture_output=True) for name, command in commands.items()
    }
    middle = interleaved(works, LIST_ROUNDS)
    told = {name: f"{found * 1000:.0f} ms" for name, found in middle.items()}
    work = f"aura users list, {LISTED:,} rows"
    show(Figure(work, f"{told['script']} (a script)", told["aura"], middle["aura"] / middle["script"], "≤ 1.5"))


def last(body: bytes) -> bytes:
    """The page, and none after it."""
    return json.dumps({**json.loads(body), "next_cursor": None}).encode()
