"""How long a large population takes to make, and to page through at the stand-in of Privy."""

import sys
import time

import httpx

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.server import running

USERS = 100_000


def test_a_hundred_thousand_people() -> None:
    """Says how long building took, and how many users a second one client pages through."""
    begun = time.perf_counter()
    population = build(USERS, seed=1, now=1_795_000_000)
    built = time.perf_counter()
    with (
        running(population) as addresses,
        httpx.Client(base_url=addresses.privy, auth=(PRIVY_APP_ID, PRIVY_APP_SECRET), trust_env=False) as http,
    ):
        begun_paging, cursor, pages = time.perf_counter(), "", 0
        while cursor is not None and pages < 200:
            query = {"limit": "100", **({"cursor": cursor} if cursor else {})}
            cursor = http.get("/v1/users", params=query, headers={"privy-app-id": PRIVY_APP_ID}).raise_for_status().json()["next_cursor"]
            pages += 1
        rate = pages * 100 / (time.perf_counter() - begun_paging)
    sys.stdout.write(f"\n{USERS:,} people built in {built - begun:.1f} s; paged at {rate:,.0f} users/s\n")
