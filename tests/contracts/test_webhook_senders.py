"""Two stand-ins of Stripe that others wrote send their webhooks to the listener, each signed by code that is not ours."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.migrate import upgrade
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import PATH, Served, serving
from tests.parts.migrated import engine_of
from tests.parts.outside import CONTRACTS, Outside, node_script, python, started
from tests.parts.program import Aura

PERSON = "00000000-0000-4000-8000-000000000001"


def asking(outside: Outside) -> httpx.Client:
    """A client of a stand-in's API."""
    return httpx.Client(base_url=outside.base, headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"}, trust_env=False, timeout=30)


def made(response: httpx.Response) -> dict[str, Any]:
    """The object that a stand-in made."""
    assert response.is_success
    found: dict[str, Any] = response.json()
    return found


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    """Look until it is as wanted, for at most 20 seconds."""
    deadline = time.monotonic() + 20
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == wanted


def arrived(engine: Engine) -> dict[str, str]:
    """What the inbox holds: type → state."""
    with reading(engine) as connection:
        return {row.type: row.state for row in connection.execute(select(webhook_events))}


def address(listener: Served) -> str:
    return f"http://127.0.0.1:{listener.port}{PATH}"


def subscribe(stripe: httpx.Client) -> dict[str, Any]:
    """A customer of localstripe with a card, who subscribes and pays; returns the subscription, in the shape of old."""
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": time.gmtime().tm_year + 1, "cvc": "123"}
    token = made(stripe.post("/v1/tokens", json={"card": card}))["id"]
    customer = made(stripe.post("/v1/customers", json={"email": "ada@example.com", "source": token}))["id"]
    plan = {"id": "pro", "currency": "usd", "interval": "month", "amount": 2900, "product": {"name": "Pro"}}
    items = [{"plan": made(stripe.post("/v1/plans", json=plan))["id"]}]
    return made(stripe.post("/v1/subscriptions", json={"customer": customer, "items": items}))


def test_localstripe(aura: Aura, database_url: str) -> None:
    """A subscription begins and ends there: every event of it is in the inbox, in the shape and of the version of 2017."""
    script = str(CONTRACTS / "localstripe_script.py")
    with engine_of(database_url) as engine, started(python(), "-I", script) as localstripe, asking(localstripe) as stripe:
        upgrade(engine)
        with serving(aura, database_url, "--workers", "0", env={"STRIPE_API_BASE": localstripe.base}) as listener:
            hook = {"url": address(listener), "secret": STRIPE_WEBHOOK_SECRET}
            assert stripe.post("/_config/webhooks/aura", json=hook).is_success
            subscription = subscribe(stripe)
            made(stripe.delete(f"/v1/subscriptions/{subscription['id']}"))
            eventually(lambda: {"customer.subscription.created", "customer.subscription.deleted"} <= arrived(engine).keys(), True)
            assert arrived(engine).keys() >= {"customer.created", "plan.created", "invoice.payment_succeeded"}
        with reading(engine) as connection:
            e = webhook_events.c
            row = connection.execute(select(webhook_events).where(e.type == "customer.subscription.created")).one()
        assert (row.object, row.customer, row.source) == (subscription["id"], subscription["customer"], "web")
        assert row.api_version == "2017-08-15"
        assert json.loads(row.payload)["data"]["object"]["current_period_end"] == subscription["current_period_end"]


def pay(stripe: httpx.Client) -> dict[str, Any]:
    """A purchase of tokens at emulate, paid on its page; returns the checkout session as it was before."""
    metadata = {"type": "token_topup", "tokens": "1000000", "user_id": PERSON, "package_id": "starter"}
    session = made(stripe.post("/v1/checkout/sessions", json={"mode": "payment", "metadata": metadata}))
    assert stripe.post(f"/checkout/{session['id']}/complete").is_success
    return session


def test_emulate(aura: Aura, sqlite_database: str) -> None:
    """A purchase is paid there. Its event, correctly signed, has no id: it is refused and counted. With an id it is in the inbox."""
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        with serving(aura, sqlite_database) as listener:
            with node_script("emulate.mjs", address(listener), secret=STRIPE_WEBHOOK_SECRET) as emulate, asking(emulate) as stripe:
                pay(stripe)
            assert listener.metric('rejected_total{reason="body"}') == 1
            assert arrived(engine) == {}
            with node_script("emulate.mjs", address(listener), "whole", secret=STRIPE_WEBHOOK_SECRET) as emulate, asking(emulate) as stripe:
                session = pay(stripe)
            with reading(engine) as connection:
                row = connection.execute(select(webhook_events)).one()
            assert (row.id, row.type, row.object) == ("evt_emulate1", "checkout.session.completed", session["id"])
            with node_script("emulate.mjs", address(listener), "whole", secret="whsec_test_other") as emulate, asking(emulate) as stripe:
                pay(stripe)
            assert listener.metric('rejected_total{reason="signature_no_match"}') == 1
