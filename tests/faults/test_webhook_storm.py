"""Events under load while listeners, workers and the database are killed and restarted: what is left is what calm would have left."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from tests.parts import believing
from tests.parts.books import opened
from tests.parts.insisting import PATH
from tests.parts.life import body, live, newcomers
from tests.parts.postgres import Cluster, pooling, stoppable_postgres
from tests.parts.program import Aura
from tests.parts.sampling import WHOLE, sample
from tests.parts.service import free_port
from tests.parts.storming import Deed, Program, Storm, differences, finished, running
from tests.webhooks.world import World

MANY, FEW = (6_900, 200) if WHOLE else (100, 100)  # people, each of whom makes seven events
DAYS = 100
LIMIT = 1_800 if WHOLE else 90  # seconds, after which something is wrong
KILLS, DOWN = 5, 30 if WHOLE else 1  # how often, and seconds
FORWARDING = {"AURA_FORWARD_URL": "http://127.0.0.1:9/hook"}  # where nobody is: effects stay in the outbox


@contextmanager
def world(url: str, home: Path, seed: int, number: int = FEW) -> Iterator[World]:
    """People who have lived until yesterday, so that nothing that time decides is decided while the storm goes on."""
    people = newcomers(number, days=DAYS + 1)
    with opened(url, people, home) as books:
        yield World(books, live(books.stripe.state, people.people, seed, days=DAYS))


def unlink(found: World) -> None:
    """A third of the users do not know their customers: they are found by what Stripe says about those."""
    found.books.sql("UPDATE users SET stripe_customer_id = 'cus_person' || CAST(substr(CAST(id AS text), 25) AS integer)")
    found.books.sql("UPDATE users SET stripe_customer_id = NULL WHERE stripe_customer_id LIKE '%3' OR stripe_customer_id LIKE '%7'")


def undisturbed(found: World, *, key: bool = True) -> dict[str, Any]:
    """What the events end in, in order, by one worker in peace; afterwards it is as if they had never come.

    Only with a key customers whom nobody here knows are found.
    """
    if key:
        unlink(found)
    worker = found.worker(key=key)
    for begin in range(0, len(found.events), 100):
        found.deliver(found.events[begin : begin + 100])
        worker.drain()
    assert set(found.states()) == {"done"}
    outcome = found.outcome()
    found.forget()
    if key:
        unlink(found)
    return outcome


def blows(seed: int, listeners: Sequence[Program], workers: Sequence[Program], cluster: Cluster | None, kills: int = KILLS) -> list[Deed]:
    """Kills in turns of one of either, while it has something to do, and a restart of the database, at moments that the seed says."""
    chance = random.Random(seed)
    deeds = []
    for number in range(kills):
        those, measure = ((listeners, "acknowledged"), (workers, "done"))[number % 2]
        deeds.append(Deed(chance.choice(those).kill, measure, chance.uniform(0.02, 0.9)))

    def restart() -> None:
        assert cluster
        cluster.stop()
        time.sleep(DOWN)
        cluster.start()

    return [*deeds, *([Deed(restart, chance.choice(["acknowledged", "done"]), chance.uniform(0.1, 0.8))] if cluster else [])]


def listener(aura: Aura, found: World, port: int, *args: str) -> Program:
    words = ("-m", "aura_cli", "serve-webhooks", "--json", "--port", str(port), "--admin-port", "0", "--path", PATH, *args)
    return Program(aura, words, {**found.books.variables, **FORWARDING})


def worker(aura: Aura, found: World) -> Program:
    return Program(aura, ("-m", "aura_cli", "webhooks", "work", "--json"), {**found.books.variables, **FORWARDING})


def rage(found: World, seed: int, folder: Path, ports: Sequence[int], deeds: Sequence[Deed]) -> Storm:
    """A storm over these ports; afterwards every event is stored, and finished once."""
    bodies = {event.id: body(found.state, event) for event in found.events}
    storm = Storm(found, bodies, ports, seed)
    storm.rage(folder, deeds, LIMIT)
    states, attempts = finished(found)
    assert states == dict.fromkeys(bodies, "done")
    assert attempts == dict.fromkeys(bodies, 1)
    return storm


@pytest.mark.parametrize(("seed", "people"), sample([(0, MANY), (1, FEW), (2, FEW)], 1, seed=1))
def test_one_listener(aura: Aura, seed: int, people: int) -> None:
    """A listener that works itself, a worker beside it; five kills and a restart of the database."""
    with ExitStack() as stack:
        cluster = stack.enter_context(stoppable_postgres())
        url = cluster.server.url(stack.enter_context(cluster.server.database()))
        found = stack.enter_context(world(url, aura.directory, seed, people))
        expected = undisturbed(found)
        port = free_port()
        listeners, workers = [listener(aura, found, port)], [worker(aura, found)]
        with running(*listeners, *workers):
            storm = rage(found, seed, aura.directory, [port], blows(seed, listeners, workers, cluster))
        assert sum(one.kills for one in (*listeners, *workers)) == KILLS
        assert set(storm.statuses) > {200}
        assert differences(found.outcome(), expected) == {}


@pytest.mark.parametrize(("seed", "people", "pooled"), sample([(4, MANY, True), (5, MANY, False), (6, FEW, True)], 1, seed=1))
def test_two_listeners_and_three_workers(aura: Aura, seed: int, people: int, pooled: bool) -> None:
    """The same on one database, which some reach through PgBouncer in transaction mode."""
    with ExitStack() as stack:
        cluster = stack.enter_context(stoppable_postgres())
        url = cluster.server.url(stack.enter_context(cluster.server.database()))
        if pooled:
            url = stack.enter_context(pooling(cluster.server)).url(url)
        found = stack.enter_context(world(url, aura.directory, seed, people))
        expected = undisturbed(found)
        ports = [free_port(), free_port()]
        listeners = [listener(aura, found, port, "--workers", "0") for port in ports]
        workers = [worker(aura, found) for _ in range(3)]
        with running(*listeners, *workers):
            rage(found, seed, aura.directory, ports, blows(seed, listeners, workers, cluster))
        assert differences(found.outcome(), expected) == {}


def test_one_process_on_sqlite(aura: Aura, sqlite_database: str) -> None:
    """One process receives and works, and is killed twice."""
    with world(sqlite_database, aura.directory, 6) as found:
        expected = undisturbed(found)
        port = free_port()
        only = [listener(aura, found, port)]
        with running(*only):
            rage(found, 6, aura.directory, [port], blows(6, only, only, None, kills=2))
        assert only[0].kills == 2
        assert differences(found.outcome(), expected) == {}


@pytest.mark.whole
def test_without_a_key(aura: Aura) -> None:
    """What events say is believed: nothing is granted twice or not at all, and who has paid is entitled, in whatever order they come.

    What ended before anybody heard of it has no row, and its customer no mail: of those that did not end the rows are the same.
    """
    with ExitStack() as stack:
        cluster = stack.enter_context(stoppable_postgres())
        url = cluster.server.url(stack.enter_context(cluster.server.database()))
        found = stack.enter_context(world(url, aura.directory, 8, MANY))
        expected = undisturbed(found, key=False)
        port = free_port()
        listeners, workers = [keyless(aura, found, "listen", port)], [keyless(aura, found, "work")]
        with running(*listeners, *workers):
            rage(found, 8, aura.directory, [port], blows(8, listeners, workers, cluster))
        assert differences(believed(found.outcome()), believed(expected)) == {}


def keyless(aura: Aura, found: World, what: str, port: int = 0) -> Program:
    return Program(aura, ("-m", believing.__name__, what, str(port), STRIPE_WEBHOOK_SECRET), {"DATABASE_URL": found.books.url})


def believed(outcome: dict[str, Any]) -> dict[str, Any]:
    """The part of what events end in that does not depend on their order where nobody can be asked.

    When a row was made may say how it was lifted over one that had ended, if there was one.
    """
    alive = [{**row, "created_at": None} for row in outcome["subscriptions"] if row["status"] != "canceled"]
    return {**outcome, "subscriptions": alive, "outbox": []}
