"""kent, which others wrote: a Sentry that keeps the last hundred things that it was sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.parts.loopback import plain_client
from tests.parts.outside import CONTRACTS, python, started


@dataclass(frozen=True)
class Kent:
    """A running kent: the DSN that leads to it, and what it received."""

    base: str

    @property
    def dsn(self) -> str:
        return f"{self.base.replace('://', '://public@')}/1"

    def received(self, kind: str | None = None) -> list[Any]:
        """The bodies of what it was sent, oldest first: of one `kind` (event, transaction, check_in), or all but the SDK's own counts."""
        with plain_client(base_url=self.base) as http:
            known = http.get("/api/eventlist/").json()["events"]
            items = [http.get(f"/api/event/{one['event_id']}").json()["payload"] for one in known]
        return [item["body"] for item in items if item["header"]["type"] != "client_report" and kind in (None, item["header"]["type"])]

    def text(self) -> str:
        """Everything that it knows, to look for what must not be there."""
        with plain_client(base_url=self.base) as http:
            known = http.get("/api/eventlist/").json()["events"]
            return json.dumps([http.get(f"/api/event/{one['event_id']}").json() for one in known], ensure_ascii=False)


@contextmanager
def kent_running() -> Iterator[Kent]:
    """A kent of its own, for as long as the block lasts; where it is not installed the test is skipped visibly."""
    with started(python(), str(CONTRACTS / "kent_script.py")) as outside:
        yield Kent(outside.base)


@pytest.fixture
def kent() -> Iterator[Kent]:
    """A kent of its own for each test that takes it."""
    with kent_running() as running:
        yield running
