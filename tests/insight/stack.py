"""A whole stack that is well, in this process: stand-ins of every service, a filled database; and what can be wrong with each system."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import httpx
from aiohttp import web
from sqlalchemy import Engine, insert, select, text

from aura_cli.db.engine import writing
from aura_cli.db.location import database_url
from aura_cli.db.shared import integrations, users
from aura_cli.insight.doctor import Report, examine
from aura_cli.insight.finding import Finding, State, System
from aura_cli.insight.surroundings import Surroundings
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.tables import connect_links, connections
from aura_cli.sandbox.credentials import INTEGRATION_ENCRYPTION_KEY, VERCEL_ORG_ID, VERCEL_PROJECT_ID, VERCEL_TOKEN, Addresses
from aura_cli.sandbox.run import Sandbox, fill_database, opened
from aura_cli.settings import Settings
from aura_cli.vault.sealing import derive, seal
from aura_cli.webhooks.endpoints import LIST
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.events import HANDLED, REFUNDED
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import event
from tests.parts.loopback import plain_client, serving
from tests.parts.migrated import engine_of
from tests.parts.service import free_port

ENDPOINT = "http://127.0.0.1:9/api/webhooks/stripe"
RETIRED = "a-key-that-was-once-the-web-app-s"


def wrong(report: Report) -> list[Finding]:
    """What is not well; that this machine has much to do, and answers come late, is nothing wrong with the stack."""
    return [one for one in report.findings if one.state in (State.WARN, State.FAIL) and not one.detail.startswith("slow: ")]


@dataclass
class Stack:
    """`env` is what leads to it, and may be changed; `addresses` are the stand-ins'."""

    env: dict[str, str]
    addresses: Addresses
    engine: Engine
    people: list[str] = field(default_factory=list)

    def examine(
        self, *systems: System, offline: bool = False, ahead: timedelta = timedelta(), env: Mapping[str, str] | None = None
    ) -> Report:
        """What the doctor finds, by a clock that is so far `ahead`; `env` is set beside the usual."""
        settings = Settings.load({**self.env, **(env or {})})
        about = Surroundings.of(
            settings,
            lambda: database_url(settings)[0],
            lambda: load(Path(settings.values["AURA_PROVIDERS_DIR"].text)),
            lambda: (connect_links.c.sealed,),
            lambda: datetime.now(UTC) + ahead,
            offline=offline,
        )
        return examine(about, systems)

    def troubles(self, *systems: System, **more: Any) -> dict[str, str]:
        """The state of each system that is not well, in the order in which they are told."""
        return {one.system: one.state for one in wrong(self.examine(*systems, **more))}

    def told(self, system: System, **more: Any) -> list[tuple[str, str, str | None]]:
        """What is wrong with one system: state, detail, fix."""
        return [(one.state, one.detail, one.fix) for one in wrong(self.examine(system, **more))]

    def stripe(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """A request to Stripe's stand-in."""
        key = self.env["STRIPE_SECRET_KEY"]
        with plain_client(base_url=self.addresses.stripe, auth=(key, "")) as http:
            return http.request(method, path, data=data).raise_for_status().json()

    def listens(self, *types: str, url: str = ENDPOINT, **more: Any) -> str:
        """Register an endpoint at Stripe for these types, or for all that are handled; its id."""
        wanted = {"url": url, "enabled_events[]": types or (*HANDLED, REFUNDED), **more}
        return str(self.stripe("POST", LIST, wanted)["id"])

    def sandbox(self, base: str, path: str, **body: Any) -> None:
        """Ask a stand-in for something that only the sandbox can."""
        httpx.post(f"{base}/_sandbox/{path}", json=body, trust_env=False).raise_for_status()

    def connect(self, provider: str = "github", key: str = INTEGRATION_ENCRYPTION_KEY, **columns: Any) -> str:
        """Somebody's connection, sealed under `key`; its row's id."""
        row = {"provider": provider, "access_token": seal(derive(key), "gho_sandbox_token"), "user_id": self.people[0], **columns}
        with writing(self.engine) as connection:
            return str(connection.execute(insert(integrations).values(row).returning(integrations.c.id)).scalar_one())

    def arrived(self, **values: Any) -> str:
        """An event that came, and what is known of it; its id."""
        with writing(self.engine) as connection:
            (name,) = store(connection, [read(event(), "web")])
            connection.execute(webhook_events.update().where(webhook_events.c.id == name).values({"due_at": None, **values}))
            return name


@contextmanager
def stack(url: str = "") -> Iterator[Stack]:
    """A stack on the database at `url` (PostgreSQL, empty), or on the sandbox's own; nothing is wrong with it."""
    now = int(time())
    with opened(Sandbox(12, 3, now, drift=False), fill=not url) as (env, population, addresses), serving(_sentry()) as sentry:
        if url:
            fill_database(url.replace("postgresql://", "postgresql+psycopg://"), population, drift=False)
            env |= {"DATABASE_URL": url}
        env |= {"NEXT_PUBLIC_SENTRY_DSN": f"{sentry.replace('://', '://public@')}/1"}
        with engine_of(env["DATABASE_URL"]) as engine:
            with engine.connect() as connection:
                people = list(connection.execute(select(users.c.id).order_by(users.c.privy_user_id)).scalars())
            well = Stack(env, addresses, engine, people)
            well.listens()
            yield well


def _sentry() -> web.Application:
    """A server that takes the envelopes of project 1."""
    app = web.Application()

    async def take(request: web.Request) -> web.Response:
        return web.json_response({})

    app.router.add_post("/api/1/envelope/", take)
    return app


def plant_database(well: Stack) -> None:
    """A column of the web app's is gone."""
    with writing(well.engine) as connection:
        connection.execute(text("ALTER TABLE team_invites DROP COLUMN accepted_at"))


def plant_stripe(well: Stack) -> None:
    """The endpoint is switched off."""
    (endpoint,) = well.stripe("GET", LIST)["data"]
    well.stripe("POST", f"{LIST}/{endpoint['id']}", {"disabled": "true"})


def plant_webhooks(well: Stack) -> None:
    """An event was given up."""
    well.arrived(state="dead", outcome="UnreachableError")


def plant_privy(well: Stack) -> None:
    well.env["PRIVY_APP_SECRET"] = "privy_app_secret_sandbox_of_another_app"


def plant_openai(well: Stack) -> None:
    well.env["OPENAI_API_KEY"] = "sk-sandbox-revoked-0000000000"


def plant_resend(well: Stack) -> None:
    """Somebody took the DKIM record out of the DNS."""
    well.sandbox(well.addresses.resend, "domains", name="sandbox.test", dkim="failed")


def plant_upstash(well: Stack) -> None:
    well.env["UPSTASH_REDIS_REST_TOKEN"] = "sandbox-another-token-0000"


def plant_sentry(well: Stack) -> None:
    well.env["NEXT_PUBLIC_SENTRY_DSN"] = f"http://public@127.0.0.1:{free_port()}/1"


def plant_analytics(well: Stack) -> None:
    well.env["NEXT_PUBLIC_GA_MEASUREMENT_ID"] = "UA-12345-6"


def plant_vercel(well: Stack) -> None:
    """Somebody took a variable away that is needed there."""
    project = f"{well.addresses.vercel}/v9/projects/{VERCEL_PROJECT_ID}/env"
    about: dict[str, Any] = {"params": {"teamId": VERCEL_ORG_ID}, "headers": {"Authorization": f"Bearer {VERCEL_TOKEN}"}}
    with plain_client(**about) as http:
        listed = http.get(project.replace("v9", "v10"), params={"teamId": VERCEL_ORG_ID, "limit": "100"}).json()["envs"]
        (identifier,) = [one["id"] for one in listed if one["key"] == "PRIVY_APP_SECRET"]
        http.delete(f"{project}/{identifier}").raise_for_status()


def plant_vault(well: Stack) -> None:
    """A row was sealed before the key was changed."""
    well.env["AURA_RETIRED_ENCRYPTION_KEYS"] = f'{{"2025": "{RETIRED}"}}'
    well.connect("github", RETIRED)


def plant_connections(well: Stack) -> None:
    """A provider said that somebody's consent is gone."""
    row = well.connect("notion")
    lost = {"integration_id": row, "user_id": well.people[0], "provider": "notion", "health": "needs_consent"}
    with writing(well.engine) as connection:
        connection.execute(insert(connections).values(lost))


FAULTS = {  # system → what is wrong with it, how it is judged, and words that name it
    System.DATABASE: (plant_database, State.FAIL, "team_invites.accepted_at"),
    System.STRIPE: (plant_stripe, State.FAIL, f"{ENDPOINT} is disabled"),
    System.WEBHOOKS: (plant_webhooks, State.FAIL, "1 event given up"),
    System.PRIVY: (plant_privy, State.FAIL, "Invalid app ID or app secret. PRIVY_APP_SECRET is refused"),
    System.OPENAI: (plant_openai, State.FAIL, "Incorrect API key provided"),
    System.RESEND: (plant_resend, State.FAIL, "sandbox.test is not verified: DKIM failed"),
    System.UPSTASH: (plant_upstash, State.FAIL, "Upstash answered 401"),
    System.SENTRY: (plant_sentry, State.FAIL, "Sentry could not be reached"),
    System.ANALYTICS: (plant_analytics, State.FAIL, "NEXT_PUBLIC_GA_MEASUREMENT_ID is 'UA-12345-6'"),
    System.VERCEL: (plant_vercel, State.FAIL, "development: PRIVY_APP_SECRET missing or wrong"),
    System.VAULT: (plant_vault, State.FAIL, "1 value under a retired key"),
    System.CONNECTIONS: (plant_connections, State.WARN, "1 connection without its owner's consent"),
}
