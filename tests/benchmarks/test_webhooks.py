"""Taking webhooks in, durably, against an aiohttp server that only verifies their signatures; both in one run, interleaved rounds."""

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET, Addresses, environment
from aura_cli.webhooks.tables import webhook_events
from tests.benchmarks.figures import Figure, show
from tests.parts.books import population
from tests.parts.migrated import engine_of
from tests.parts.postgres import debians_postgres
from tests.parts.program import REPOSITORY
from tests.parts.stripe import stand_in

SIZE = 6_000  # bytes
EVENTS = {1: 2_000, 16: 8_000, 64: 8_000}  # by clients
ROUNDS = 15
MS = "{:.1f} ms"
HOLDS = {("postgresql", 64): "≥ 0.65"}
EMPTY = {"postgresql": "TRUNCATE aura_ops.webhook_events", "sqlite": "DELETE FROM webhook_events"}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Server:
    """Something that takes webhooks."""

    port: int
    path: str


@dataclass(frozen=True)
class Measured:
    """One round: events a second, and milliseconds that half, and 99 of 100, of the answers took at most."""

    rate: float
    p50: float
    p99: float


@contextmanager
def started(command: Sequence[str], variables: dict[str, str], program: str = sys.executable) -> Iterator[str]:
    """A program that says one line when it is ready."""
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **variables}
    with subprocess.Popen([program, *command], env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout
        try:
            yield run.stdout.readline()
        finally:
            run.terminate()


@contextmanager
def verifying() -> Iterator[Server]:
    """The peer."""
    with started([str(HERE / "webhook_limit.py"), STRIPE_WEBHOOK_SECRET], {}) as line:
        yield Server(int(line), "/")


@contextmanager
def storing(url: str, home: Path) -> Iterator[Server]:
    """Ours, as the command runs it."""
    with stand_in(population()) as stripe:
        variables = environment(Addresses(stripe.base, stripe.base), home, url)
        command = ["-m", "aura_cli", "serve-webhooks", "--json", "--port", "0", "--admin-port", "0", "--workers", "0", "--path", "/"]
        with started(command, variables) as line:
            yield Server(int(re.findall(r":(\d+)/", json.loads(line)["url"])[0]), "/")


def load(server: Server, clients: int, prefix: str) -> Measured:
    """Send as fast as so many clients can, out of a process of their own."""
    words = (server.port, server.path, clients, EVENTS[clients], STRIPE_WEBHOOK_SECRET, SIZE, prefix)
    command = [sys.executable, str(HERE / "webhook_load.py"), *map(str, words)]
    done = subprocess.run(command, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return Measured(said["rate"], said["p50"] * 1000, said["p99"] * 1000)


def compare(engine: Engine, ours: Server, peer: Server, clients: int) -> list[Figure]:
    """Rounds in pairs, each begun by the other side than the last; the medians, and of the ratios those of the pairs.

    A machine whose speed drifts (others on the same processor) is about as fast in one half of a pair as in the other.
    """
    kind, pairs = engine.dialect.name, list[tuple[Measured, Measured]]()
    for number in range(ROUNDS):
        found = {}
        for server in (peer, ours) if number % 2 else (ours, peer):
            found[server] = load(server, clients, f"c{clients}x{number}x")
        pairs.append((found[peer], found[ours]))
        with writing(engine) as connection:
            assert connection.execute(select(func.count()).select_from(webhook_events)).scalar() == EVENTS[clients]
            connection.exec_driver_sql(EMPTY[kind])  # no dead rows for a later round to walk over
    figures = []
    for name, most, least in (("rate", "{:,.0f}/s verified", "{:,.0f}/s"), ("p50", *[MS] * 2), ("p99", *[MS] * 2)):
        both = [(getattr(theirs, name), getattr(mine, name)) for theirs, mine in pairs]
        theirs, mine = (statistics.median(side) for side in zip(*both, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in both)
        work = f"intake, {kind}, {clients} clients" + (f": {name}" if name != "rate" else "")
        holds = HOLDS.get((kind, clients), "") if name == "rate" else ""
        figures.append(Figure(work, most.format(theirs), least.format(mine), ratio, holds))
    return figures


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_intake(kind: str, tmp_path: Path) -> None:
    """Verified, stored by a commit that reached the disk, and deduplicated, against verified alone.

    PostgreSQL is Debian's: it has lz4, as the managed ones do and the wheel has not.
    """
    with ExitStack() as open_:
        url = f"sqlite:///{tmp_path / 'aura.db'}"
        if kind == "postgresql":
            server = open_.enter_context(debians_postgres())
            url = server.url(open_.enter_context(server.database()))
        engine = open_.enter_context(engine_of(url))
        upgrade(engine)
        peer, ours = open_.enter_context(verifying()), open_.enter_context(storing(url, tmp_path))
        show(*(figure for clients in EVENTS for figure in compare(engine, ours, peer, clients)))
        with reading(engine) as connection:
            assert connection.execute(select(func.count()).select_from(webhook_events)).scalar() == 0
