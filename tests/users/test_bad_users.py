"""Users that cannot be taken over, and anything at all that stands in a linked account."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.errors import ServiceError
from aura_cli.users import staging
from aura_cli.users.shapes import AVATAR_OF, EMAIL_OF, LONGEST_EMAIL, NAME_OF, Staged, read_page, read_user
from tests.parts.privy import Pages, configuration, serving
from tests.parts.program import Aura
from tests.users.conftest import counts, state

SCAN = "00000000-0000-4000-8000-000000000000"
GOOD = {"id": "did:privy:cgood", "created_at": 1, "linked_accounts": [{"type": "email", "address": "good@example.com", "verified_at": 1}]}
BAD = {  # what is wrong → the user as JSON text, and what is said of it
    "nul-in-name": (r'{"id": "did:privy:cbad", "linked_accounts": [{"type": "google_oauth", "name": "a\u0000b"}]}', "NUL"),
    "nul-elsewhere": (r'{"id": "did:privy:cbad", "linked_accounts": [{"type": "other", "x": ["\\\\\u0000"]}]}', "NUL"),
    "nul-in-key": (r'{"id": "did:privy:cbad", "linked_accounts": [{"\u0000": 1}]}', "NUL"),
    "long-email": (
        json.dumps({"id": "did:privy:cbad", "linked_accounts": [{"type": "email", "address": "a" * 310 + "@example.com"}]}),
        "322",
    ),
    "malformed-email": (
        '{"id": "did:privy:cbad", "linked_accounts": [{"type": "email", "address": "a@b@example.com"}]}',
        "malformed e-mail",
    ),
    "spaced-email": (
        '{"id": "did:privy:cbad", "linked_accounts": [{"type": "google_oauth", "email": "a b@example.com"}]}',
        "malformed e-mail",
    ),
    "half-emoji": (r'{"id": "did:privy:cbad", "linked_accounts": [{"type": "google_oauth", "name": "\ud83d"}]}', "malformed"),
    "late": ('{"id": "did:privy:cbad", "created_at": 1e300}', "time of creation"),
    "early": ('{"id": "did:privy:cbad", "created_at": -5}', "time of creation"),
    "text-time": ('{"id": "did:privy:cbad", "created_at": "yesterday"}', "malformed"),
    "no-did": ('{"id": "did:privy:c bad"}', "no DID"),
    "number-id": ('{"id": 17}', "malformed"),
    "no-id": ("{}", "malformed"),
    "no-user": ("null", "malformed"),
    "huge-number": ('{"id": "did:privy:cbad", "linked_accounts": [{"type": "x", "n": 1e400}]}', "malformed"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_a_bad_user_is_named_and_skipped(what: str) -> None:
    """It fails by itself; whoever stands on the same page does not."""
    text, reason = BAD[what]
    page = read_page(b'{"data": [' + text.encode() + b", " + json.dumps(GOOD).encode() + b'], "next_cursor": "on"}')
    bad, good = page.users
    assert reason in str(bad.failure)
    assert (good.failure, good.email, good.verified_email, page.cursor) == (None, "good@example.com", "good@example.com", "on")
    alone = read_user(text.encode())
    assert (alone.failure, alone.privy_user_id) == (bad.failure, bad.privy_user_id)


def test_the_command_goes_on(aura: Aura, engine: Engine, database_url: str) -> None:
    """Exit 9; each bad user is counted and named by DID on stderr, never by address; everybody else arrives."""
    bad = [
        json.loads(text) for what, (text, _) in BAD.items() if what not in ("half-emoji", "number-id", "no-id", "no-user", "huge-number")
    ]
    named = [{**user, "id": user["id"] + str(number)} for number, user in enumerate(bad)]
    with serving(Pages([GOOD, *named])) as pages:
        done = aura("users", "sync", "--json", env=configuration(pages.base, database_url))
        assert done.exit == 9
        assert counts(done.json) == (len(named) + 1, 1, 0, 0, 0, len(named))
        assert all(f"{user['id']}: " in done.err for user in named)
        assert "example.com" not in done.err
        again = aura("users", "sync", "--json", env=configuration(pages.base, database_url))
        assert (again.exit, counts(again.json)) == (9, (len(named) + 1, 0, 0, 1, 0, len(named)))
    assert [one[0] for one in state(engine)] == [GOOD["id"]]


def test_one_who_turns_bad_is_not_missing(aura: Aura, engine: Engine, database_url: str) -> None:
    """A user that is known here and can no longer be read is failed and keeps what it had."""
    with serving(Pages([GOOD])) as pages:
        assert aura("users", "sync", env=configuration(pages.base, database_url)).exit == 0
        pages.users = [{**GOOD, "linked_accounts": [{"type": "email", "address": "bad"}]}]
        done = aura("users", "sync", "--json", env=configuration(pages.base, database_url))
    assert (done.exit, counts(done.json)) == (9, (1, 0, 0, 0, 0, 1))
    assert state(engine)[0][1] == "good@example.com"


def test_what_only_the_database_refuses(engine: Engine) -> None:
    """The bad one among many is found, and the others are staged; PostgreSQL refuses NUL, SQLite would take it."""
    rows = [Staged(f"did:privy:c{number}", name="a\x00b" if number == 13 else "fine", linked_accounts="[]") for number in range(40)]
    with writing(engine) as connection:
        failed = staging.stage(connection, SCAN, 1, rows)
        assert failed == (0 if connection.dialect.name == "sqlite" else 1)
        assert staging.merge(connection, SCAN, 1).created == 40 - failed
        assert [did for did, _ in staging.failures(connection, SCAN)] == ["did:privy:c13"][:failed]


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[]", b'{"data": {}}', b'{"data": [], "next_cursor": 1}', b'"' + b"[" * 5000])
def test_no_page(body: bytes) -> None:
    """What is no page of users is one clear error."""
    with pytest.raises(ServiceError):
        read_page(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from([*EMAIL_OF, *NAME_OF, *AVATAR_OF, "wallet", "never_seen"])
MEMBERS = st.sampled_from(["address", "email", "name", "display_name", "profile_picture_url", "verified_at", "first_verified_at", "pfp"])
ACCOUNT = st.builds(lambda kind, rest: {"type": kind, **rest}, KINDS, st.dictionaries(MEMBERS, JSON | st.emails(), max_size=4))
USER = st.fixed_dictionaries(
    {"id": st.integers(0, 10**9).map("did:privy:c{}".format)},
    optional={
        "created_at": st.integers() | st.floats() | JSON,
        "linked_accounts": JSON | st.lists(ACCOUNT | JSON, max_size=4),
        "extra": JSON,
    },
)


@given(users=st.lists(USER, max_size=5, unique_by=lambda user: str(user["id"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_privy_says_does_not_stop_a_sync(engine: Engine, users: list[dict[str, Any]]) -> None:
    """Any linked accounts, any values: each user is taken over, the accounts as they were given, or is failed by itself."""
    page = read_page(json.dumps({"data": users, "next_cursor": None}).encode())
    assert [one.privy_user_id for one in page.users] == [user["id"] for user in users]
    for one in page.users:
        assert all(len(address) <= LONGEST_EMAIL for address in (one.email, one.verified_email) if address)
    with engine.connect() as connection:
        transaction = connection.begin()
        failed = staging.stage(connection, SCAN, 1, page.users)
        assert staging.merge(connection, SCAN, 1) == staging.Merged(len(users) - failed, 0)
        assert staging.merge(connection, SCAN, 1) == staging.Merged(0, 0)
        assert list(staging.changes(connection, SCAN)) == []
        transaction.rollback()


@given(accounts=st.lists(ACCOUNT | JSON, max_size=4))
def test_accounts_are_kept_to_the_letter(accounts: list[Any]) -> None:
    """The text that is stored is the text that came."""
    text = json.dumps(accounts)
    one = read_user(f'{{"id": "did:privy:c1", "linked_accounts": {text}}}'.encode())
    assert one.failure or one.linked_accounts == text
