"""Webhooks until they are subscriptions: received, stored and worked on, against an upsert within each request; interleaved rounds.

The upsert is stripe-sync-engine's (npm @supabase/stripe-sync-engine, as released), and, to show what is Node's share in that, the
same statements in Python.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psycopg
from sqlalchemy import Engine, func, insert, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.db.shared import users
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.tables import webhook_events
from tests.benchmarks.figures import Figure, show
from tests.benchmarks.test_webhooks import SIZE, Measured, Server, started
from tests.benchmarks.webhook_changes import BEGAN, ROUND_SECONDS, customer
from tests.parts import believing, insisting
from tests.parts.books import contract, opened, person, population
from tests.parts.migrated import engine_of
from tests.parts.outside import node
from tests.parts.postgres import ADMIN, newest_postgres
from tests.parts.program import REPOSITORY
from tests.parts.service import free_port

ALIKE = """SELECT count(*) FROM peer.subscriptions p JOIN public.subscriptions s ON s.stripe_subscription_id = p.id
    WHERE p.cancel_at_period_end = s.cancel_at_period_end AND to_timestamp(p.current_period_end) = s.current_period_end"""
ENGINES = "SELECT id, cancel_at_period_end FROM stripe.subscriptions ORDER BY id"
OURS = "SELECT stripe_subscription_id, cancel_at_period_end FROM public.subscriptions ORDER BY 1"
SUBSCRIPTIONS = 1_000
EACH = {1: 1, 16: 4, 64: 8}  # changes of each of them in a round, by clients
ROUNDS = 5
HERE = Path(__file__).parent
ENGINE, UPSERT = "sync-engine", "in Python"


@contextmanager
def engine_running(url: str) -> Iterator[Server]:
    """The peer; its migrations want a superuser's `url`."""
    scripts = HERE / "node"
    with started([str(scripts / "engine.cjs"), STRIPE_WEBHOOK_SECRET, url], {}, node(scripts)) as line:
        yield Server(int(line), "/")


@contextmanager
def upserting(url: str) -> Iterator[Server]:
    """What the peer does, in Python."""
    with started([str(HERE / "webhook_upsert.py"), STRIPE_WEBHOOK_SECRET, url], {}) as line:
        yield Server(int(line), "/")


@contextmanager
def working(url: str) -> Iterator[Server]:
    """Ours: a listener and a worker, each a process of its own; they believe the events, as the peer does."""
    port, variables = free_port(), {"DATABASE_URL": url}
    with ExitStack() as open_:
        for what in ("serve", "work"):
            open_.enter_context(started(["-m", believing.__name__, what, str(port), STRIPE_WEBHOOK_SECRET], variables))
        yield Server(port, insisting.PATH)


def load(server: Server, clients: int, round_: int) -> Measured:
    """Send a round as fast as so many clients can, out of a process of their own."""
    words = (server.port, server.path, clients, SUBSCRIPTIONS, EACH[clients], STRIPE_WEBHOOK_SECRET, SIZE, round_)
    command = [sys.executable, "-m", "tests.benchmarks.webhook_changes", *map(str, words)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout))


@dataclass(frozen=True)
class Processed:
    """One round of ours: events a second from the first that arrived to the last that was done, and how long they took (seconds)."""

    rate: float
    p50: float
    p99: float


def processed(engine: Engine, clients: int, round_: int) -> Processed:
    """Wait until a round is done with, and look at its times."""
    e, begin = webhook_events.c, BEGAN + round_ * ROUND_SECONDS
    those = e.created.between(begin, begin + ROUND_SECONDS - 1)
    count = SUBSCRIPTIONS * EACH[clients]
    while _is_at_work(engine):
        time.sleep(0.05)
    taken = func.extract("epoch", e.finished_at - e.received_at)
    quantiles = [func.percentile_cont(part).within_group(taken) for part in (0.5, 0.99)]
    whole = func.extract("epoch", func.max(e.finished_at) - func.min(e.received_at))
    with reading(engine) as connection:
        assert set(connection.execute(select(e.outcome).where(those).distinct()).scalars()) <= {"applied", "unchanged", "stale"}
        assert connection.execute(select(func.count()).where(those, e.finished_at.is_not(None))).scalar() == count
        seconds, *found = (float(one) for one in connection.execute(select(whole, *quantiles).where(those)).one())
    return Processed(count / seconds, *found)


def _is_at_work(engine: Engine) -> bool:
    """Asked by the small index of what is due: to look must cost nothing."""
    with reading(engine) as connection:
        return connection.execute(select(webhook_events.c.id).where(webhook_events.c.due_at.is_not(None)).limit(1)).first() is not None


def compare(engine: Engine, ours: Server, peers: dict[str, Server], clients: int, first: int) -> list[Figure]:
    """Rounds in turns; the medians."""
    asked: dict[str, list[Measured]] = {name: [] for name in ("ours", *peers)}
    done: list[Processed] = []
    for number in range(first, first + ROUNDS):
        for name, peer in peers.items():
            asked[name].append(load(peer, clients, number))
        asked["ours"].append(load(ours, clients, number))
        done.append(processed(engine, clients, number))
    work, rate = f"processed, {clients} clients", median(one.rate for one in done)
    figures = []
    for name, found in asked.items():
        if name != "ours":
            theirs = median(one.rate for one in found)
            hold = "≥ 3" if (name, clients) == (ENGINE, max(EACH)) else ""
            figures.append(Figure(work, f"{theirs:,.0f}/s {name}", f"{rate:,.0f}/s", rate / theirs, hold))
    for name in ("p50", "p99"):
        most, answer, until = (median(getattr(one, name) for one in those) * 1000 for those in (asked[ENGINE], asked["ours"], done))
        figures.append(Figure(f"{work}: {name} of the answer", f"{most:.1f} ms", f"{answer:.1f} ms", answer / most))
        figures.append(Figure(f"{work}: {name} until done", f"{most:.1f} ms", f"{until:.1f} ms", until / most))
    return figures


def prepare(engine: Engine) -> None:
    """The schema, and a user for each customer."""
    upgrade(engine)
    names = [customer(number) for number in range(SUBSCRIPTIONS)]
    with writing(engine) as connection:
        connection.execute(insert(users), [{"privy_user_id": f"did:privy:{name}", "stripe_customer_id": name} for name in names])


def test_processed() -> None:
    """Changes of known subscriptions, believed as the peer believes them, on a PostgreSQL whose commits reach the disk."""
    with ExitStack() as open_:
        server = open_.enter_context(newest_postgres())
        url = server.url(open_.enter_context(server.database()))
        engine = open_.enter_context(engine_of(url))
        prepare(engine)
        beside = server.url(open_.enter_context(server.database()), user=ADMIN)
        peers = {ENGINE: open_.enter_context(engine_running(beside))}
        peers[UPSERT] = open_.enter_context(upserting(url))
        ours = open_.enter_context(working(url))
        new = {name: load(peer, max(EACH), 0) for name, peer in peers.items()}  # all subscriptions begin
        load(ours, max(EACH), 0)
        first = processed(engine, max(EACH), 0).rate
        figures = [
            Figure("processed, all of them new", f"{one.rate:,.0f}/s {name}", f"{first:,.0f}/s", first / one.rate)
            for name, one in new.items()
        ]
        for number, clients in enumerate(EACH):
            figures += compare(engine, ours, peers, clients, 1 + number * ROUNDS)
        show(*figures)
        with reading(engine) as connection:
            assert connection.execute(text(ALIKE)).scalar() == SUBSCRIPTIONS
            ours_now = [tuple(row) for row in connection.execute(text(OURS))]
        with psycopg.connect(beside) as theirs:
            assert theirs.execute(ENGINES).fetchall() == ours_now


def test_processed_with_a_key(tmp_path: Path) -> None:
    """The same where each subscription is asked for at Stripe's stand-in, which answers in a thread of this process."""
    people = [replace(person(number + 1, contract(f"{number:06}")), customer=customer(number)) for number in range(SUBSCRIPTIONS)]
    with ExitStack() as open_:
        server = open_.enter_context(newest_postgres())
        url = server.url(open_.enter_context(server.database()))
        books = open_.enter_context(opened(url, population(*people), tmp_path))
        port = free_port()
        serve = ["serve-webhooks", "--port", str(port), "--admin-port", "0", "--workers", "0", "--path", insisting.PATH]
        for words in (serve, ["webhooks", "work"]):
            open_.enter_context(started(["-m", "aura_cli", *words, "--json"], books.variables))
        load(Server(port, insisting.PATH), max(EACH), 0)
        done = processed(books.engine, max(EACH), 0)
        asked = len(books.stripe.asked)
        show(Figure("processed with a key, 64 clients", f"{asked:,} requests", f"{done.rate:,.0f}/s", asked / SUBSCRIPTIONS / EACH[64]))
