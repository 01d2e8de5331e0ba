"""Every system down, silent or answering nonsense, one by one and all together: doctor ends in time, and says which."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from time import monotonic
from urllib.parse import urlsplit

import pytest

from aura_cli.insight.doctor import Report
from aura_cli.insight.finding import State, System
from aura_cli.insight.surroundings import DEADLINE
from tests.insight.stack import Stack, stack, wrong
from tests.parts.postgres import Server
from tests.parts.program import Aura
from tests.parts.service import free_port
from tests.parts.upstash import answering

LIMIT = 15  # seconds, with the program's start
PLACES = {  # what is asked over a network → the setting that leads there, and its shape
    System.DATABASE: ("DATABASE_URL", "postgresql://aura:secret@{}/aura"),
    System.STRIPE: ("STRIPE_API_BASE", "http://{}"),
    System.PRIVY: ("PRIVY_API_BASE", "http://{}"),
    System.OPENAI: ("OPENAI_BASE_URL", "http://{}/v1"),
    System.RESEND: ("RESEND_API_URL", "http://{}"),
    System.UPSTASH: ("UPSTASH_REDIS_REST_URL", "http://{}"),
    System.SENTRY: ("NEXT_PUBLIC_SENTRY_DSN", "http://public@{}/1"),
    System.ANALYTICS: ("GA_API_BASE", "http://{}"),
    System.VERCEL: ("VERCEL_API_BASE", "http://{}"),
}
NEED_THE_DATABASE = {System.WEBHOOKS, System.VAULT, System.CONNECTIONS}
ANSWERS = {
    "silent": b"",
    "garbage": b"\x00\xff nonsense\r\n\r\n",
    "page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<h1>Hello</h1",
    "other": b'HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"no": 1}',
}


@contextmanager
def place(trouble: str) -> Iterator[str]:
    """Host and port where nobody listens ("down"), or somebody who answers so."""
    if trouble == "down":
        yield f"127.0.0.1:{free_port()}"
        return
    with answering(ANSWERS[trouble]) as base:
        yield urlsplit(base).netloc


def leading(system: System, to: str) -> dict[str, str]:
    """The setting that leads a system to a host and port."""
    name, shape = PLACES[system]
    return {name: shape.format(to)}


@pytest.fixture
def well() -> Iterator[Stack]:
    with stack() as found:
        yield found


def seen(report: Report, *states: State) -> set[str]:
    return {one.system for one in report.findings if one.state in states}


@pytest.mark.parametrize("trouble", ["down", *ANSWERS])
def test_each_system_in_trouble(well: Stack, trouble: str) -> None:
    """It alone has failed; what needs the database is not looked at where that is away, and everything else is well."""
    at_once = len(PLACES) if trouble == "silent" else 2  # the silent ones are waited for
    with place(trouble) as to, ThreadPoolExecutor(at_once) as pool:
        reports = dict(zip(PLACES, pool.map(lambda system: well.examine(env=leading(system, to)), PLACES), strict=True))
    for system, report in reports.items():
        assert [one.system for one in wrong(report)] == [system], report
        unseen = NEED_THE_DATABASE if system is System.DATABASE else set()
        assert seen(report, State.SKIPPED) == unseen
        assert {*System} - {system} - unseen <= seen(report, State.OK, State.WARN)
        assert report.took_ms < (DEADLINE + 1) * 1000


@pytest.mark.parametrize("trouble", ["down", "silent", "garbage"])
def test_all_of_them_in_trouble(aura: Aura, well: Stack, trouble: str) -> None:
    """The program itself ends in time, exit 3, and names each."""
    with place(trouble) as to:
        env: Mapping[str, str] = {**well.env, **{name: text for system in PLACES for name, text in leading(system, to).items()}}
        begun = monotonic()
        told = aura("doctor", "--json", env=env)
        took = monotonic() - begun
    assert (told.exit, set(told.json["failed"])) == (3, {*PLACES})
    assert told.json["took_ms"] < (DEADLINE + 1) * 1000
    assert took < LIMIT


def test_all_of_them_slow(aura: Aura, well: Stack, postgres_server: Server) -> None:
    """Each service answers rightly, after ten seconds; the database's host is silent."""
    for name, base in asdict(well.addresses).items():
        if name != "web_app":
            well.sandbox(base, "faults", latency=10.0)
    with answering(b"") as sentry, answering(b"") as database:
        slow = leading(System.SENTRY, urlsplit(sentry).netloc) | leading(System.DATABASE, urlsplit(database).netloc)
        begun = monotonic()
        told = aura("doctor", env={**well.env, **slow})
        took = monotonic() - begun
    assert told.exit == 3
    assert told.err.startswith(f"Error: {len(PLACES)} systems failed: {', '.join(PLACES)}\n")
    assert took < LIMIT


def test_a_system_that_is_only_late(well: Stack) -> None:
    """What answers after three seconds is well, and worth a look."""
    well.sandbox(well.addresses.privy, "faults", latency=3.1)
    state, detail = next((one.state, one.detail) for one in well.examine(System.PRIVY).findings)
    assert (state, detail.startswith("slow: app ")) == (State.WARN, True)


def test_a_single_hiccup_is_no_finding(well: Stack) -> None:
    """One error of a service is tried again."""
    well.sandbox(well.addresses.privy, "faults", server_error=0.5, seed=8)
    assert well.troubles(System.PRIVY) == {}


def test_offline_nobody_is_asked(well: Stack) -> None:
    """Only this machine is looked at: its database, files, disk and keys; no service hears of it."""
    with place("silent") as to:
        changed = {name: text for system in PLACES if system is not System.DATABASE for name, text in leading(system, to).items()}
        begun = monotonic()
        report = well.examine(offline=True, env=changed)
    assert monotonic() - begun < 5
    assert (report.failed, seen(report, State.SKIPPED)) == ((), {*PLACES} - {System.DATABASE})
    assert seen(report, State.OK) == {"database", "webhooks", "vault", "connections", "files", "disk", "tls"}


def test_what_cannot_be_looked_at_for_the_database_alone(well: Stack) -> None:
    """Where only such a system is asked for, that is a failure of its own."""
    with place("down") as to:
        told = well.told(System.VAULT, env=leading(System.DATABASE, to))
    assert told == [(State.FAIL, "the database could not be looked into", "aura doctor --only database")]
