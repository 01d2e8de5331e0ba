"""`aura webhooks` in the hands of a test, on people with stories at Stripe."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.sandbox.stripe import records
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.tables import webhook_events
from tests.parts.life import body
from tests.parts.program import Aura, Completed
from tests.webhooks.world import World


@dataclass(frozen=True)
class Operated:
    """The program, and the world that it operates on."""

    aura: Aura
    world: World

    def __call__(self, *words: str, **other: str) -> Completed:
        """`aura webhooks …`; `other` are further variables, empty ones hide."""
        return self.aura("webhooks", *words, env={**self.world.books.variables, **other})

    @property
    def engine(self) -> Engine:
        return self.world.books.engine

    def body(self, event: records.Event) -> bytes:
        return body(self.world.state, event)

    def of(self, kind: str) -> records.Event:
        """The first event of a type."""
        return next(event for event in self.world.events if event.type == kind)

    def states(self) -> dict[str, str]:
        """Event → state."""
        with reading(self.engine) as connection:
            return {row.id: row.state for row in connection.execute(select(webhook_events.c.id, webhook_events.c.state))}

    def put(self, *bodies: bytes, source: str = "web") -> None:
        """Store bodies as the listener does."""
        with writing(self.engine) as connection:
            store(connection, [read(one, source) for one in bodies])

    def change(self, ids: Iterable[str], **values: Any) -> None:
        """Change stored events as nobody else would."""
        with writing(self.engine) as connection:
            connection.execute(webhook_events.update().where(webhook_events.c.id.in_(list(ids))).values(values))

    def malformed(self, identifier: str = "evt_malformed") -> str:
        """Store an event that is not what its type promises: it ends dead."""
        whole = json.loads(sample("invoice.paid", int(time.time())))
        whole |= {"id": identifier, "data": {"object": {"id": "in_1", "object": "invoice", "created": "yesterday"}}}
        self.put(json.dumps(whole).encode())
        return identifier
