"""Faults, each seen by a client at the other end of a real connection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.faults import Fault, Faults
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.server import running
from tests.parts.loopback import plain_client

POPULATION = build(20, seed=3, now=1_795_000_000)


@contextmanager
def suffering(faults: Faults) -> Iterator[httpx.Client]:
    """A client of a stand-in that has `faults`."""
    with (
        running(POPULATION, faults=faults) as addresses,
        plain_client(base_url=addresses.privy, auth=(PRIVY_APP_ID, PRIVY_APP_SECRET), headers={"privy-app-id": PRIVY_APP_ID}) as http,
    ):
        yield http


@pytest.mark.parametrize(("retry_after", "header"), [(1.0, "1"), (2.5, "2.5"), (0.0, None)])
def test_too_many_requests(retry_after: float, header: str | None) -> None:
    """429 in Privy's shape, with and without Retry-After."""
    with suffering(Faults(too_many=1, retry_after=retry_after)) as http:
        answer = http.get("/v1/users")
    assert (answer.status_code, answer.headers.get("Retry-After"), answer.json()) == (429, header, {"error": "Too many requests"})


def test_server_error() -> None:
    """500, and nothing was done: the user that should have been deleted is still there."""
    did = POPULATION.people[0].did
    with suffering(Faults(server_error=1)) as http:
        assert http.delete(f"/v1/users/{did}").status_code == 500
        http.post("/_sandbox/faults", json={"server_error": 0}).raise_for_status()
        assert http.get(f"/v1/users/{did}").status_code == 200


def test_cut_before_the_answer() -> None:
    """The connection breaks without an answer, after the work was done."""
    did = POPULATION.people[0].did
    with suffering(Faults(cut_before=1)) as http:
        with pytest.raises(httpx.TransportError):
            http.delete(f"/v1/users/{did}")
        http.post("/_sandbox/faults", json={"cut_before": 0}).raise_for_status()
        assert http.get(f"/v1/users/{did}").status_code == 404


def test_cut_in_the_middle_of_the_body() -> None:
    """Status and headers arrive, then half of the announced body, then the end."""
    received = b""
    with suffering(Faults(cut_half=1)) as http, http.stream("GET", "/v1/users") as answer:
        parts = answer.iter_raw()
        while len(received) < int(answer.headers["Content-Length"]) // 2:
            received += next(parts)
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)
        assert answer.status_code == 200
        assert len(received) == int(answer.headers["Content-Length"]) // 2


def test_latency() -> None:
    """An answer takes at least as long as it should; the sandbox's own paths do not."""
    with suffering(Faults(latency=0.2)) as http:
        begun = time.monotonic()
        http.get("/v1/users").raise_for_status()
        assert time.monotonic() - begun >= 0.2


def test_a_rate_lets_only_so_many_through() -> None:
    """Of many requests in one go no more get through than the rate allows in the seconds that it took."""
    with suffering(Faults(rate=5)) as http:
        begun = time.monotonic()
        statuses = [http.get("/v1/users", params={"limit": 1}).status_code for _ in range(40)]
        seconds = int(time.monotonic() - begun) + 2
    assert 5 <= statuses.count(200) <= 5 * seconds
    assert set(statuses) <= {200, 429}


def test_faults_change_while_it_runs_and_never_for_the_sandbox_s_own_paths() -> None:
    """Everything fails, except what mends it; the answer tells all settings."""
    with suffering(Faults(too_many=1)) as http:
        assert http.get("/v1/users").status_code == 429
        settings = http.post("/_sandbox/faults", json={"too_many": 0, "reorder_events": True}).json()
        assert http.get("/v1/users").status_code == 200
        assert http.get("/_sandbox/faults").json() == settings == Faults(reorder_events=True).settings()


@pytest.mark.parametrize("body", ['{"too_many": 2}', '{"latency": -1}', '{"latency": "1"}', '{"seed": true}', '{"no": 1}', "[]", "{"])
def test_impossible_settings_are_refused_whole(body: str) -> None:
    """400, and nothing changed, not even the field that was right."""
    both = body.replace("{", '{"server_error": 1, ', 1) if body.startswith('{"') else body
    with suffering(Faults()) as http:
        answer = http.post("/_sandbox/faults", content=both)
        assert (answer.status_code, set(answer.json())) == (400, {"error"})
        assert http.get("/_sandbox/faults").json() == Faults().settings()


@given(seed=st.integers(0, 2**32), probability=st.floats(0, 0.25))
def test_draws_repeat_and_keep_their_share(seed: int, probability: float) -> None:
    """The same seed draws the same faults, each about as often as it should come."""
    one, other = Faults(), Faults()
    for faults in (one, other):
        faults.change({**dict.fromkeys(Fault, probability), "seed": seed})
    drawn = [one.draw() for _ in range(400)]
    assert drawn == [other.draw() for _ in range(400)]
    for fault in Fault:
        assert drawn.count(fault) == pytest.approx(400 * probability, abs=60)
