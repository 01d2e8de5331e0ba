"""The tour's second half: a listener under duplicates, disorder and a power cut, and every payment still granted exactly once."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from aura_cli.db.shared import MONTHLY_ALLOCATION
from aura_cli.errors import AuraError
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, Addresses
from aura_cli.sandbox.demo_steps import Tour
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Person, Population

SUBSCRIBERS, BUYERS = 12, 8
TOKENS = 2_500_000
PATIENCE = 30.0  # seconds for everything to be delivered and done
_LEFT = re.compile(r'^aura_webhooks_inbox_events{state="(?:received|processing|failed)"} (\d+)$', re.MULTILINE)
_ENDED = ("canceled", "incomplete_expired")


@dataclass(frozen=True)
class Shop:
    """Stripe's checkout, as people use it, and what only the sandbox can do."""

    client: httpx.Client

    def post(self, path: str, **form: str) -> dict[str, Any]:
        answer = self.client.post(path, data=form)
        if answer.is_error:
            raise AuraError(f"The tour broke: the sandbox answered {answer.status_code} to POST {path}: {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found

    def subscribe(self, person: Person) -> None:
        self._pay(person, {"mode": "subscription", "line_items[0][price]": PRO_MONTHLY.id, "metadata[userId]": person.uuid})

    def buy(self, person: Person) -> None:
        sold = {"type": "token_topup", "tokens": str(TOKENS), "user_id": person.uuid, "package_id": "growth"}
        product = {"currency": "usd", "unit_amount": "1900", "product_data][name": "Tokens"}
        lines = {f"line_items[0][price_data][{name}]": value for name, value in product.items()}
        self._pay(person, {"mode": "payment", **lines, **{f"metadata[{name}]": value for name, value in sold.items()}})

    def _pay(self, person: Person, form: dict[str, str]) -> None:
        page = "http://localhost:3000/dashboard"
        common = {"customer": person.customer or "", "line_items[0][quantity]": "1", "success_url": page}
        session = self.post("/v1/checkout/sessions", **common, **form)
        self.post(f"/_sandbox/checkout/sessions/{session['id']}/complete")

    @property
    def pending(self) -> int:
        """Deliveries that nobody has acknowledged yet."""
        return int(self.client.get("/_sandbox/deliveries").json()["pending"])


def tour(going: Tour, addresses: Addresses, population: Population) -> None:
    """Raises AuraError at the first step that is not what it must be."""
    returning = [one for one in population.people if one.customer and all(it.status in _ENDED for it in one.contracts)][:SUBSCRIBERS]
    buying = [one for one in population.people if one.customer and any(it.status == "active" for it in one.contracts)][:BUYERS]
    with httpx.Client(base_url=addresses.stripe, headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"}, trust_env=False) as client:
        shop = Shop(client)
        pair = returning[0], buying[0]
        before = _tokens(going, pair)
        why = "Receive Stripe's webhooks: stored first, acknowledged then, worked on afterwards."
        with _listener(going, why, 0) as (first, where):
            url = where["url"]
            shop.post("/_sandbox/webhook_endpoints", url=url)
            hears = url.replace("/stripe", "/resend")
            client.post(f"{addresses.resend}/_sandbox/webhooks", json={"url": hears}).raise_for_status()
            client.post("/_sandbox/faults", json={"duplicate_events": 0.5, "reorder_events": True}).raise_for_status()
            count = f"{len(returning)} people subscribe and {len(buying)} buy tokens"
            going.console.emit(f"\n# {count}. Stripe tells of it in any order, half of it twice; in the middle the power fails: kill -9.")
            for one in returning[::2]:
                shop.subscribe(one)
            first.kill()
            for one in returning[1::2]:
                shop.subscribe(one)
            for one in buying:
                shop.buy(one)
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        with _listener(going, "Power is back. Stripe sends again what nobody acknowledged.", port) as (_, where):
            _until("was delivered and done", lambda: not shop.pending and _at_rest(f"{where['admin']}/metrics"))
            wanted = Told(Counter(one.email for one in returning if one.email), len(returning) + len(buying))
            _until("was mailed and counted", lambda: Told.of(addresses) == wanted)
        granted = [now - then for now, then in zip(_tokens(going, pair), before, strict=True)]
        if granted != [MONTHLY_ALLOCATION, TOKENS]:
            raise AuraError(f"The tour broke: a first month and {TOKENS:,} tokens were paid for, and {granted} granted")
        event = client.get("/v1/events", params={"type": "checkout.session.completed", "limit": 1}).json()["data"][0]["id"]
    going.console.emit(
        f"\n# On the way {len(wanted.confirmed)} confirmations went into the inbox, {addresses.resend}/_sandbox/inbox, one each; Resend's\n"
        f"# webhooks say that they were delivered. Google Analytics has {wanted.purchases} purchases."
    )
    going.step("What arrived, and what became of it.", "webhooks", "stats", "--since", "1h", shows="needed")
    going.step("And does Stripe agree with the database?", "subscriptions", "reconcile", shows="no drift")
    going.step(
        "Once more, to see what it would do: nothing is granted twice.", "webhooks", "replay", event, "-n", "--diff", shows="1 unchanged"
    )


@contextmanager
def _listener(going: Tour, why: str, port: int) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A listener in a process of its own, and what it says of itself, its addresses among it."""
    words = ("serve-webhooks", "--port", str(port), "--admin-port", "0")
    going.console.emit(f"\n# {why}\n$ aura {' '.join(words)}")
    log = going.home / "listener"
    with log.open("w") as said:
        process = subprocess.Popen(  # noqa: S603 (this program)
            [sys.executable, "-m", "aura_cli", *words, "--json"],
            env=going.environment,
            cwd=going.home,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            with process:
                line = process.stdout.readline() if process.stdout else ""
                if line:
                    _until("was said by the listener", lambda: "grants balances" in log.read_text())
                for told in log.read_text().splitlines():
                    going.console.emit(f"  {told}")
                if not line:
                    raise AuraError("The tour broke: the listener did not start")
                yield process, json.loads(line)
                process.terminate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@dataclass(frozen=True)
class Told:
    """What others were told of all this: who got a confirmation that was reported delivered, how often, and purchases at Google."""

    confirmed: Mapping[str, int]
    purchases: int

    @classmethod
    def of(cls, addresses: Addresses) -> "Told":
        """As the stand-ins have it."""
        with httpx.Client(trust_env=False) as client:
            box, counted = (client.get(f"{base}/_sandbox/journal").json() for base in (addresses.resend, addresses.analytics))
        delivered = {one["mail"] for one in box["deliveries"] if one["type"] == "email.delivered" and one["status"] == 200}
        mails = [mail for mail in box["mails"] if mail["id"] in delivered and mail["tags"]["template"] == "subscription-confirmation"]
        bought = {event["params"]["transaction_id"] for one in counted for event in one["body"]["events"] if event["name"] == "purchase"}
        return cls(Counter(address for mail in mails for address in mail["to"]), len(bought))


def _until(happened: str, is_so: Callable[[], bool]) -> None:
    late = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > late:
            raise AuraError(f"The tour broke: not everything {happened} in time")
        time.sleep(0.1)


def _at_rest(metrics: str) -> bool:
    """Whether, by the listener's own account, everything that arrived is done."""
    with httpx.Client(trust_env=False) as client:
        left = _LEFT.findall(client.get(metrics).text)
    return bool(left) and not any(map(int, left))


def _tokens(going: Tour, people: Sequence[Person]) -> list[int]:
    """The balance of each."""
    with ThreadPoolExecutor() as pool:
        return [int(found["balance"] or 0) for found in pool.map(lambda one: going.ask("balance", "show", one.did), people)]
