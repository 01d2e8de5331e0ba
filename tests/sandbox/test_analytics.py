"""The stand-in of Google Analytics, asked over real HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from tests.parts.analytics import Property, collecting
from tests.parts.loopback import plain_client

GOOD = {"client_id": "123.456", "events": [{"name": "sign_up", "params": {"method": "Google"}}]}


@pytest.fixture
def google() -> Iterator[Property]:
    with collecting() as found:
        yield found


def ask(google: Property, path: str, *, secret: str = "", content: bytes | None = None, json: object = None) -> httpx.Response:
    query = {"measurement_id": google.state.measurement_id, "api_secret": secret or google.state.api_secret}
    with plain_client(base_url=google.base) as http:
        return http.post(path, params=query, json=json) if content is None else http.post(path, params=query, content=content)


def test_whatever_comes_is_taken(google: Property) -> None:
    """204 and no word, also for what is dropped; the journal knows better."""
    assert ask(google, "/mp/collect", json=GOOD).status_code == 204
    assert ask(google, "/mp/collect", json=GOOD, secret="wrong").status_code == 204
    assert ask(google, "/mp/collect", content=b"no JSON").status_code == 204
    assert ask(google, "/mp/collect", json={"client_id": "1.2", "events": []}).content == b""
    journal = httpx.get(f"{google.base}/_sandbox/journal", trust_env=False).json()
    assert [bool(entry["problems"]) for entry in journal] == [False, True, True, True]
    assert google.events == [("sign_up", {"method": "Google"})]
    assert httpx.delete(f"{google.base}/_sandbox/journal", trust_env=False).status_code == 204
    assert google.events == []


def test_validation_says_what_googles_says(google: Property) -> None:
    """The example of Google's own documentation, its answer word for word; nothing is kept, and no secret is looked at."""
    body = {"client_id": "client_id", "events": [{"name": "_badEventName", "params": {}}]}
    said = ask(google, "/debug/mp/collect", json=body, secret="wrong").json()
    description = "Event at index: [0] has invalid name [_badEventName]. Names must start with an alphabetic character."
    assert said == {"validationMessages": [{"fieldPath": "events", "description": description, "validationCode": "NAME_INVALID"}]}
    assert ask(google, "/debug/mp/collect", json=GOOD).json() == {"validationMessages": []}
    assert ask(google, "/debug/mp/collect", content=b"[1]").json()["validationMessages"][0]["validationCode"] == "VALUE_INVALID"
    assert google.state.journal == []


def test_trouble_to_order(google: Property) -> None:
    """Its faults are changed as every stand-in's are."""
    changed = httpx.post(f"{google.base}/_sandbox/faults", json={"server_error": 1.0}, trust_env=False)
    assert changed.status_code == 200
    assert ask(google, "/mp/collect", json=GOOD).status_code == 500
