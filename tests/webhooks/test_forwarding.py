"""What is to go on to the web app goes: signed anew, at least once, however long the web app is away."""

import json
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import connect, reading, writing
from aura_cli.errors import ConfigurationError
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Carrier
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.forwarding import Forwarding
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.sending import Target
from aura_cli.webhooks.signature import verify
from aura_cli.webhooks.tables import webhook_events
from tests.parts.books import NOW
from tests.parts.receiving import receiving
from tests.parts.service import free_port
from tests.parts.waiting import until

SECRET = "whsec_test_web_app"


def ask(engine: Engine, number: int = 1) -> list[bytes]:
    """So many events that are to go on; their bodies, which no JSON writer would make so."""
    bodies = [b"\n " + sample("invoice.payment_failed", NOW, seed=seed) for seed in range(number)]
    with writing(engine) as connection:
        store(connection, [read(one, "web") for one in bodies])
        for one in bodies:
            queue.enqueue(connection, "forward", json.loads(one)["id"], {"event": json.loads(one)["id"]})
    return bodies


def forwarding(engine: Engine, url: str) -> Carrier:
    return Carrier(engine, Forwarding(engine, Target(url, SECRET)))


def effects(engine: Engine) -> list[tuple[str, int, str | None]]:
    """State, attempts and error of each, oldest first."""
    o = outbox.c
    with reading(engine) as connection:
        return [(row.state, row.attempts, row.error) for row in connection.execute(select(o.state, o.attempts, o.error).order_by(o.id))]


def make_due(engine: Engine) -> None:
    """Let all waiting and all claims run out."""
    with writing(engine) as connection:
        connection.execute(outbox.update().values(next_try_at=outbox.c.created_at, lease_expires_at=outbox.c.created_at))


def test_the_bytes_go_on_signed_with_the_web_apps_secret(engine: Engine) -> None:
    """As they arrived, once each; what was done is not done again."""
    bodies = ask(engine, 3)
    with receiving() as receiver:
        assert [one.state for one in forwarding(engine, receiver.url).once()] == ["done"] * 3
        assert forwarding(engine, receiver.url).once() == []
    assert [body for body, _ in receiver.arrived] == bodies
    assert {verify(header, body, {"web": SECRET}, time.time()) for body, header in receiver.arrived} == {"web"}
    assert effects(engine) == [("done", 1, None)] * 3
    (sender,) = receiver.senders
    assert sender.startswith("aura/")


@pytest.mark.parametrize("status", [307, 400, 404, 429, 500, 503])
def test_what_passes_is_tried_again(engine: Engine, status: int) -> None:
    """Later, not at once; a redirect is not followed, since it may lead anywhere."""
    ask(engine)
    with receiving(status) as receiver:
        carrier = forwarding(engine, receiver.url)
        assert [one.state for one in carrier.once()] == ["pending"]
        assert carrier.once() == []
        assert effects(engine) == [("pending", 1, f"{status}: not now")]
        make_due(engine)
        assert [one.state for one in carrier.once()] == ["done"]
    assert len(receiver.arrived) == 2
    assert effects(engine) == [("done", 2, None)]


def test_what_was_given_up_goes_on_when_somebody_says_so(engine: Engine) -> None:
    """After a day of tries; a replay of the event lets it go on again."""
    (body,) = ask(engine)
    with receiving(503) as receiver:
        carrier = forwarding(engine, receiver.url)
        with writing(engine) as connection:
            connection.execute(outbox.update().values(attempts=queue.ATTEMPTS - 1))
        assert [one.state for one in carrier.once()] == ["dead"]
        make_due(engine)
        assert carrier.once() == []
        assert effects(engine) == [("dead", queue.ATTEMPTS, "503: not now")]
        with writing(engine) as connection:
            assert queue.revive(connection, "forward", [json.loads(body)["id"], "evt_other"]) == 1
        assert [one.state for one in carrier.once()] == ["done"]


def test_an_event_that_is_not_here_any_more(engine: Engine) -> None:
    """There is nothing to send, and it says so."""
    ask(engine)
    with writing(engine) as connection:
        connection.execute(webhook_events.delete())
    with receiving() as receiver:
        assert [one.state for one in forwarding(engine, receiver.url).once()] == ["dead"]
    assert receiver.arrived == []
    ((_, _, error),) = effects(engine)
    assert "not stored" in str(error)


def test_the_web_app_is_away_and_comes_back(engine: Engine) -> None:
    """Nothing is lost meanwhile; it is running all the time, and ends when it is told to."""
    ask(engine, 2)
    port, stop = free_port(), threading.Event()
    carrier = forwarding(engine, f"http://127.0.0.1:{port}/api/webhooks/stripe")
    thread = threading.Thread(target=carrier.run, args=(stop,))
    thread.start()
    try:
        until(lambda: all(error for *_, error in effects(engine)))  # both were tried, and given back
        assert [(state, attempts) for state, attempts, _ in effects(engine)] == [("pending", 1)] * 2
        assert all(str(error).startswith("not reached: ConnectError") for *_, error in effects(engine))
        with receiving(port=port) as receiver:
            make_due(engine)
            until(lambda: effects(engine) == [("done", 2, None)] * 2)
        assert len(receiver.arrived) == 2
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_two_do_not_send_the_same(engine: Engine) -> None:
    """Each event is claimed by one."""
    ask(engine, 20)
    with receiving() as receiver:
        carriers = [forwarding(engine, receiver.url) for _ in range(3)]
        threads = [threading.Thread(target=carrier.once) for carrier in carriers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len({event["id"] for event in receiver.events}) == len(receiver.events) == 20


def test_one_that_died_before_its_note(engine: Engine) -> None:
    """When its claim runs out the event goes again: at least once."""
    (body,) = ask(engine)
    with writing(engine) as connection:
        assert len(queue.claim(connection, "elsewhere:1:2:3:4", kinds=("forward",))) == 1
    with receiving() as receiver:
        carrier = forwarding(engine, receiver.url)
        assert carrier.once() == []
        make_due(engine)
        assert [one.state for one in carrier.once()] == ["done"]
    assert [sent for sent, _ in receiver.arrived] == [body]


def test_other_effects_are_left_alone(engine: Engine) -> None:
    """Mail is somebody else's to carry."""
    with writing(engine) as connection:
        queue.enqueue(connection, "mail", "welcome:1", {})
    with receiving() as receiver:
        assert forwarding(engine, receiver.url).once() == []
    assert effects(engine) == [("pending", 0, None)]


@pytest.fixture
def unconnected() -> Engine:
    """A database that nobody asks anything."""
    return connect("sqlite:///nowhere.db")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hooks.example.com/stripe", "https"),
        ("ftp://127.0.0.1/", "no web address"),
        ("hooks.example.com", "no web address"),
    ],
)
def test_addresses_that_cannot_be(unconnected: Engine, tmp_path: Path, url: str, says: str) -> None:
    """Found out when it starts, with the setting's name."""
    settings = Settings.load({"AURA_FORWARD_URL": url, "STRIPE_WEBHOOK_SECRET": SECRET}, tmp_path)
    with pytest.raises(ConfigurationError, match=says) as refused:
        Forwarding.of(unconnected, settings)
    assert "AURA_FORWARD_URL" in refused.value.message


@pytest.mark.parametrize("url", ["https://hooks.example.com/stripe", "http://127.0.0.1:3000/", "http://localhost:3000/"])
def test_addresses_that_can(unconnected: Engine, tmp_path: Path, url: str) -> None:
    """TLS, or this machine; but the sandbox's events stay here, and none goes unsigned."""
    variables = {"AURA_FORWARD_URL": url, "STRIPE_WEBHOOK_SECRET": SECRET}
    found = Forwarding.of(unconnected, Settings.load(variables, tmp_path))
    assert found
    assert (found.target.url, found.target.secret) == (url, SECRET)
    if url.startswith("https"):
        with pytest.raises(ConfigurationError, match="sandbox"):
            Forwarding.of(unconnected, Settings.load({**variables, "AURA_ENV": "sandbox"}, tmp_path))
    with pytest.raises(ConfigurationError, match="STRIPE_WEBHOOK_SECRET"):
        Forwarding.of(unconnected, Settings.load({"AURA_FORWARD_URL": url}, tmp_path))


def test_nothing_to_forward_to(unconnected: Engine, tmp_path: Path) -> None:
    """Without the setting there is no forwarding, and a stray file's does not count."""
    assert Forwarding.of(unconnected, Settings.load({}, tmp_path)) is None
    (tmp_path / ".env").write_text("AURA_FORWARD_URL=https://elsewhere.example.com/\n")
    assert Forwarding.of(unconnected, Settings.load({"STRIPE_WEBHOOK_SECRET": SECRET}, tmp_path)) is None
