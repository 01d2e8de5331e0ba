"""What rooms ask operators to be told, on its way to them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from aura_cli.cron.notices import Notices, prune
from aura_cli.db.engine import reading, writing
from aura_cli.integrations.strikes import ALERT
from aura_cli.outbox.carrying import Carrier
from aura_cli.outbox.queue import enqueue
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings
from tests.cron.conftest import Chat, chat_listening
from tests.parts.program import Aura
from tests.parts.providers import Town, town_of


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """A stand-in of all providers, with nothing wrong yet."""
    with town_of(aura, engine, database_url) as found:
        yield found


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chat_listening() as found:
        yield found


def states(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(select(outbox.c.state).where(outbox.c.kind == ALERT).order_by(outbox.c.id)).scalars())


def test_a_connection_that_broke_is_told_of_once(town: Town, chat: Chat) -> None:
    """The job's alert says that somebody is needed, the room's which connection; a second one that breaks is told of, too."""
    env = {**town.env, "AURA_ALERT_TO": chat.url}
    first, second = town.people(2)
    town.connect("linear", [first])
    town.order("invalid_grant")
    for _ in range(2):
        assert town.aura("cron", "run", "refresh-tokens", env=env).exit == 3
    needs, broken = [one["text"] for one in chat.said]
    assert "refresh-tokens needs attention: 1 connection to be connected anew" in needs
    assert ("connections: 1 broken" in broken, f"linear of {first}: broken" in broken) == (True, True)
    town.connect("linear", [second])
    town.order("invalid_grant")
    assert town.aura("cron", "run", "refresh-tokens", env=env).exit == 3
    assert len(chat.said) == 3
    assert f"linear of {second}: broken" in chat.said[2]["text"]
    assert states(town.engine) == ["done", "done"]


def settings(aura: Aura, to: str) -> Settings:
    return Settings.load({"AURA_ALERT_TO": to}, aura.work)


def ask(engine: Engine, number: int, ago: timedelta = timedelta()) -> None:
    """As a room asks for an alert."""
    at = (datetime.now(UTC) - ago).isoformat()
    with writing(engine) as connection:
        enqueue(connection, ALERT, f"connection {number} broken {at}", {"what": "broken", "provider": "linear", "user_id": f"u{number}"})


def test_all_in_one_message(aura: Aura, engine: Engine, chat: Chat) -> None:
    """Many at once are one message; what is a day old wakes nobody up; nothing is sent twice."""
    for number in range(30):
        ask(engine, number, timedelta(days=2) if number < 10 else timedelta())
    notices = Notices.of(settings(aura, chat.url))
    assert notices
    for _ in range(2):
        Carrier(engine, notices).once()
    (said,) = chat.said
    assert "connections: 20 broken" in said["text"]
    assert ("linear of u9: broken" in said["text"], "linear of u10: broken" in said["text"]) == (False, True)
    assert states(engine) == ["done"] * 30


def test_a_chat_that_is_away(aura: Aura, engine: Engine, chat: Chat) -> None:
    """They wait, and go out later."""
    ask(engine, 1)
    chat.status = 403
    notices = Notices.of(settings(aura, chat.url))
    assert notices
    assert [one.state for one in Carrier(engine, notices).once()] == ["pending"]
    chat.status, chat.said = 200, []
    with writing(engine) as connection:
        connection.execute(outbox.update().values(next_try_at=outbox.c.created_at))
    assert [one.state for one in Carrier(engine, notices).once()] == ["done"]
    assert len(chat.said) == 1


def test_nobody_is_to_be_told(aura: Aura, engine: Engine) -> None:
    """They stay, until prune forgets them."""
    assert Notices.of(settings(aura, "")) is None
    ask(engine, 1)
    assert prune(engine, datetime.now(UTC) - timedelta(days=1)) == 0
    assert prune(engine, datetime.now(UTC) + timedelta(days=1)) == 1
