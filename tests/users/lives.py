"""Somebody who left traces in every room and in tables that nobody here knows, with the outside services that know them, too."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, inspect, select, text

from aura_cli.audit.log import record
from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.db.engine import is_sqlite, reading, writing
from aura_cli.db.shared import audit_logs, integrations, team_invites, team_members, users
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.tables import connect_links, connections
from aura_cli.mail.suppression import suppress
from aura_cli.mail.tables import mails, resend_events
from aura_cli.outbox.queue import enqueue
from aura_cli.sandbox.credentials import INTEGRATION_ENCRYPTION_KEY, PROVIDER_FILES, Addresses, environment
from aura_cli.sandbox.providers.addresses import write
from aura_cli.sandbox.run import fill_database
from aura_cli.sandbox.server import running
from aura_cli.subscriptions.tables import customer_links, grants
from aura_cli.users.tables import privy_users
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from tests.parts.books import contract, person, population, top_up
from tests.parts.loopback import plain_client
from tests.parts.program import Aura, Completed
from tests.parts.providers import key_ring

EMAIL, NAME, DID, CUSTOMER = "ada.marker@example.com", "Ada Marker", "did:privy:adamarker", "cus_AdaPays"
SECRETS = ("marker-access-token", "marker-refresh-token", "f" * 64, "marker-agent-key", "marker-inner-key", "marker-link")
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
MARKER = "marker"  # in everything of hers, and in nothing of anybody else's
BOB = person(2, contract("bob"))
ADA = replace(
    person(1, contract("ada", "canceled", age=40 * 86_400), top_ups=(top_up("ada"),)),
    did=DID,
    name=NAME,
    email=EMAIL,
    customer=CUSTOMER,
)
FOREIGN = (  # the web app's other tables, as it may have made them
    (
        "CREATE TABLE agents (id {id} PRIMARY KEY, user_id {id} NOT NULL REFERENCES users (id) ON DELETE CASCADE, name text, api_key text, "
        "config json)"
    ),
    "CREATE TABLE channels (id {id} PRIMARY KEY, agent_id {id} NOT NULL REFERENCES agents (id), address text)",
    "CREATE TABLE voice_settings (user_id {id} PRIMARY KEY REFERENCES users (id), voice text)",
    "CREATE TABLE call_logs (id {id} PRIMARY KEY, user_id {id} REFERENCES users (id) ON DELETE SET NULL, seconds integer)",
)


@dataclass
class Life:
    """Ada with all her traces, and Bob, who must not be touched. `life("erase", …)` is `aura users erase …`."""

    aura: Aura
    engine: Engine
    env: dict[str, str]
    addresses: Addresses
    ada: str = ADA.uuid
    bob: str = BOB.uuid
    privy: httpx.Client = field(default_factory=lambda: plain_client())

    def __call__(self, *args: str, group: str = "users", **named: Any) -> Completed:
        return self.aura(group, *args, env={**self.env, **named.pop("env", {})}, **named)

    def sql(self, statement: str, **values: Any) -> None:
        """What somebody else does to the database."""
        with writing(self.engine) as connection:
            connection.execute(text(statement), values)

    def value(self, statement: str, **values: Any) -> Any:
        """The one value of a query."""
        with reading(self.engine) as connection:
            return connection.execute(text(statement), values).scalar()

    def ops(self, table: str) -> str:
        """One of our own tables, as this database calls it."""
        return table if self.engine.dialect.name == "sqlite" else f"aura_ops.{table}"

    def deliver(self, *events: dict[str, Any]) -> None:
        """Put events into the inbox."""
        with writing(self.engine) as connection:
            store(connection, [read(json.dumps(event).encode(), "test") for event in events])

    def tables(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Every table of the database with everything in it, whoever made it."""
        with reading(self.engine) as connection:
            inspector = inspect(connection)
            for schema in (None,) if is_sqlite(connection) else ("public", "aura_ops"):
                for name in inspector.get_table_names(schema=schema):
                    if not name.startswith("chat_search"):
                        full = name if schema is None else f"{schema}.{name}"
                        yield name, [dict(row) for row in connection.execute(text(f"SELECT * FROM {full}")).mappings()]

    def traces(self, *words: str) -> dict[str, list[str]]:
        """Where in the whole database one of the words stands, in any case: table → columns."""
        found: dict[str, list[str]] = {}
        for name, rows in self.tables():
            for row in rows:
                for column, value in row.items():
                    plain = bytes(value).decode() if isinstance(value, bytes | memoryview) else str(value)
                    if any(word.lower() in plain.lower() for word in words):
                        found.setdefault(name, []).append(column)
        return found

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {name: len(rows) for name, rows in self.tables()}


@contextmanager
def life_of(aura: Aura, engine: Engine, database_url: str) -> Iterator[Life]:
    """On a migrated database."""
    people = population(ADA, BOB)
    with running(people) as addresses:
        home = Path(aura.environment["AURA_HOME"])
        write(load().providers, addresses.providers, home / PROVIDER_FILES)
        fill_database(database_url.replace("postgresql://", "postgresql+psycopg://"), people, drift=False)
        env = {**environment(addresses, home, database_url), "AURA_ENV": "development", "AURA_BILLING_OWNER": "aura"}
        life = Life(aura, engine, env, addresses)
        life.sql(f"UPDATE {life.ops('binding')} SET environment = NULL")
        with life.privy:
            _live(life)
            yield life


def _live(life: Life) -> None:
    kind = "text" if life.engine.dialect.name == "sqlite" else "uuid"
    for statement in FOREIGN:
        life.sql(statement.format(id=kind))
    for number, (who, word) in enumerate(((life.ada, MARKER), (life.bob, "bob"))):
        made, below = f"00000000-0000-4000-9000-{number:012}", f"00000000-0000-4000-a000-{number:012}"
        agent = "INSERT INTO agents VALUES (:id, :user, :name, :key, :config)"
        life.sql(
            agent,
            id=made,
            user=who,
            name=f"{word}'s agent",
            key=f"{word}-agent-key",
            config=json.dumps({"auth": {"accessKey": f"{word}-inner-key"}}),
        )
        life.sql("INSERT INTO channels VALUES (:id, :agent, :name)", id=below, agent=made, name=f"{word}@channel.test")
        life.sql("INSERT INTO voice_settings VALUES (:user, :voice)", user=who, voice=f"{word}'s voice")
        life.sql("INSERT INTO call_logs VALUES (:id, :user, 60)", id=made, user=who)
        with writing(life.engine) as connection:
            _rooms(connection, who, word, (life.ada, life.bob))
    life.deliver(*(_event(number, customer, word) for number, (customer, word) in enumerate(((CUSTOMER, MARKER), (BOB.customer, "bob")))))


def _rooms(connection: Any, who: str, word: str, both: Sequence[str]) -> None:
    """A row of this person in every table of ours and the web app's."""
    address = EMAIL if word == MARKER else BOB.email
    session = f"00000000-0000-4000-b000-{'1' if word == MARKER else '2':0>12}"
    said = {"session": session, "number": 1, "role": "user", "content": f"I am {word}"}
    connection.execute(chat_sessions.insert().values(id=session, title=f"About {word}", model="m", user_id=who, operator="tester"))
    connection.execute(chat_messages.insert().values(said))
    mail = session.replace("-b", "-c")
    data = {"user_name": word}
    row = {"id": mail, "key": f"welcome:{word}", "template": "welcome", "user_id": who, "address": address, "data": data}
    connection.execute(mails.insert().values(**row, resend_id=f"re-{word}", state="delivered", effect=f"welcome:{word}"))
    invited = {
        "id": mail.replace("-c", "-d"),
        "key": f"team-invite:{mail}:1",
        "template": "team-invite",
        "data": {**data, "link": f"{word}-link"},
    }
    connection.execute(mails.insert().values({**row, **invited, "state": "sent"}))
    connection.execute(resend_events.insert().values(id=f"msg-{word}", type="email.delivered", created=NOVEMBER, resend_id=f"re-{word}"))
    suppress(connection, str(address), "operator")
    enqueue(connection, "mail", f"welcome:{word}", {"mails": [mail]})
    enqueue(
        connection,
        "analytics",
        f"purchase:{word}",
        {
            "event": "purchase",
            "user_id": who,
            "at": int(time.time()),
            "params": {"transaction_id": f"in_{word}", "value": 1.0, "currency": "EUR"},
        },
    )
    _connect(connection, who, word)
    _web_app(connection, who, word, both)
    record(connection, "tester", "users.sync", DID if word == MARKER else BOB.did, user_id=who)
    customer = CUSTOMER if word == MARKER else BOB.customer
    connection.execute(customer_links.insert().values(customer=customer, user_id=who))
    connection.execute(grants.insert().values(cause=f"operator:{who}", user_id=who, kind="operator", tokens=1, reason=f"for {word}"))


def _connect(connection: Any, who: str, word: str) -> None:
    ring = key_ring(INTEGRATION_ENCRYPTION_KEY)
    sealed = {name: ring.seal(f"{word}-{name.replace('_', '-')}") for name in ("access_token", "refresh_token")}
    about = {"email": f"{word}@github.test", "apiKey": ring.seal(f"{word}-access-token")}
    made = integrations.insert().values(user_id=who, provider="github", **sealed, metadata=about).returning(integrations.c.id)
    identifier = connection.execute(made).scalar_one()
    connection.execute(connections.insert().values(integration_id=identifier, user_id=who, provider="github", label=f"{word}@github.test"))
    link = {"digest": f"digest-{word}", "provider": "slack", "user_id": who, "request": {}, "operator": "tester", "result": f"{word}'s"}
    connection.execute(connect_links.insert().values(**link, expires_at=NOVEMBER))


def _web_app(connection: Any, who: str, word: str, both: Sequence[str]) -> None:
    (other,) = (one for one in both if one != who)
    token = ("f" if word == MARKER else "e") * 64
    invite = {"workspace_owner_id": other, "email": EMAIL.upper() if word == MARKER else BOB.email, "token": token}
    connection.execute(team_invites.insert().values(**invite, expires_at=NOVEMBER))
    if word == MARKER:
        connection.execute(team_members.insert().values(user_id=who, workspace_owner_id=other))
    log = {
        "user_id": who,
        "category": "system",
        "action": "seen",
        "description": f"{word} was here",
        "ip_address": "192.0.2.1" if word == MARKER else "192.0.2.2",
    }
    connection.execute(audit_logs.insert().values(log))
    did = connection.execute(select(users.c.privy_user_id).where(users.c.id == who)).scalar_one()
    facts = {"verified_email": EMAIL if word == MARKER else BOB.email, "linked_accounts": [{"type": "email", "address": f"{word}@x.test"}]}
    connection.execute(privy_users.delete().where(privy_users.c.privy_user_id == did))
    connection.execute(privy_users.insert().values(privy_user_id=did, **facts))


def _event(number: int, customer: str | None, word: str) -> dict[str, Any]:
    about = {"id": customer, "object": "customer", "email": f"{word}@example.com", "name": f"{word}'s name"}
    event = {"id": f"evt_{number}", "object": "event", "type": "customer.updated", "created": int(time.time()) - 60 + number}
    return {**event, "livemode": False, "api_version": "2026-10-28.endive", "data": {"object": about}}
