"""`aura serve-webhooks` as a program: what it asks for before it begins, what it says, and how it ends."""

import json
import re
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest
from sqlalchemy import Engine, select, text

from aura_cli.db.engine import reading, writing
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, Addresses, environment
from aura_cli.webhooks.tables import webhook_events, webhook_secrets
from tests.parts.books import population
from tests.parts.listening import PATH, Served, answer, event, request, serving
from tests.parts.program import Aura
from tests.parts.service import free_port
from tests.parts.stripe import stand_in

FREE = ("--port", "0", "--admin-port", "0")


def variables(aura: Aura, url: str, stripe: str = "http://127.0.0.1:9", **more: str) -> Mapping[str, str]:
    return {**environment(Addresses(stripe, stripe), aura.directory, url), **more}


def test_it_does_not_begin(aura: Aura, engine: Engine, database_url: str, tmp_path: pytest.TempPathFactory) -> None:
    """Without a secret, a key, a schema, a slash, or with a setting that cannot be meant: said, with the exit code of its kind."""
    cases: list[tuple[dict[str, str], tuple[str, ...], int, str]] = [
        ({"STRIPE_WEBHOOK_SECRET": ""}, (), 4, "No signing secret is set"),
        ({"AURA_STRIPE_WEBHOOK_SECRETS": "[]"}, (), 4, "AURA_STRIPE_WEBHOOK_SECRETS"),
        ({"STRIPE_SECRET_KEY": ""}, (), 4, "STRIPE_SECRET_KEY is not set"),
        ({"AURA_BILLING_OWNER": "nobody"}, (), 4, "AURA_BILLING_OWNER"),
        ({"DATABASE_URL": f"sqlite:///{aura.directory / 'empty.db'}"}, (), 4, "aura db upgrade"),
        ({}, ("--path", "hook"), 2, "slash"),
        ({}, ("-n",), 2, "replay"),
        ({}, ("--port", "70000"), 2, "port"),
        ({}, ("--workers", "-1"), 2, "workers"),
        ({}, (), 8, "Stripe"),  # it cannot say whose events these would be
    ]
    for changed, words, code, said in cases:
        done = aura("serve-webhooks", *FREE, *words, env={**variables(aura, database_url), **changed})
        assert (done.exit, done.out, said in done.err) == (code, "", True), done


def test_an_older_schema(aura: Aura, engine: Engine, database_url: str) -> None:
    """It does not begin on a schema that is not its own."""
    table = "aura_version" if engine.dialect.name == "sqlite" else "aura_ops.aura_version"
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '0002'"))
    done = aura("serve-webhooks", *FREE, env=variables(aura, database_url))
    assert (done.exit, "Run: aura db upgrade" in done.err) == (4, True)


def test_another_environments_database(aura: Aura, engine: Engine, database_url: str) -> None:
    """A database that is bound to another Stripe account is not served."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE binding SET stripe_account = 'acct_other'" if engine.dialect.name == "sqlite" else OTHER))
    with stand_in(population()) as stripe:
        done = aura("serve-webhooks", *FREE, env=variables(aura, database_url, stripe.base))
    assert (done.exit, "acct_other" in done.err) == (4, True)


OTHER = "UPDATE aura_ops.binding SET stripe_account = 'acct_other'"


def test_what_it_says(aura: Aura, engine: Engine, database_url: str) -> None:
    """One line of JSON on stdout, for a program; addresses, account, mode and billing owner on stderr, for a person; no secret."""
    with stand_in(population()) as stripe:
        process = aura.start("serve", "--json", *FREE, "--workers", "2", env=variables(aura, database_url, stripe.base))
        assert process.stdout
        said = json.loads(process.stdout.readline())
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "")
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+{PATH}", said.pop("url"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", said.pop("admin"))
    assert said.pop("stripe_account").startswith("acct_")
    assert said == {"stripe_mode": "test", "billing_owner": "aura", "billing_since": None, "workers": 2, "secrets": ["web"]}
    assert "2 working on them here; aura grants balances" in err
    assert "test events of Stripe account acct_" in err
    assert "whsec" not in err
    assert STRIPE_SECRET_KEY not in err
    assert err.endswith("Stopped: what was acknowledged is stored.\n")


def test_a_port_that_is_taken(aura: Aura, listener: Served, database_url: str) -> None:
    """Exit 6, naming the port; the other listener is none the worse."""
    with stand_in(population()) as stripe:
        for words in (("--port", str(listener.port), "--admin-port", "0"), ("--port", "0", "--admin-port", str(listener.admin_port))):
            done = aura("serve-webhooks", *words, env=variables(aura, database_url, stripe.base))
            taken = words[:2] if words[1] != "0" else words[2:]
            assert (done.exit, f"Port {taken[1]} ({taken[0]}) on 127.0.0.1 is taken" in done.err) == (6, True), done
    assert listener.alive()


def test_an_address_of_another_machine(aura: Aura, engine: Engine, database_url: str) -> None:
    """Exit 2, and no advice to take another port."""
    with stand_in(population()) as stripe:
        done = aura("serve-webhooks", *FREE, "--host", "192.0.2.1", env=variables(aura, database_url, stripe.base))
    assert (done.exit, "192.0.2.1 is no address of this machine" in done.err, "0 for any" in done.err) == (2, True, False)


def test_the_port_that_was_asked_for(aura: Aura, engine: Engine, database_url: str) -> None:
    """It listens where it is told to, and on loopback alone for the admin's questions."""
    port = free_port()
    with serving(aura, database_url, "--port", str(port), "--path", "/hook", "--workers", "0") as served:
        assert served.port == port
        assert served.deliver(event(), path="/hook") == 200
        assert served.deliver(event(), path="/hook/") == 404


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_under_load(aura: Aura, engine: Engine, database_url: str, number: signal.Signals, code: int) -> None:
    """It stops accepting, finishes what is under way, and ends: every 200 is stored, and which secret matched is noted."""
    stop = Event()

    def send(name: int) -> list[str]:
        accepted: list[str] = []
        while not stop.is_set():
            try:
                with served.connect() as connection:
                    for _ in range(20):
                        identifier = f"evt_{name}x{len(accepted)}"
                        connection.sendall(request(event(identifier)))
                        if answer(connection).status != 200:
                            break
                        accepted.append(identifier)
            except ConnectionError:
                break
        return accepted

    with serving(aura, database_url) as served, ThreadPoolExecutor(8) as senders:
        loads = [senders.submit(send, n) for n in range(8)]
        time.sleep(1)
        served.process.send_signal(number)
        begun = time.monotonic()
        assert served.process.wait(30) == code
        assert time.monotonic() - begun < 5
        stop.set()
        accepted = {identifier for load in loads for identifier in load.result()}
    with reading(engine) as connection:
        assert accepted <= set(connection.execute(select(webhook_events.c.id)).scalars())
        matched = connection.execute(select(webhook_secrets.c.label, webhook_secrets.c.matched)).one()
    assert matched.label == "web"
    assert matched.matched >= len(accepted) > 20


def test_a_request_under_way_is_finished(aura: Aura, engine: Engine, database_url: str) -> None:
    """A body that is still coming when the signal comes may come to its end; nobody new is let in."""
    with serving(aura, database_url) as served, served.connect() as connection:
        whole = request(event("evt_late"))
        connection.sendall(whole[:-10])
        time.sleep(0.2)
        served.process.terminate()
        time.sleep(0.3)
        with pytest.raises(ConnectionError):
            served.connect()
        connection.sendall(whole[-10:])
        assert answer(connection).status == 200
        assert served.process.wait(10) == 143
    with reading(engine) as connection_:
        assert connection_.execute(select(webhook_events.c.id)).scalars().all() == ["evt_late"]


def test_the_grace_is_kept(aura: Aura, postgres_database: str) -> None:
    """A database that hangs keeps nobody beyond the grace time, and an event that it had not stored is not acknowledged."""
    with (
        serving(aura, postgres_database_migrated(postgres_database), "--workers", "1", "--grace", "1") as served,
        psycopg.connect(postgres_database) as blocker,
        served.connect() as connection,
    ):
        blocker.execute("LOCK TABLE aura_ops.webhook_events")
        connection.sendall(request(event()))
        time.sleep(0.3)
        served.process.terminate()
        begun = time.monotonic()
        assert answer(connection).status == 503
        assert served.process.wait(20) == 143
        assert time.monotonic() - begun < 6


def postgres_database_migrated(url: str) -> str:
    """The database, with our schema."""
    from aura_cli.db.migrate import upgrade
    from tests.parts.migrated import engine_of

    with engine_of(url) as engine:
        upgrade(engine)
    return url
