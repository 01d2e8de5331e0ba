"""Privy's own Python client against our stand-in. It lives in an environment of its own, because its pins clash with ours."""

import json
import subprocess
from pathlib import Path
from typing import Any

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.server import running
from tests.parts import outside

POPULATION = build(230, seed=3, now=1_795_000_000)
SCRIPT = Path(__file__).with_name("privy_client_script.py")
KINDS = {
    "email": "LinkedAccountEmail",
    "google_oauth": "LinkedAccountGoogleOAuth",
    "twitter_oauth": "LinkedAccountTwitterOAuth",
    "wallet": {"LinkedAccountEthereum", "LinkedAccountEthereumEmbeddedWallet"},
}


def ask(base: str, limit: int) -> dict[str, Any]:
    """What the official client finds at `base`, page by page of `limit`."""
    command = [outside.python(), "-I", str(SCRIPT), base, PRIVY_APP_ID, str(limit)]
    done = subprocess.run(command, input=PRIVY_APP_SECRET, capture_output=True, text=True, timeout=120, env={"NO_PROXY": "*"})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_official_client_reads_everything() -> None:
    """It pages through all users in the stand-in's order, knows each account's type, and raises its own errors for ours."""
    with running(POPULATION) as addresses:
        found = ask(addresses.privy, 50)
    assert found["ids"] == [person.did for person in POPULATION.people]
    assert found["created"] == [person.created for person in POPULATION.people]
    for kind, model in (pair for accounts in found["accounts"] for pair in accounts):
        assert kind not in KINDS or model in KINDS[kind]
    assert found["one"] == POPULATION.people[0].did
    assert found["by_address"]
    assert found["missing"] == ["NotFoundError", {"error": "User not found"}]
    assert found["refused"] == ["AuthenticationError", {"error": "Invalid app ID or app secret."}]


def test_the_official_client_gets_through_a_rate_limit() -> None:
    """429 with Retry-After: it waits and tries again, and misses nobody."""
    with running(POPULATION, faults=Faults(rate=4)) as addresses:
        found = ask(addresses.privy, 100)
    assert found["ids"] == [person.did for person in POPULATION.people]
