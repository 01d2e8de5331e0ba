"""The stand-in of Privy, asked over real HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.privy.users import Users
from aura_cli.sandbox.server import running
from tests.parts.loopback import plain_client

POPULATION = build(230, seed=3, now=1_795_000_000)
DIDS = [person.did for person in POPULATION.people]


def client(base: str) -> httpx.Client:
    """A client with the sandbox's credentials."""
    return plain_client(base_url=base, auth=(PRIVY_APP_ID, PRIVY_APP_SECRET), headers={"privy-app-id": PRIVY_APP_ID})


@pytest.fixture
def privy() -> Iterator[httpx.Client]:
    """A stand-in of its own for a test that changes something."""
    with running(POPULATION) as addresses, client(addresses.privy) as http:
        yield http


@pytest.fixture(scope="module")
def untouched() -> Iterator[httpx.Client]:
    """A stand-in that nobody changes."""
    with running(POPULATION) as addresses, client(addresses.privy) as http:
        yield http


def pages(http: httpx.Client, limit: int) -> Iterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        answer = http.get("/v1/users", params={"limit": limit, **({"cursor": cursor} if cursor else {})}).raise_for_status().json()
        yield answer["data"]
        cursor = answer["next_cursor"]


def account(user: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in user["linked_accounts"] if each["type"] == kind)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_paging_shows_everybody_once(untouched: httpx.Client, limit: int) -> None:
    """Pages are full but for the last, and together they are everybody, in one order."""
    found = list(pages(untouched, limit))
    assert [user["id"] for page in found for user in page] == DIDS
    assert {len(page) for page in found[:-1]} <= {limit}


@given(users=st.integers(0, 30), limit=st.integers(1, 12), gone=st.sets(st.integers(0, 29)), stop=st.integers(0, 3))
def test_deleting_while_somebody_pages_loses_nobody_else(users: int, limit: int, gone: set[int], stop: int) -> None:
    """Whoever is deleted between two pages vanishes; everybody else is shown once, and no page but the last is short."""
    population: Population = build(users, 1, 1_795_000_000)
    known, seen, cursor, number = Users(population), list[str](), None, 0
    removed = {population.people[place].did for place in gone if place < users}
    while True:
        if number == stop:
            assert all(known.remove(did) for did in removed)
        page, cursor = known.page(limit, cursor)
        seen += [user["id"] for user in page]
        number += 1
        if cursor is None:
            break
        assert len(page) == limit
    expected = [person.did for person in population.people]
    assert [did for did in seen if did not in removed] == [did for did in expected if did not in removed]
    assert len(set(seen)) == len(seen)
    assert not cursor


def test_users_have_privy_s_shape(untouched: httpx.Client) -> None:
    """Every person of the population is shown with the accounts that Privy would list; times are epoch seconds."""
    for person, user in zip(POPULATION.people, (user for page in pages(untouched, 100) for user in page), strict=True):
        assert (user["id"], user["created_at"], user["is_guest"]) == (person.did, person.created, False)
        assert isinstance(user["mfa_methods"], list)
        if person.google:
            assert (account(user, "google_oauth")["email"], account(user, "google_oauth")["name"]) == (person.email, person.name)
        elif person.email:
            email = account(user, "email")
            assert (email["address"], email["verified_at"]) == (person.email, person.created)
            assert (email["first_verified_at"] is not None) == person.email_verified
        if person.wallet:
            assert account(user, "wallet")["address"] == person.wallet
        if person.avatar:
            assert account(user, "twitter_oauth")["profile_picture_url"] == person.avatar


def test_one_user_by_did_and_by_address(untouched: httpx.Client) -> None:
    """A DID and an e-mail address in any case find the same user; a Google account's address finds nobody, as at Privy."""
    person = next(person for person in POPULATION.people if person.email and not person.google)
    google = next(person for person in POPULATION.people if person.google)
    user = untouched.get(f"/v1/users/{person.did}").json()
    assert untouched.post("/v1/users/email/address", json={"address": (person.email or "").upper()}).json() == user
    assert untouched.get(f"/api/v1/users/{person.did}").json() == user
    assert untouched.post("/v1/users/email/address", json={"address": google.email}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "message"),
    [
        ("GET", "/v1/users/did:privy:cnobody", {}, 404, "User not found"),
        ("POST", "/v1/users/email/address", {"json": {"address": "a@example.com"}}, 404, "User with email a@example.com not found"),
        ("POST", "/v1/users/email/address", {"json": {"address": "nonsense"}}, 400, "Invalid email address"),
        ("POST", "/v1/users/email/address", {"content": b"{"}, 400, "Invalid JSON"),
        ("GET", "/v1/users?limit=101", {}, 400, "`limit`"),
        ("GET", "/v1/users?limit=0", {}, 400, "`limit`"),
        ("GET", "/v1/users?limit=nan", {}, 400, "`limit`"),
        ("GET", "/v1/users?cursor=bm9uc2Vuc2U=", {}, 400, "`cursor`"),
        ("GET", "/v1/users?cursor=%C3%A9", {}, 400, "`cursor`"),
        ("GET", "/v1/nowhere", {}, 404, "Not Found"),
        ("GET", "/v1/users", {"auth": (PRIVY_APP_ID, "wrong")}, 401, "Invalid app ID or app secret."),
        ("GET", "/v1/users", {"headers": {"privy-app-id": "another"}}, 400, "Invalid Privy app ID"),
        ("GET", "/v1/apps/another/jwks.json", {}, 400, "Invalid Privy app ID"),
        ("POST", "/_sandbox/token", {"json": {"did": "did:privy:cnobody"}}, 404, "User not found"),
    ],
)
def test_errors_are_answered_as_privy_does(
    untouched: httpx.Client, method: str, path: str, sent: dict[str, Any], status: int, message: str
) -> None:
    """An error is a status and an object with `error`."""
    answer = untouched.request(method, path, **sent)
    assert answer.status_code == status
    assert message in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1", "/api/v1"])
def test_an_access_token_holds_against_the_jwks(untouched: httpx.Client, path: str) -> None:
    """The official way: kid in the header, key from the app's JWKS without credentials, ES256, issuer, audience, expiry."""
    token = untouched.post("/_sandbox/token", json={"did": DIDS[0]}).json()["token"]
    keys = jwt.PyJWKSet.from_json(httpx.get(untouched.base_url.join(f"{path}/apps/{PRIVY_APP_ID}/jwks.json"), trust_env=False).text)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=PRIVY_APP_ID, issuer="privy.io")
    assert claims["sub"] == DIDS[0]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["iat"] == pytest.approx(time.time(), abs=60)
    assert claims["sid"].startswith("c")


def test_tokens_outlive_a_restart_and_a_rotation(privy: httpx.Client) -> None:
    """A token of one run verifies in another; after a rotation the JWKS has both keys and new tokens carry the new one."""
    token = privy.post("/_sandbox/token", json={"did": DIDS[0]}).json()["token"]
    with running(POPULATION) as addresses, client(addresses.privy) as other:
        pem = other.get(f"/v1/apps/{PRIVY_APP_ID}").json()["verification_key"]
        public = load_pem_public_key(pem.encode())
        assert jwt.decode(token, public, algorithms=["ES256"], audience=PRIVY_APP_ID)["sub"] == DIDS[0]  # type: ignore[arg-type]
    kid = privy.post("/_sandbox/rotate-key").json()["kid"]
    newer = privy.post("/_sandbox/token", json={"did": DIDS[0]}).json()["token"]
    keys = privy.get(f"/v1/apps/{PRIVY_APP_ID}/jwks.json").json()["keys"]
    assert jwt.get_unverified_header(newer)["kid"] == kid != jwt.get_unverified_header(token)["kid"]
    assert {key["kid"] for key in keys} == {jwt.get_unverified_header(each)["kid"] for each in (token, newer)}


def test_tokens_can_be_wrong_on_request(untouched: httpx.Client) -> None:
    """An expired token and one for another app, for testing who refuses them."""
    key = jwt.PyJWKSet.from_dict(untouched.get(f"/v1/apps/{PRIVY_APP_ID}/jwks.json").json()).keys[0]
    wishes: list[tuple[dict[str, object], type[Exception]]] = [
        ({"expires_in": -60}, jwt.ExpiredSignatureError),
        ({"claims": {"aud": "another"}}, jwt.InvalidAudienceError),
        ({"claims": {"iss": "example.com"}}, jwt.InvalidIssuerError),
    ]
    for wish, error in wishes:
        token = untouched.post("/_sandbox/token", json={"did": DIDS[0], **wish}).json()["token"]
        with pytest.raises(error):
            jwt.decode(token, key, algorithms=["ES256"], audience=PRIVY_APP_ID, issuer="privy.io")


def test_users_can_be_added_changed_and_deleted(privy: httpx.Client) -> None:
    """A new user is listed last and found by address; a change replaces what is given; a deleted user vanishes without a trace."""
    email = {"type": "email", "address": "new@example.com", "verified_at": 1}
    added = privy.post("/_sandbox/users", json={"linked_accounts": [email]})
    did = added.json()["id"]
    assert added.status_code == 201
    assert [user["id"] for page in pages(privy, 100) for user in page] == [*DIDS, did]
    changed = privy.patch(f"/_sandbox/users/{did}", json={"linked_accounts": [{**email, "address": "newer@example.com"}]}).json()
    assert privy.get(f"/v1/users/{did}").json() == changed == {**added.json(), "linked_accounts": changed["linked_accounts"]}
    assert privy.post("/v1/users/email/address", json={"address": "new@example.com"}).status_code == 404
    assert privy.post("/v1/users/email/address", json={"address": "newer@example.com"}).json() == changed
    assert privy.delete(f"/_sandbox/users/{did}").status_code == privy.delete(f"/v1/users/{DIDS[0]}").status_code == 204
    assert [user["id"] for page in pages(privy, 100) for user in page] == DIDS[1:]
    assert privy.get(f"/v1/users/{did}").status_code == privy.delete(f"/v1/users/{did}").status_code == 404


def test_a_population_person_can_be_changed(privy: httpx.Client) -> None:
    """Drift: a person of the population gets another address at Privy and keeps everything else."""
    person = next(person for person in POPULATION.people if person.email and not person.google and not person.wallet)
    before = privy.get(f"/v1/users/{person.did}").json()
    accounts = [{**each, "address": "moved@example.com"} for each in before["linked_accounts"] if each["type"] == "email"]
    privy.patch(f"/_sandbox/users/{person.did}", json={"linked_accounts": accounts}).raise_for_status()
    assert privy.get(f"/v1/users/{person.did}").json() == {**before, "linked_accounts": accounts}
    assert privy.post("/v1/users/email/address", json={"address": person.email}).status_code == 404
