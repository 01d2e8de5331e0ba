"""Two stand-ins of Stripe that others wrote send their webhooks to the listener, each signed by code that is not ours."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.db.shared import subscriptions, token_balances, users
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET
from aura_cli.settings import Settings
from aura_cli.subscriptions.stripe import service
from aura_cli.webhooks.tables import webhook_events
from aura_cli.webhooks.worker import Worker
from tests.parts.listening import PATH, Served, serving
from tests.parts.loopback import plain_client
from tests.parts.migrated import engine_of
from tests.parts.outside import CONTRACTS, Outside, node_script, python, started
from tests.parts.program import Aura

PERSON = "00000000-0000-4000-8000-000000000001"


def asking(outside: Outside) -> httpx.Client:
    """A client of a stand-in's API."""
    return plain_client(base_url=outside.base, headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"}, timeout=30)


def made(response: httpx.Response) -> dict[str, Any]:
    """The object that a stand-in made."""
    assert response.is_success
    found: dict[str, Any] = response.json()
    return found


def arrived(engine: Engine) -> dict[str, str]:
    """What the inbox holds: type → state."""
    with reading(engine) as connection:
        return {row.type: row.state for row in connection.execute(select(webhook_events))}


def await_event(engine: Engine, kind: str, state: str) -> None:
    """Wait, at most a minute, until an event of that type is in the inbox, in that state."""
    deadline = time.monotonic() + 60
    while (found := arrived(engine)).get(kind) != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def join(engine: Engine, **values: Any) -> None:
    """A person, with these values."""
    with writing(engine) as connection:
        connection.execute(users.insert().values(id=PERSON, privy_user_id="did:privy:person1", **values))


def balance(engine: Engine) -> int | None:
    """That person's balance."""
    with reading(engine) as connection:
        return connection.execute(select(token_balances.c.balance).where(token_balances.c.user_id == PERSON)).scalar()


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


@contextmanager
def localstripe(aura: Aura, engine: Engine, url: str, *workers: str) -> Iterator[httpx.Client]:
    """localstripe's API; its events go to a listener on the database at `url`, and what they are about is asked of it."""
    script = str(CONTRACTS / "localstripe_script.py")
    upgrade(engine)
    with (
        started(python(), "-I", script) as running,
        asking(running) as stripe,
        serving(aura, url, *workers, env={"STRIPE_API_BASE": running.base}) as listener,
    ):
        hook = {"url": address(listener), "secret": STRIPE_WEBHOOK_SECRET}
        assert stripe.post("/_config/webhooks/aura", json=hook).is_success
        yield stripe


def kept(engine: Engine, subscription: dict[str, Any]) -> tuple[Any, ...]:
    """What the web app's row says of a subscription: whose it is, status, end of the period (epoch seconds)."""
    with reading(engine) as connection:
        s = subscriptions.c
        row = connection.execute(select(subscriptions).where(s.stripe_subscription_id == subscription["id"])).one()
    return row.user_id, row.status, int(row.current_period_end.timestamp())


def test_localstripe(aura: Aura, database_url: str) -> None:
    """A subscription begins and ends there, in the shape of 2017: the web app's row follows, and the first month is granted once."""
    with engine_of(database_url) as engine, localstripe(aura, engine, database_url, "--workers", "1") as stripe:
        subscription = subscribe(stripe)
        join(engine, stripe_customer_id=subscription["customer"])
        await_event(engine, "customer.subscription.created", "done")
        assert kept(engine, subscription) == (PERSON, "active", subscription["current_period_end"])
        made(stripe.delete(f"/v1/subscriptions/{subscription['id']}"))
        await_event(engine, "customer.subscription.deleted", "done")
        assert kept(engine, subscription) == (PERSON, "canceled", subscription["current_period_end"])
        assert balance(engine) == 10_000_000


def test_localstripe_believed(aura: Aura, sqlite_database: str) -> None:
    """The same where the payloads of 2017 are all that there is: nobody can be asked."""
    with engine_of(sqlite_database) as engine, localstripe(aura, engine, sqlite_database) as stripe:
        subscription = subscribe(stripe)
        join(engine, stripe_customer_id=subscription["customer"])
        await_event(engine, "customer.subscription.created", "received")
        Worker(engine, None).drain()
        assert kept(engine, subscription) == (PERSON, "active", subscription["current_period_end"])
        made(stripe.delete(f"/v1/subscriptions/{subscription['id']}"))
        await_event(engine, "customer.subscription.deleted", "received")
        Worker(engine, None).drain()
        assert kept(engine, subscription) == (PERSON, "canceled", subscription["current_period_end"])
        assert balance(engine) == 10_000_000


def pay(stripe: httpx.Client) -> dict[str, Any]:
    """A purchase of tokens at emulate, paid on its page; returns the checkout session as it was before."""
    metadata = {"type": "token_topup", "tokens": "1000000", "user_id": PERSON, "package_id": "starter"}
    session = made(stripe.post("/v1/checkout/sessions", json={"mode": "payment", "metadata": metadata}))
    assert stripe.post(f"/checkout/{session['id']}/complete").is_success
    return session


@contextmanager
def emulate(listener: Served, *how: str, secret: str = STRIPE_WEBHOOK_SECRET) -> Iterator[httpx.Client]:
    """emulate's API; its events go to a listener."""
    with node_script("emulate.mjs", address(listener), *how, secret=secret) as running, asking(running) as stripe:
        yield stripe


def test_emulate(aura: Aura, sqlite_database: str) -> None:
    """A purchase is paid there. Its event, correctly signed, has no id: it is refused and counted. With an id the tokens are granted."""
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        join(engine)
        with serving(aura, sqlite_database) as listener:
            with emulate(listener) as stripe:
                pay(stripe)
            assert listener.metric('rejected_total{reason="body"}') == 1
            assert arrived(engine) == {}
            with emulate(listener, "whole", secret="whsec_test_other") as stripe:
                pay(stripe)
            assert listener.metric('rejected_total{reason="signature_no_match"}') == 1
            assert arrived(engine) == {}
            with emulate(listener, "whole") as stripe:
                session = pay(stripe)
                settings = Settings.load({"STRIPE_API_BASE": str(stripe.base_url), "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY}, aura.work)
                with service(settings) as asked:
                    (handled,) = Worker(engine, asked).once()
    assert (handled.event.object, handled.state, handled.outcome) == (session["id"], "done", "applied")
    assert balance(engine) == 1_000_000
