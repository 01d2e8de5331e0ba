"""Reconcile against a list that answers at once or after 40 ms a page: its rate, and what it needs of memory as the list grows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg
import pytest

from aura_cli.db.engine import connect, writing
from aura_cli.db.leases import lease
from aura_cli.db.migrate import upgrade
from aura_cli.drift import scan
from aura_cli.settings import Setting, Settings
from aura_cli.subscriptions import scanning
from aura_cli.subscriptions.stripe import service
from aura_cli.transport import Service
from tests.benchmarks import limit_scan, page_server
from tests.benchmarks.figures import WHOLE, Figure, Ran, run, seconds, show
from tests.benchmarks.filling import fill
from tests.parts.postgres import FAST, newest_postgres
from tests.parts.program import REPOSITORY

ROWS, LATENCY, ROUNDS = 100_000, 0.04, 3
SMALL, LARGE = 20_000, 1_000_000
KEY = "sk_test_sandbox_Benchmark0000"


@contextmanager
def pages(rows: int, latency: float) -> Iterator[str]:
    """The address of a page server in a process of its own."""
    command = [sys.executable, "-m", page_server.__name__, str(rows), str(latency)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


@contextmanager
def database(rows: int) -> Iterator[str]:
    """A PostgreSQL database in which everything agrees with the page server's subscriptions."""
    with newest_postgres(**FAST) as server, server.database() as name:
        url = server.url(name)
        engine = connect(sqlalchemy(url))
        upgrade(engine)
        engine.dispose()
        fill(url, rows, staged=False)
        forget(url)
        yield url


def sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def forget(url: str) -> None:
    """Empty everything that a reconcile keeps."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("staged_subscriptions", "subscription_states", "customer_links", "scans CASCADE", "plans CASCADE"):
            connection.execute(f"TRUNCATE aura_ops.{table}".encode())
        connection.execute("VACUUM ANALYZE")


def reconcile(base: str, url: str, home: Path, out: Path) -> Ran:
    """`aura subscriptions reconcile --json` into a file."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(home),
        "DATABASE_URL": url,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": base,
        "AURA_ENV": "development",
    }
    with out.open("wb") as file:
        command = (sys.executable, "-m", "aura_cli", "subscriptions", "reconcile", "--json", "--max-rps", "0")
        return run(*command, env=env, out=file)


def scanned(url: str, stripe: Service) -> None:
    """The scan alone, as a reconcile does it."""
    engine = connect(sqlalchemy(url))
    with lease(engine, "benchmark") as held:
        with writing(engine) as connection:
            found = scan.begin(connection, "stripe_subscriptions", "", {})
        fetch = scanning.subscription_pages(stripe, found, ())
        count = scan.run(engine, found, fetch, scanning.store_subscriptions, lease=held, threads=scanning.THREADS)
    engine.dispose()
    assert count == ROWS


def settings(base: str) -> Settings:
    values = {"STRIPE_API_BASE": base, "STRIPE_SECRET_KEY": KEY}
    return Settings({name: Setting(value, "benchmark") for name, value in values.items()}, (), Path(), "benchmark")


def limit(base: str, url: str) -> float:
    """Seconds of the script that does no more than it must."""
    last = page_server.FIRST + (ROWS + 1) * page_server.GAP
    command = [sys.executable, str(limit_scan.__file__), base, url, str(page_server.FIRST), str(last)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_the_rate(tmp_path: Path) -> None:
    """100,000 subscriptions at 40 ms a page: the scan, and the whole command, against a script that knows its windows beforehand."""
    taken: dict[str, list[float]] = {"limit": [], "scan": [], "again": [], "whole": []}
    with database(ROWS) as url, pages(ROWS, LATENCY) as base, service(settings(base), 0) as stripe:
        for _ in range(ROUNDS):
            taken["limit"].append(limit(base, url))
            forget(url)
            taken["scan"].append(seconds(lambda: scanned(url, stripe)))
            forget(url)
            for name in ("whole", "again"):
                ran = reconcile(base, url, tmp_path, tmp_path / "out")
                assert ran.exit == 0, ran.err + (tmp_path / "out").read_text()[:1000]
                taken[name].append(ran.seconds)
            forget(url)
    best = ROWS / median(taken["limit"])
    names = {"scan": "scan", "whole": "reconcile, first time", "again": "reconcile, again"}
    show(
        *(
            Figure(
                f"{work}, 100k, 40 ms a page",
                f"8 known windows {best:,.0f}/s",
                f"{ROWS / median(taken[name]):,.0f}/s",
                ROWS / median(taken[name]) / best,
                "≥0.8",
            )
            for name, work in names.items()
        )
    )


@pytest.mark.skipif(not WHOLE, reason="takes minutes: AURA_TEST_WHOLE=1")
def test_the_memory(tmp_path: Path) -> None:
    """The most memory that a reconcile of a million has, against one of 20,000."""
    ran = {}
    for rows in (SMALL, LARGE):
        with database(rows) as url, pages(rows, 0) as base:
            ran[rows] = reconcile(base, url, tmp_path, tmp_path / "out")
        assert ran[rows].exit == 0, ran[rows].err + (tmp_path / "out").read_text()[:1000]
    show(
        Figure(
            f"peak memory of a reconcile, 1M, {LARGE / ran[LARGE].seconds:,.0f}/s",
            f"at 20k {ran[SMALL].peak / 1e6:.0f} MB",
            f"{ran[LARGE].peak / 1e6:.0f} MB",
            ran[LARGE].peak / ran[SMALL].peak,
            "≤1.3",
        )
    )
