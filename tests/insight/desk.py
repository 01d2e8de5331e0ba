"""A person whose every link is whole, at Stripe, at Privy and in a database, and the ways in which each link is broken."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import METADATA, integrations, team_invites, users
from aura_cli.insight.explain import Explained, Means, explain
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.tables import connections
from aura_cli.sandbox.population import Contract, Person
from aura_cli.sandbox.privy.users import user_object
from aura_cli.settings import Settings
from aura_cli.users.tables import privy_users
from aura_cli.vault.keyring import KeyRing
from aura_cli.webhooks.tables import webhook_events
from tests.parts.books import DAY, Books, contract, opened, person, population, top_up
from tests.parts.privy import Pages, serving
from tests.parts.program import Aura, Completed
from tests.webhooks.world import World

LONG_AGO = datetime.now(UTC) - timedelta(days=3)


@dataclass
class Desk:
    """`desk("explain", …)` is the program with everything that leads to the stand-ins; `person` is who has it all."""

    aura: Aura
    books: Books
    privy: Pages
    people: tuple[Person, ...]
    more: dict[str, str] = field(default_factory=dict)

    @property
    def person(self) -> Person:
        return self.people[0]

    @property
    def env(self) -> dict[str, str]:
        return {**self.books.variables, "PRIVY_API_BASE": self.privy.base, "GA_API_SECRET": "", **self.more}

    @property
    def world(self) -> World:
        return World(self.books, list(self.books.stripe.state.events))

    def __call__(self, *words: str, **env: str) -> Completed:
        return self.aura(*words, env={**self.env, **env})

    def explain(self, anything: str = "", *, exit: int = 0, **env: str) -> Any:  # noqa: A002
        """`aura explain … --json`, which must end with `exit`, parsed; without a word it is about the person."""
        done = self("explain", anything or self.person.uuid, "--json", **env)
        assert done.exit == exit, (done.exit, done.out, done.err)
        return done.json

    def told(self, anything: str) -> Explained:
        """The same told in this process, which takes a fraction of the time."""
        settings = Settings.load(self.env, self.aura.work)
        return explain(Means(self.books.engine, settings, KeyRing.of(settings), load()), anything)

    def repair(self, command: str, *, exit: int = 0, env: Mapping[str, str] | None = None) -> Completed:  # noqa: A002
        """Run a command as it was shown."""
        program, *words = shlex.split(command)
        assert program == "aura"
        done = self(*words, **(env or {}))
        assert done.exit == exit, (command, done.out, done.err)
        return done

    def hear(self, subject: str) -> list[str]:
        """Let Stripe's events about an object arrive and be worked off; their ids."""
        world = self.world
        events = [event for event in world.events if event.subject.id == subject]
        world.deliver(events)
        world.worker().drain()
        return [event.id for event in events]

    def give_up(self, event: str, why: str) -> None:
        """Let an event be a dead letter."""
        with writing(self.books.engine) as connection:
            ended = {"state": "dead", "outcome": why, "due_at": None, "attempts": 14, "received_at": LONG_AGO}
            connection.execute(webhook_events.update().where(webhook_events.c.id == event).values(ended))

    def connect(self, provider: str, *, key: str | None = None, **known: Any) -> str:
        """Give the person a connection with what is `known` of it; the row's id."""
        variables = self.env if key is None else {**self.env, "INTEGRATION_ENCRYPTION_KEY": key}
        vault = KeyRing.of(Settings.load(variables, self.aura.work))
        row = {"user_id": self.person.uuid, "provider": provider, "access_token": vault.seal("sandbox-token"), "token_expiry": None}
        with writing(self.books.engine) as connection:
            made = integrations.insert().values(**row, connected_at=LONG_AGO, created_at=LONG_AGO).returning(integrations.c.id)
            identifier = str(connection.execute(made).scalar_one())
            if known:
                connection.execute(
                    connections.insert().values(integration_id=identifier, user_id=self.person.uuid, provider=provider, **known)
                )
        return identifier

    def invite(self, email: str, *, at: datetime = LONG_AGO) -> str:
        """An invitation into the person's workspace, as the web app makes it: without a mail."""
        values = {
            "email": email,
            "token": uuid4().hex * 2,
            "expires_at": at + timedelta(days=7),
            "created_at": at,
            "workspace_owner_id": self.person.uuid,
        }
        with writing(self.books.engine) as connection:
            return str(connection.execute(team_invites.insert().values(values).returning(team_invites.c.id)).scalar_one())

    def state(self) -> dict[str, Any]:
        """Everything in every table: whether somebody wrote."""
        with reading(self.books.engine) as connection:
            return {name: sorted(map(repr, connection.execute(select(table)))) for name, table in METADATA.tables.items()}

    def verify(self, address: str, people: Sequence[Person]) -> None:
        """Let Privy have verified an address for these people, as a sync found out."""
        with writing(self.books.engine) as connection:
            connection.execute(privy_users.insert(), [{"privy_user_id": one.did, "verified_email": address} for one in people])

    def change_user(self, number: int, **values: Any) -> None:
        with writing(self.books.engine) as connection:
            connection.execute(users.update().where(users.c.id == person(number).uuid).values(**values))


@contextmanager
def sat_down(aura: Aura, url: str, home: Path, bought: Contract | None = None) -> Iterator[Desk]:
    """Two people: the first pays since ten days, or has `bought` that, and has bought tokens, the second has bought nothing."""
    people = (person(1, bought or contract("one"), top_ups=(top_up("one", age=5 * DAY),)), person(2, customer=None))
    with opened(url, population(*people), home) as books, serving(Pages([user_object(one) for one in people])) as privy:
        Path(books.variables["AURA_PROVIDERS_DIR"]).mkdir(exist_ok=True)
        yield Desk(aura, books, privy, people)
