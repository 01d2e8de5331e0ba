"""`aura analytics`, as an operator types it."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select

from aura_cli.analytics.collecting import client_id
from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import users
from tests.parts.analytics import Property, collecting
from tests.parts.migrated import engine_of
from tests.parts.program import Aura
from tests.parts.service import free_port
from tests.parts.upstash import answering

USER = "0a4fd1a2-27a5-4e7c-8a6b-5d9a0d6a3a01"
REFUND = ("-p", "transaction_id=in_1", "-p", "value=9.90", "-p", "currency=EUR")


@pytest.fixture
def google() -> Iterator[Property]:
    with collecting() as found:
        yield found


@pytest.fixture
def env(google: Property, migrated: None, sqlite_database: str) -> dict[str, str]:
    """Settings for the stand-in and a database with one person."""
    with engine_of(sqlite_database) as engine, writing(engine) as connection:
        connection.execute(insert(users).values(id=USER, privy_user_id="did:privy:ada", email="ada@example.com", name="Ada"))
    return {"AURA_ENV": "development", "DATABASE_URL": sqlite_database, **google.env}


def test_send(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """It arrives with its parameters, of a client that is no person; the operator log has the parameters' names alone."""
    done = aura("analytics", "send", "refund", *REFUND, "-p", 'note="007"', "--user", "ada@example.com", "--json", env=env)
    assert (done.exit, done.json["sent"], done.json["client_id"], done.json["problems"]) == (0, True, client_id(USER), []), done.err
    assert google.events == [("refund", {"transaction_id": "in_1", "value": 9.9, "currency": "EUR", "note": "007"})]
    (entry,) = google.state.journal
    said = json.dumps(entry["body"])
    assert not [word for word in (USER, "ada", "Ada", "example.com") if word in said]
    assert entry["body"]["consent"] == {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}
    with engine_of(env["DATABASE_URL"]) as engine, reading(engine) as connection:
        (noted,) = connection.execute(select(operator_log).where(operator_log.c.what == "analytics.send"))
    assert (noted.key, noted.details, str(noted.user_id)) == ("refund", {"params": ["currency", "note", "transaction_id", "value"]}, USER)


def test_what_google_would_drop_is_not_sent(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """Google would say nothing: here it is an error that names the rule."""
    done = aura("analytics", "send", "session_start", env=env)
    assert (done.exit, "reserved" in done.err) == (2, True)
    assert aura("analytics", "send", "purchase", "-p", "value=1", env=env).exit == 2
    named = aura("analytics", "send", "login", "-p", "who=ada@example.com", env=env)
    assert (named.exit, "e-mail address" in named.err) == (2, True)
    assert google.state.journal == []


def test_validate(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """Google's messages, a line each and as JSON; exit 3 where there are any. A dry run of send does the same, and nothing is counted."""
    wrong = aura("analytics", "validate", "purchase", "-p", "value=nine", "-p", "currency=EUR", env=env)
    assert wrong.exit == 3
    first = "VALUE_REQUIRED  events[0].params.transaction_id: Event [purchase] needs the parameter [transaction_id]."
    assert wrong.out.splitlines()[0] == first
    listed = aura("analytics", "send", "purchase", "-p", "value=1", "-n", "--json", env=env)
    assert (listed.exit, listed.json["sent"]) == (3, False)
    missing = {"path": "events[0].params.items", "what": "Event [purchase] needs the parameter [items].", "code": "VALUE_REQUIRED"}
    assert missing in listed.json["problems"]
    items = 'items=[{"item_id": "price_1", "quantity": 1}]'
    right = aura("analytics", "validate", "purchase", *REFUND, "-p", items, env=env)
    assert (right.exit, right.out.startswith("Google finds nothing wrong with it")) == (0, True)
    assert google.state.journal == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(aura: Aura, google: Property, env: dict[str, str], number: str) -> None:
    """JSON has no such numbers: a value that has to be one is refused, and another is text."""
    value = f"value={number}"
    assert aura("analytics", "send", "login", "-p", value, "-p", "currency=EUR", env=env).exit == 2
    assert aura("analytics", "validate", "login", "-p", value, "-p", "currency=EUR", env=env).exit == 3
    told = aura("analytics", "validate", "login", "-p", f"score={number}", "--json", env=env).json
    assert told["params"] == {"score": number}


@pytest.mark.parametrize(
    "words", [("login", "-p", "nothing"), ("login", "-p", "=x"), ("login", "-p", "a=1", "-p", "a=2"), ("login", "--user", "nobody at all")]
)
def test_what_makes_no_sense(aura: Aura, google: Property, env: dict[str, str], words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert aura("analytics", "validate", *words, env=env).exit == 2
    assert google.state.journal == []


def test_not_configured(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """What is missing is named; what is no measurement id of Google Analytics 4 is refused."""
    for name in ("NEXT_PUBLIC_GA_MEASUREMENT_ID", "GA_API_SECRET"):
        done = aura("analytics", "send", "login", env={**env, name: ""})
        assert (done.exit, name in done.err) == (4, True)
    assert aura("analytics", "send", "login", env={**env, "NEXT_PUBLIC_GA_MEASUREMENT_ID": "UA-1234-5"}).exit == 4


def test_google_is_not_well(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """Away, an error, and a web page instead of messages: told apart, without the secret."""
    google.faults.server_error = 1.0
    assert aura("analytics", "send", "login", env=env).exit == 7
    away = aura("analytics", "send", "login", env={**env, "GA_API_BASE": f"http://127.0.0.1:{free_port()}"})
    assert (away.exit, google.state.api_secret in away.err) == (8, False)
    for answer in (b"{}", b"[]", b'{"validationMessages": [1]}', b"text"):
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)) as base:
            assert aura("analytics", "validate", "login", env={**env, "GA_API_BASE": base}).exit == 7


def test_production_is_asked_about(aura: Aura, google: Property, env: dict[str, str]) -> None:
    """Nothing is counted in production before somebody agreed."""
    assert aura("analytics", "send", "login", env={**env, "AURA_ENV": "production"}).exit == 6
    assert google.state.journal == []
