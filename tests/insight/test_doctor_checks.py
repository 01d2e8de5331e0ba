"""What doctor sees of each system beside its planted fault, and what it leaves alone."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import insert, text

from aura_cli.db.engine import writing
from aura_cli.db.tables import binding
from aura_cli.insight.checks.database import place
from aura_cli.insight.finding import SETTINGS_FIRST, State, System
from aura_cli.insight.surroundings import Database, DatabaseAway
from aura_cli.integrations.tables import connections
from aura_cli.outbox.queue import enqueue
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.credentials import VERCEL_ORG_ID, VERCEL_PROJECT_ID, VERCEL_TOKEN
from aura_cli.sandbox.stripe.state import ACCOUNT
from aura_cli.vault.keyring import FALLBACK_SECRET
from tests.insight.stack import ENDPOINT, Stack, stack
from tests.parts.loopback import plain_client
from tests.parts.migrated import engine_of
from tests.parts.upstash import answering

HOUR = timedelta(hours=1)


@pytest.fixture
def well() -> Iterator[Stack]:
    with stack() as found:
        yield found


@pytest.fixture
def on_postgres(postgres_database: str) -> Iterator[Stack]:
    with stack(postgres_database) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """On each kind of database: for what is asked of it."""
    with stack(str(request.getfixturevalue("postgres_database")) if request.param == "postgresql" else "") as found:
        yield found


def bind(well: Stack, **columns: Any) -> None:
    """What the database belongs to."""
    with writing(well.engine) as connection:
        connection.execute(binding.update().values(columns))


def test_a_database_of_another_environment(either: Stack) -> None:
    """It is bound to another Privy app, or to another Stripe account: each is told by the system that knows."""
    bind(either, privy_app="another-app", stripe_account="acct_of_another")
    ((state, detail, fix),) = either.told(System.DATABASE)
    assert (state, fix) == (State.FAIL, "aura env show")
    assert "privy app: bound to another-app" in detail
    assert detail.endswith(SETTINGS_FIRST)
    what = f"the key is of {ACCOUNT}, and this database belongs to acct_of_another; {SETTINGS_FIRST}"
    assert either.told(System.STRIPE) == [(State.FAIL, what, "aura env show")]


def test_an_old_schema(well: Stack) -> None:
    """What to run is told once; what needs the schema is not looked at."""
    with writing(well.engine) as connection:
        connection.execute(text("UPDATE aura_version SET version_num = '0005'"))
    report = well.examine()
    ((one,),) = [[one for one in report.findings if one.state is State.FAIL]]
    assert (one.system, one.fix) == ("database", "aura db upgrade")
    assert [one.system for one in report.findings if one.state is State.SKIPPED] == ["webhooks", "vault", "connections"]


def test_a_database_that_cannot_be_written_to(on_postgres: Stack) -> None:
    """Read-only by its settings, as Neon makes it where a quota is used up."""
    with writing(on_postgres.engine) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar()
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    ((state, detail, _),) = on_postgres.told(System.DATABASE)
    assert (state, detail) == (State.FAIL, "nothing can be written: default_transaction_read_only is on")


def test_a_role_that_may_not(on_postgres: Stack) -> None:
    """Each room that cannot work is named, and why."""
    with writing(on_postgres.engine) as connection:
        connection.execute(text("REVOKE UPDATE ON public.token_balances FROM CURRENT_USER"))
    ((_, detail, fix),) = on_postgres.told(System.DATABASE)
    assert (detail, fix) == ("subscriptions cannot work: the role may not read and write token_balances", "aura db check")


def test_where_the_database_is(on_postgres: Stack) -> None:
    """Its version, and its host; a pooled one is told apart."""
    first = on_postgres.examine(System.DATABASE).findings[0]
    assert first.detail.startswith("PostgreSQL 18")
    assert first.detail.endswith(" at 127.0.0.1")


def test_through_a_pooler(pooled_database: str) -> None:
    """A PgBouncer in transaction mode, as Neon's pooled host is one: nothing is wrong with it."""
    with stack(pooled_database) as pooled:
        assert pooled.troubles() == {}


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (
            "postgresql+psycopg://u:p@ep-calm-1-pooler.eu-central-1.aws.neon.tech/aura",
            "ep-calm-1-pooler.eu-central-1.aws.neon.tech, pooled",
        ),
        ("postgresql+psycopg://u:p@ep-calm-1.eu-central-1.aws.neon.tech/aura", "ep-calm-1.eu-central-1.aws.neon.tech, direct"),
        ("postgresql+psycopg://u:p@db.example.com/aura", "db.example.com"),
        ("postgresql+psycopg:///aura", "a local socket"),
    ],
)
def test_a_pooled_host(url: str, where: str) -> None:
    """Neon's are told by their names."""
    with engine_of(url) as engine:
        assert place(engine) == f" at {where}"


def test_the_key_s_mode(well: Stack) -> None:
    """A test key in production; a live one anywhere else is refused by the stand-in, and told of all the same."""
    key = "sk_test_sandbox_StandInOnThisMachine0000"
    production = well.told(System.STRIPE, env={"AURA_ENV": "production", "STRIPE_SECRET_KEY": key})
    assert production[0][:2] == (State.FAIL, "AURA_ENV is production, and the key is a test one")
    live = well.told(System.STRIPE, env={"AURA_ENV": "staging", "STRIPE_SECRET_KEY": key.replace("test", "live")})
    assert live[0][1] == "AURA_ENV is staging, and the key is live: it moves real money"
    ((_, detail, _),) = well.told(System.STRIPE, env={"STRIPE_SECRET_KEY": "pk_test_sandbox_public"})
    assert detail.startswith("STRIPE_SECRET_KEY is no secret key")


def test_the_versions_of_the_api(well: Stack) -> None:
    """The account's and ours are told; an endpoint that gets payloads of an old shape is worth a look."""
    told = [one.detail for one in well.examine(System.STRIPE).findings]
    assert "API version 2026-10-28.endive, as ours" in told
    (ours,) = [one["id"] for one in well.stripe("GET", "/v1/webhook_endpoints")["data"]]
    well.listens(url="http://127.0.0.1:9/other/path", api_version="2024-06-20")
    assert well.told(System.STRIPE) == []  # somebody else's
    well.stripe("DELETE", f"/v1/webhook_endpoints/{ours}")
    well.listens(api_version="2024-06-20")
    ((state, detail, _),) = well.told(System.STRIPE)
    assert (state, "gets API version 2024-06-20, the shape of before 2025-03-31" in detail) == (State.WARN, True)


def test_an_endpoint_that_gets_too_little(well: Stack) -> None:
    """Some of the handled events do not come; one that gets them all beside it is enough."""
    (whole,) = [one["id"] for one in well.stripe("GET", "/v1/webhook_endpoints")["data"]]
    part = well.listens("invoice.paid")
    assert well.told(System.STRIPE) == []
    well.stripe("DELETE", f"/v1/webhook_endpoints/{whole}")
    told = f"{ENDPOINT}: 11 missing of the events that are handled"
    assert well.told(System.STRIPE) == [(State.FAIL, told, f"aura webhooks endpoints enable {part}")]


def test_two_who_grant(either: Stack) -> None:
    """While aura grants, the web app must not get the events as well; whoever gets them alone is the one."""
    env = {"NEXT_PUBLIC_APP_URL": "http://127.0.0.1:10"}
    (ours,) = [one["id"] for one in either.stripe("GET", "/v1/webhook_endpoints")["data"]]
    theirs = either.listens(url="http://127.0.0.1:10/api/webhooks/stripe")
    ((state, detail, fix),) = either.told(System.STRIPE, env=env)
    assert (state, fix) == (State.FAIL, f"aura webhooks endpoints disable {theirs}")
    assert detail.startswith("balances are granted here, and the web app still gets events at http://127.0.0.1:10/")
    either.stripe("DELETE", f"/v1/webhook_endpoints/{ours}")
    assert either.told(System.STRIPE, env=env) == []


def test_no_endpoint(well: Stack) -> None:
    """With a test key that is not configured, and the command says where."""
    for one in well.stripe("GET", "/v1/webhook_endpoints")["data"]:
        well.stripe("DELETE", f"/v1/webhook_endpoints/{one['id']}")
    (found,) = [one for one in well.examine(System.STRIPE).findings if one.name == "endpoint"]
    assert (found.state, found.fix) == (
        State.NOT_CONFIGURED,
        f"aura webhooks endpoints create {well.addresses.web_app}/api/webhooks/stripe",
    )


def test_a_listener_that_nothing_reaches(either: Stack) -> None:
    """Stripe has events that did not arrive, where some arrived before; a listener that never was is none."""
    customer = either.stripe("POST", "/v1/customers", {"email": "new@example.com"})["id"]
    price = either.env["STRIPE_PRICE_ID"]
    either.stripe("POST", "/v1/subscriptions", {"customer": customer, "items[0][price]": price, "trial_period_days": 7})
    assert either.told(System.WEBHOOKS) == []
    assert "nothing was ever received here" in [one.detail for one in either.examine(System.WEBHOOKS).findings]
    either.arrived(state="done", outcome="ignored", created=1, received_at=datetime.now(UTC) - 3 * HOUR)
    later = {"ahead": timedelta(minutes=10)}  # what is younger than five minutes may be on its way
    ((state, detail, fix),) = [one for one in either.told(System.WEBHOOKS, **later) if "Silent" in one[1]]
    assert (state, fix) == (State.FAIL, "aura webhooks backfill")
    assert detail.startswith("Silent for 3 h while Stripe has ")


def test_what_waits_in_the_inbox(either: Stack) -> None:
    """Nobody works on it; events of unknown customers; what was given up on its way to the web app, and what nobody carries out."""
    now = datetime.now(UTC)
    either.arrived(due_at=now - HOUR)
    either.arrived(state="unmatched", customer="cus_1")
    with writing(either.engine) as connection:
        for kind, key in (("forward", "evt_1"), ("forward", "evt_2"), ("mail", "mail_1"), ("alert", "a")):
            enqueue(connection, kind, key, {})
        connection.execute(outbox.update().where(outbox.c.kind == "forward").values(state="dead"))
        connection.execute(outbox.update().where(outbox.c.kind != "forward").values(next_try_at=now - HOUR))
    assert either.told(System.WEBHOOKS) == [
        (State.FAIL, "nobody works on the inbox: what is due has waited for 60 min", "aura webhooks work"),
        (State.WARN, "1 event of customers that nobody here has", "aura webhooks list --status unmatched"),
        (State.FAIL, "2 events given up on the way to the web app", "aura webhooks replay evt_1 evt_2"),
        (State.FAIL, "1 mail due that nobody carries out, the oldest for 60 min", "aura email retry"),
    ]


def test_a_sender_whose_domain_is_not_registered(well: Stack) -> None:
    """Every mail would be refused; a domain that is being verified is no better."""
    ((_, detail, fix),) = well.told(System.RESEND, env={"FROM_EMAIL": "AURA <hello@example.com>"})
    assert (detail[:12], fix) == ("example.com,", "https://resend.com/domains/add")
    well.sandbox(well.addresses.resend, "domains", name="example.com", spf="pending")
    ((state, detail, _),) = well.told(System.RESEND, env={"FROM_EMAIL": "hello@example.com"})
    assert (state, detail) == (State.FAIL, "example.com is not verified: SPF pending")


def test_a_key_that_may_only_send(well: Stack) -> None:
    """Resend's sending keys cannot be asked for domains: that is no failure."""
    body = b'{"statusCode":401,"name":"restricted_api_key","message":"This API key is restricted to only send emails"}'
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as base:
        report = well.examine(System.RESEND, env={"RESEND_API_URL": base})
    assert [(one.state, one.detail) for one in report.findings] == [
        (State.OK, "the key may only send: whether sandbox.test is verified cannot be asked with it")
    ]


def test_half_of_upstash(well: Stack) -> None:
    """One of its two settings limits nothing: that is a failure; none of them is not configured."""
    half = well.told(System.UPSTASH, env={"UPSTASH_REDIS_REST_URL": ""})
    assert half[0][:2] == (State.FAIL, "UPSTASH_REDIS_REST_URL is not set: nothing is limited")
    assert well.troubles(System.UPSTASH, env={"UPSTASH_REDIS_REST_URL": "", "UPSTASH_REDIS_REST_TOKEN": ""}) == {}


@pytest.mark.parametrize("dsn", ["nonsense", "https://sentry.example.com/1", "https://key@sentry.example.com", "https://key@host:port/1"])
def test_an_address_of_sentry_that_is_none(well: Stack, dsn: str) -> None:
    """A DSN names a key, a host and a project."""
    ((state, detail, _),) = well.told(System.SENTRY, env={"NEXT_PUBLIC_SENTRY_DSN": dsn})
    assert (state, detail.startswith("NEXT_PUBLIC_SENTRY_DSN is no ")) == (State.FAIL, True)


def vercel(well: Stack, method: str, path: str) -> Any:
    """A request to Vercel's stand-in."""
    headers, params = {"Authorization": f"Bearer {VERCEL_TOKEN}"}, {"teamId": VERCEL_ORG_ID, "limit": "100"}
    with plain_client(base_url=well.addresses.vercel, headers=headers, params=params) as http:
        return http.request(method, path).raise_for_status().json()


def test_another_key_at_vercel(well: Stack) -> None:
    """The key that seals must be the same there and here; what else differs is told by `aura env check`."""
    assert well.troubles(System.VERCEL, env={"OPENAI_API_KEY": "sk-sandbox-another-0000"}) == {}
    ((state, detail, fix),) = well.told(System.VERCEL, env={"INTEGRATION_ENCRYPTION_KEY": "another-sandbox-key-0000"})
    assert (state, detail) == (State.FAIL, "development: INTEGRATION_ENCRYPTION_KEY is not the one that is set here")
    assert fix == "aura env check --vercel --target development"


def test_a_project_that_vercel_does_not_show(well: Stack) -> None:
    """Which project is meant is not known, or this token does not see it, or it has no variables for where we are."""
    (unknown,) = well.examine(System.VERCEL, env={"VERCEL_PROJECT_ID": ""}).findings
    assert (unknown.state, unknown.detail, unknown.fix) == (State.NOT_CONFIGURED, "VERCEL_PROJECT_ID", "vercel link")
    ((_, detail, _),) = well.told(System.VERCEL, env={"VERCEL_PROJECT_ID": "prj_sandbox_other"})
    assert detail.startswith("Vercel shows no project prj_sandbox_other")
    path = f"/v10/projects/{VERCEL_PROJECT_ID}/env"
    while page := vercel(well, "GET", path)["envs"]:
        for one in page:
            vercel(well, "DELETE", f"{path.replace('v10', 'v9')}/{one['id']}")
    assert "nothing is set for development" in [one.detail for one in well.examine(System.VERCEL).findings]


def test_somebody_else_waits_for_the_database() -> None:
    """Whoever comes second waits no longer than is allowed, while the first still hangs in its connection."""
    with answering(b"") as silent:
        url = f"postgresql+psycopg://u:p@{silent.removeprefix('http://')}/aura"
        database = Database(lambda: url, monotonic() + 0.5, offline=False)
        threading.Thread(target=lambda: suppressed(database), daemon=True).start()
        begun = monotonic()
        with pytest.raises(DatabaseAway):
            database.opened()
        assert monotonic() - begun < 5


def suppressed(database: Database) -> None:
    with suppress(DatabaseAway):
        database.opened()


def test_what_is_sealed_otherwise(either: Stack) -> None:
    """Under the web app's public fallback, under a key that nobody has, not at all; each is told apart."""
    either.connect("github", FALLBACK_SECRET)
    either.connect("notion", "a-key-that-nobody-has-any-more")
    either.connect("linear", access_token="lin_sandbox_plain")
    assert [(state, detail) for state, detail, _ in either.told(System.VAULT)] == [
        (State.FAIL, "1 value under the web app's public fallback key"),
        (State.FAIL, "1 value damaged, or under a key that is not configured"),
        (State.WARN, "1 value not sealed at all"),
    ]
    ((state, detail, _), *_) = either.told(System.VAULT, env={"INTEGRATION_ENCRYPTION_KEY": "short"})
    assert (state, detail.startswith("INTEGRATION_ENCRYPTION_KEY ")) == (State.FAIL, True)


def test_connections_that_need_somebody(either: Stack) -> None:
    """One that was not refreshed, one that ends soon, one that fails; a provider that is stopped; an answer that lies there."""
    either.connect("google", refresh_token=None, token_expiry=datetime.now(UTC) + 24 * HOUR)
    failing = either.connect("github")
    known = {"integration_id": failing, "user_id": either.people[0], "provider": "github", "failures": 2, "health": "failing"}
    with writing(either.engine) as connection:
        connection.execute(insert(connections).values(known))
    spool = Path(either.env["AURA_HOME"], "spool")
    spool.mkdir()
    for name, age in (("old", 2), ("new", 0)):
        (spool / name).write_text("sealed")
        os.utime(spool / name, times=((datetime.now(UTC) - age * HOUR).timestamp(),) * 2)
    (spool / "taken-away-meanwhile").symlink_to("nowhere")
    told = {fix: (state, detail) for state, detail, fix in either.told(System.CONNECTIONS)}
    assert told == {
        "aura integrations list --health failing": (State.WARN, "1 connection that fails for now"),
        "aura integrations list --expiring 7d": (
            State.WARN,
            "1 connection that ends within 7 days unless its owner does something",
        ),
        "aura integrations refresh": (State.FAIL, "1 answer of providers not in the database yet"),
    }
