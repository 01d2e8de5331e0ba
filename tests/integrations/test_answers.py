"""Token answers of every odd kind: what is an error, whose fault it is, and what a good one is worth."""

import json
from typing import Any

import pytest

from aura_cli.integrations.answers import granted, judged, retry_after, scopes_in, seconds
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.failures import Failure, Refused, words
from aura_cli.integrations.provider import OAuth, Request
from aura_cli.integrations.verify import accepted
from aura_cli.integrations.wire import Reply

CATALOGUE = load()
LINEAR, SLACK = CATALOGUE.get("linear"), CATALOGUE.get("slack")
JSON = {"content-type": "application/json"}


def reply(status: int, document: Any, headers: dict[str, str] = JSON) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status, headers, body)


@pytest.mark.parametrize(
    ("status", "document", "headers", "failure"),
    [
        (400, {"error": "invalid_grant"}, JSON, Failure.NEEDS_CONSENT),
        (200, {"error": "bad_refresh_token"}, JSON, Failure.NEEDS_CONSENT),
        (200, {"error": "incorrect_client_credentials"}, JSON, Failure.CLIENT_MISCONFIGURED),
        (401, {"error": "invalid_client"}, JSON, Failure.CLIENT_MISCONFIGURED),
        (400, {"error": "something new"}, JSON, Failure.CLIENT_MISCONFIGURED),
        (400, {"error": {"type": "invalid_grant"}}, JSON, Failure.NEEDS_CONSENT),
        (404, {}, JSON, Failure.PROVIDER_DOWN),
        (302, b"", {}, Failure.PROVIDER_DOWN),
        (200, b"<!doctype html><title>Hi</title>", {"content-type": "text/html"}, Failure.PROVIDER_DOWN),
        (401, b"<html>", {"content-type": "text/html"}, Failure.PROVIDER_DOWN),
        (200, b"", {}, Failure.PROVIDER_DOWN),
        (200, {"token_type": "Bearer"}, JSON, Failure.PROVIDER_DOWN),
        (200, {"access_token": ""}, JSON, Failure.PROVIDER_DOWN),
        (200, {"access_token": None}, JSON, Failure.PROVIDER_DOWN),
        (200, {"access_token": {"no": "text"}}, JSON, Failure.PROVIDER_DOWN),
        (200, [], JSON, Failure.PROVIDER_DOWN),
        (500, {"error": "server_error"}, JSON, Failure.PROVIDER_DOWN),
        (429, {"error": "slow_down"}, JSON, Failure.TRANSIENT),
        (429, b"wait", {}, Failure.TRANSIENT),
        (400, {"error": "temporarily_unavailable"}, JSON, Failure.TRANSIENT),
        (400, {"access_token": "given all the same"}, JSON, Failure.CLIENT_MISCONFIGURED),
        (200, b"[" * 100_000, JSON, Failure.PROVIDER_DOWN),
    ],
)
def test_whose_fault(status: int, document: Any, headers: dict[str, str], failure: Failure) -> None:
    """Only a clear word makes it the person's; a page and a missing token are the provider's, what is unknown the application's."""
    with pytest.raises(Refused) as caught:
        judged(LINEAR, reply(status, document, headers))
    assert caught.value.failure is failure


def test_conditions_of_the_file() -> None:
    """Slack says ok: false with status 200; what a file asks for counts."""
    with pytest.raises(Refused) as caught:
        judged(SLACK, reply(200, {"ok": False, "error": "invalid_refresh_token", "access_token": "x"}))
    assert (caught.value.error, caught.value.failure) == ("invalid_refresh_token", Failure.NEEDS_CONSENT)
    assert judged(SLACK, reply(200, {"ok": True, "access_token": "x", "error": None}))


def test_a_grant() -> None:
    """Null beside a token is no error; what is not there stays what it was."""
    document = judged(LINEAR, reply(200, {"access_token": "a", "refresh_token": None, "error": None, "error_description": ""}))
    grant = granted(LINEAR, document)
    assert dict(grant.secrets) == {"access_token": "a"}
    assert (grant.expires_in, grant.scopes) == (86_399, None)
    assert "access" not in repr(grant)


def test_form_encoded() -> None:
    """As GitHub answers who does not ask for JSON."""
    body = b"access_token=gho_abc&scope=repo%2Cread%3Auser&token_type=bearer"
    document = judged(LINEAR, Reply(200, {"content-type": "application/x-www-form-urlencoded"}, body))
    assert granted(LINEAR, document).scopes == ("repo", "read:user")


@pytest.mark.parametrize(
    ("found", "lasts"),
    [
        *((3600, 3600), ("3600", 3600), (3600.5, 3600), (0, None), ("0", None), (-5, None), (None, None), ("", None), ("soon", None)),
        *((True, None), ([], None), (float("nan"), None), (10**30, None), ("9" * 400, None)),
    ],
)
def test_lifetimes(found: Any, lasts: int | None) -> None:
    """A number or its text; all else says nothing."""
    assert seconds(found) == lasts


@pytest.mark.parametrize(
    ("found", "scopes"),
    [
        *(("a b", ("a", "b")), ("a,b", ("a", "b")), ("a, b", ("a", "b")), (["a", "b", "a"], ("a", "b")), ([1, "a"], ("a",))),
        *(("", None), ([], None), (None, None), (7, None), ({"a": 1}, None)),
    ],
)
def test_scopes(found: Any, scopes: tuple[str, ...] | None) -> None:
    """Lists and texts in any notation."""
    assert scopes_in(found, OAuth("")) == scopes


def test_words_hold_no_secret() -> None:
    """A provider that says our token back to us is quoted without it."""
    assert words({"error_description": "no such token: abcdef"}, ["abcdef"]) == "no such token: ****"
    assert words({"errors": [{"message": "two\nlines"}]}) == "two lines"
    assert words([]) == ""


@pytest.mark.parametrize(("said", "wait"), [("7", 7.0), ("", None), ("soon", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)])
def test_retry_after(said: str, wait: float | None) -> None:
    """Seconds or a date."""
    assert retry_after(Reply(429, {"retry-after": said}, b"")) == wait


def test_an_error_code_that_says_our_token() -> None:
    """Is quoted without it, and without a part of it."""
    token = "sandbox-refresh-" + "x" * 90
    with pytest.raises(Refused) as caught:
        judged(LINEAR, reply(400, {"error": f"Bad refresh token {token}"}), [token])
    assert "sandbox-refresh" not in caught.value.message + str(caught.value.error)


@pytest.mark.parametrize("body", [b'{"error": "a\\u0000b \\ud800"}', b"error=a%00b"])
def test_what_no_database_keeps(body: bytes) -> None:
    """NUL and halves of characters become what can be stored; whole characters stay."""
    said = Reply(400, JSON, body).document["error"]
    assert "\x00" not in said
    assert said.encode()
    assert Reply(200, JSON, b'["\\ud83d\\ude00"]').document == ["\N{GRINNING FACE}"]


@pytest.mark.parametrize(
    ("status", "document", "headers", "failure"),
    [
        (401, {}, JSON, Failure.NEEDS_CONSENT),
        (401, b"<html>", {"content-type": "text/html"}, Failure.NEEDS_CONSENT),
        (403, {"message": "Resource not accessible"}, JSON, Failure.NEEDS_CONSENT),
        (403, b"<!doctype html><title>Attention required</title>", {"content-type": "text/html"}, Failure.PROVIDER_DOWN),
        (403, {"message": "API rate limit exceeded"}, {**JSON, "x-ratelimit-remaining": "0"}, Failure.TRANSIENT),
        (403, {"message": "secondary rate limit"}, {**JSON, "retry-after": "60"}, Failure.TRANSIENT),
        (200, {"ok": False, "error": "invalid_auth"}, JSON, Failure.NEEDS_CONSENT),
        (200, {"ok": False, "error": "ratelimited"}, JSON, Failure.TRANSIENT),
        (200, {"ok": False, "error": "internal_error"}, JSON, Failure.TRANSIENT),
        (200, b"", {}, Failure.PROVIDER_DOWN),
        (503, {}, JSON, Failure.PROVIDER_DOWN),
    ],
)
def test_whose_fault_a_verification_is(status: int, document: Any, headers: dict[str, str], failure: Failure) -> None:
    """A limit, a firewall's page and a service that is not well are no word against the credentials."""
    with pytest.raises(Refused) as caught:
        accepted(SLACK, Request("https://slack.example.com", ok={"ok": True}), reply(status, document, headers), {})
    assert caught.value.failure is failure
