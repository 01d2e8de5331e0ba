"""The listener in other people's programs: the examples of the documentation, run as they stand."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.db.migrate import upgrade
from aura_cli.errors import ConfigurationError
from aura_cli.webhooks import Delivered, Handlers, make_app
from aura_cli.webhooks.signature import sign
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import event
from tests.parts.program import REPOSITORY
from tests.parts.service import free_port
from tests.parts.waiting import until

EXAMPLES = Path(__file__).parent / "examples"
SECRET = "whsec_test_embedded"


@contextmanager
def running(example: str, engine: Engine) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """An example as a program of its own, and its port."""
    port = free_port()
    url = engine.url.render_as_string(hide_password=False)
    environment = {"DATABASE_URL": url, "STRIPE_WEBHOOK_SECRET": SECRET, "PORT": str(port), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(EXAMPLES / example)]
    with subprocess.Popen(command, env={**environment, "PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, port
        finally:
            process.kill()


def post(url: str, body: bytes) -> int:
    """The status of a signed delivery; 0 where nobody listens yet."""
    signed = urllib.request.Request(url, body, {"Stripe-Signature": sign(SECRET, body, int(time.time()))})
    try:
        with urllib.request.urlopen(signed, timeout=15) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


def states(engine: Engine) -> dict[str, str]:
    with reading(engine) as connection:
        return {row.id: row.outcome or row.state for row in connection.execute(select(webhook_events))}


def test_as_a_sub_application(engine: Engine) -> None:
    """Events come in below a prefix; a handler of one's own writes once, however often its event is delivered."""
    refund = event("evt_refund", type="charge.refunded", data={"object": {"id": "ch_1", "object": "charge", "amount_refunded": 700}})
    with running("sub_application.py", engine) as (_, port):
        base = f"http://127.0.0.1:{port}"
        until(lambda: post(f"{base}/hooks/stripe", refund) == 200)
        assert [post(f"{base}{path}", refund) for path in ("/hooks/stripe/", "/hooks", "/")] == [200, 404, 404]
        assert post(f"{base}/hooks/stripe", event("evt_other")) == 200
        until(lambda: states(engine) == {"evt_refund": "applied", "evt_other": "ignored"})
        for path, said in (("/refunds", b'{"refunded": 700}'), ("/hooks/stripe/healthz", b"alive\n")):
            with urllib.request.urlopen(base + path, timeout=15) as answer:
                assert answer.read() == said


def test_under_its_own_loop(engine: Engine) -> None:
    """It starts and ends when the program around it says so."""
    with running("own_loop.py", engine) as (process, port):
        assert process.stdout
        assert process.stdout.readline() == f"{port}\n"
        assert post(f"http://127.0.0.1:{port}/stripe", event("evt_own")) == 200
        until(lambda: states(engine) == {"evt_own": "ignored"})
        process.terminate()
        assert process.wait(20) == 0


def test_a_handler_that_fails(engine: Engine) -> None:
    """Nothing of what it wrote stays, the event is tried again, and others are none the worse."""
    handlers, calls = Handlers(), list[str]()

    @handlers.on("product.updated")
    def handle(connection: object, delivered: Delivered) -> None:
        calls.append(delivered.id)
        if delivered.id == "evt_bad" and calls.count("evt_bad") < 3:
            raise RuntimeError("not yet")

    async def run() -> None:
        runner = web.AppRunner(make_app(engine, {"web": SECRET}, handlers=handlers), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with ClientSession() as session:
                for body in (event("evt_bad"), event("evt_good")):
                    async with session.post(url, data=body, headers={"Stripe-Signature": sign(SECRET, body, int(time.time()))}) as answer:
                        assert answer.status == 200
            await asyncio.to_thread(until, lambda: states(engine) == {"evt_bad": "applied", "evt_good": "applied"})
        finally:
            await runner.cleanup()

    asyncio.run(run())
    assert calls.count("evt_good") >= 1


def test_it_starts_on_its_own_schema_only(bare_engine: Engine) -> None:
    """A database that was never upgraded is told when the application starts, not when the first event comes."""

    async def start() -> None:
        runner = web.AppRunner(make_app(bare_engine, {"web": SECRET}))
        try:
            await runner.setup()
        finally:
            await runner.cleanup()

    with pytest.raises(ConfigurationError, match="aura schema"):
        asyncio.run(start())
    upgrade(bare_engine)
    asyncio.run(start())


def test_nothing_heavy_before_it_is_asked_for() -> None:
    """Importing the package loads neither the web server nor the database's driver."""
    code = (
        "import json, sys, aura_cli.webhooks; print(json.dumps(sorted({'aiohttp', 'sqlalchemy', 'msgspec', 'httpx'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("secrets", [{}, {"web": ""}, {"web": "whsec_test", "old": ""}])
def test_no_application_without_a_secret(engine: Engine, secrets: dict[str, str]) -> None:
    """An empty one would take whatever anybody signs with nothing."""
    with pytest.raises(ConfigurationError, match="secret"):
        make_app(engine, secrets)
