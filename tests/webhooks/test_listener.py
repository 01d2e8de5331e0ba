"""The listener as its senders and its operator see it."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import Served, event, request


def stored(engine: Engine) -> dict[str, str]:
    """What the inbox holds: id → label of the secret."""
    with reading(engine) as connection:
        return {row.id: row.source for row in connection.execute(select(webhook_events.c.id, webhook_events.c.source))}


def test_an_event_is_stored_as_it_came(listener: Served, engine: Engine) -> None:
    """200, and the body stands in the inbox byte for byte, whatever its spacing."""
    body = event("evt_first").replace(b'"object"', b'  "object"', 1) + b"\n"
    assert listener.deliver(body) == 200
    with reading(engine) as connection:
        row = connection.execute(select(webhook_events)).one()
    assert (row.id, row.payload, row.type, row.source, row.state) == ("evt_first", body, "product.updated", "web", "received")


def test_the_same_event_a_hundred_times_at_once(listener: Served, engine: Engine) -> None:
    """Every delivery gets its 200, one row is stored, and the rest is counted as known."""
    same = request(event("evt_same"))
    with ThreadPoolExecutor(20) as senders:
        assert {found.status for found in senders.map(lambda _: listener.send(same), range(100))} == {200}
    assert stored(engine) == {"evt_same": "web"}
    assert (listener.metric("stored_total"), listener.metric("duplicates_total"), listener.metric("received_total")) == (1, 99, 100)
