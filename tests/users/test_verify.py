"""Access tokens: every reason for a refusal, where the key comes from, and that a token is never shown."""

import base64
import hashlib
import hmac
import json
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import ConfigurationError
from aura_cli.sandbox.credentials import PRIVY_APP_ID
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.privy.tokens import SigningKey
from aura_cli.sandbox.server import running
from aura_cli.settings import Setting, Settings
from aura_cli.transport import Rate, Service
from aura_cli.users.verify import Claims, PublishedKeys, Refused, configured_key, verify
from tests.parts.program import Aura
from tests.users.conftest import Desk, row

APP, DID = "testapp000000000000000000", "did:privy:ctoken"
NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
ISSUED = int(NOW.timestamp()) - 60


PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
GOOD_CLAIMS = {"iss": "privy.io", "aud": APP, "sub": DID, "sid": "s", "iat": ISSUED, "exp": ISSUED + 3600}


def settings(pem: str | None) -> Settings:
    return Settings({"PRIVY_VERIFICATION_KEY": Setting(pem, "test")} if pem else {}, (), Path(), "tester")


def check(token: str) -> Claims:
    """The token against PEM, as PRIVY_VERIFICATION_KEY would hold it."""
    key = configured_key(settings(PEM))
    assert key
    return verify(token, APP, key, NOW)


def token(key: Any = PRIVATE, algorithm: str = "ES256", **claims: object) -> str:
    """A signed token that says what a good one says, but for `claims`."""
    return jwt.PyJWS().encode(json.dumps({**GOOD_CLAIMS, **claims}).encode(), key, algorithm)


def unsigned(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """A token made by hand: with no signature, or an HMAC of `secret`."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest() if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())


def test_a_good_token() -> None:
    """What it says, times in UTC; an audience may be one of several."""
    claims = check(token())
    assert (claims.did, claims.app, int(claims.issued_at.timestamp()), int(claims.expires_at.timestamp())) == (
        DID,
        APP,
        ISSUED,
        ISSUED + 3600,
    )
    assert check(token(aud=["another", APP])).did == DID
    assert check(token(sid=None)).session is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (token(exp=ISSUED + 10), "expired at 2026-11-22 09:59:10 UTC"),
        (token(exp=ISSUED + 30), "expired at 2026-11-22 09:59:30 UTC"),  # the leeway of 30 seconds is over now
        (token(iat=ISSUED + 600), "not valid before"),
        (token(nbf=ISSUED + 600), "not valid before"),
        (token(aud="another"), "wrong audience"),
        (token(aud=[]), "wrong audience"),
        (token(aud=None), "wrong audience"),
        (token(iss="example.com"), "wrong issuer"),
        (token(iss=None), "wrong issuer"),
        (token(sub=None), "no DID"),
        (token(sub="someone"), "no DID"),
        (token(exp=None), "exp is no time"),
        (token(exp=True), "exp is no time"),
        (token(exp="later"), "exp is no time"),
        (token(exp=1e300), "exp is no time"),
        (token(iat=None), "iat is no time"),
        (token(ec.generate_private_key(ec.SECP256R1())), "signature is wrong"),
        (token()[:-8] + "AAAAAAAA", "signature is wrong"),
        (".".join([token().split(".")[0], token(sub="did:privy:cother").split(".")[1], token().split(".")[2]]), "signature is wrong"),
        (unsigned({"alg": "none"}, GOOD_CLAIMS), "'none'"),
        (unsigned({"alg": "None", "typ": "JWT"}, GOOD_CLAIMS), "'None'"),
        (unsigned({}, GOOD_CLAIMS), "None"),
        (unsigned({"alg": "HS256"}, GOOD_CLAIMS, PEM.encode()), "'HS256'"),
        (unsigned({"alg": "ES256"}, GOOD_CLAIMS, PEM.encode()), "signature is wrong"),
        (unsigned({"alg": "ES256"}, GOOD_CLAIMS), "signature is wrong"),
        (unsigned({"alg": ["ES256"]}, GOOD_CLAIMS), "only ES256"),
        (token(RSA, "RS256"), "'RS256'"),
        (token(P384, "ES384"), "'ES384'"),
        ("", "not a token"),
        ("nonsense", "not a token"),
        ("a.b.c", "not a token"),
        ("é.é.é", "not a token"),
        (token() + ".x", "not a token"),
        ("x" * 100_000, "not a token"),
    ],
)
def test_refusals(bad: str, reason: str) -> None:
    """Each reason in clear words, and nothing of the token in them."""
    with pytest.raises(Refused) as refused:
        check(bad)
    assert reason in refused.value.message
    assert refused.value.exit_code == 4
    assert not any(len(part) > 20 and part in refused.value.message for part in bad.split("."))


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda some: f"{token().split('.')[0]}.{some.hex()}.{some.hex()}"))
def test_anything_else_is_refused(text: str) -> None:
    """Whatever is given, it is refused and nothing breaks."""
    with pytest.raises(Refused):
        check(text)


@pytest.mark.parametrize("spell", [str, str.strip, lambda pem: pem.replace("\n", "\\n"), lambda pem: f"\n{pem}\n"])
def test_how_a_key_may_be_written(spell: Any) -> None:
    """A PEM with real line breaks or with `\\n`, as one line of a settings file has it."""
    key = configured_key(settings(spell(PEM)))
    assert key
    assert verify(token(), APP, key, NOW).did == DID
    assert configured_key(settings(None)) is None


@pytest.mark.parametrize("text", ["nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "rsa", "p384"])
def test_a_key_that_is_none(text: str) -> None:
    """Exit 4, naming the setting."""
    made = {"rsa": RSA.public_key(), "p384": P384.public_key()}.get(text)
    pem = made.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() if made else text  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="PRIVY_VERIFICATION_KEY"):
        configured_key(settings(pem))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keys": 5}', b'{"keys": [5]}', b"<html>", b"{}"])
def test_a_damaged_cache_is_fetched_anew(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, the keys come from Privy then."""
    now, good = datetime.now(UTC), SigningKey(PRIVY_APP_ID).access_token(PRIVY_APP_ID, DID, int(time.time()))
    with running(build(0, 1, ISSUED)) as addresses, Service("Privy", addresses.privy, {"privy-app-id": PRIVY_APP_ID}, Rate(0)) as privy:
        keys = PublishedKeys(privy, PRIVY_APP_ID, tmp_path, now)
        keys.path.write_bytes(content)
        assert verify(good, PRIVY_APP_ID, keys, now).did == DID


def test_a_cache_that_cannot_be_kept_stops_nobody(tmp_path: Path) -> None:
    """Where the data directory cannot be made, a good token is good all the same."""
    now, good = datetime.now(UTC), SigningKey(PRIVY_APP_ID).access_token(PRIVY_APP_ID, DID, int(time.time()))
    (tmp_path / "file").touch()
    with running(build(0, 1, ISSUED)) as addresses, Service("Privy", addresses.privy, {"privy-app-id": PRIVY_APP_ID}, Rate(0)) as privy:
        assert verify(good, PRIVY_APP_ID, PublishedKeys(privy, PRIVY_APP_ID, tmp_path / "file" / "home", now), now).did == DID


def test_published_keys_are_kept_and_fetched_once_for_an_unknown_one(desk: Desk) -> None:
    """An hour in a file of 0600; a new signing key is found by one more request; one that the app does not have is refused."""
    person = desk.population.people[0]
    old = desk.token(person.did)
    assert desk("verify-token", input=old).exit == 0
    (kept,) = (desk.aura.directory / "data").glob("privy-keys-*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    desk.privy.post("/_sandbox/rotate-key").raise_for_status()
    assert desk("verify-token", input=desk.token(person.did)).exit == 0
    stranger = SigningKey(PRIVY_APP_ID, 99).access_token(PRIVY_APP_ID, person.did, int(time.time()))
    refused = desk("verify-token", input=stranger)
    assert (refused.exit, "does not have" in refused.err) == (4, True)
    desk.privy.post("/_sandbox/faults", json={"server_error": 1.0}).raise_for_status()
    assert desk("verify-token", input=old).exit == 0  # nobody was asked
    os.utime(kept, (time.time() - 4_000,) * 2)
    assert desk("verify-token", input=old).exit == 7  # too old, and Privy does not answer


def test_the_command(desk: Desk) -> None:
    """`--json` with the local user where there is one; trailing white space does not matter; the token is never shown."""
    person = desk.population.people[0]
    good = desk.token(person.did)
    unknown = desk("verify-token", "--json", input=f"{good}\n")
    assert list(unknown.json) == ["did", "app", "session", "issued_at", "expires_at", "user"]
    assert (unknown.json["did"], unknown.json["user"]) == (person.did, None)
    assert unknown.json["expires_at"].endswith("Z")
    desk.sync(person.did)
    assert desk("verify-token", "--json", "-", input=good).json["user"] == row(desk.engine, person.did).id
    expired = desk("verify-token", "--json", input=desk.token(person.did, expires_in=-60))
    assert (expired.exit, json.loads(expired.err)["error"]["kind"]) == (4, "configuration")
    argued = desk("verify-token", good)
    assert (argued.exit, argued.out, good in argued.err) == (2, "", False)
    assert desk("verify-token", input="").exit == 2


def test_no_secret_and_no_database_are_needed(aura: Aura) -> None:
    """The app's id and its verification key are enough to check a token offline."""
    app = SigningKey(APP)
    environment = {"AURA_ENV": "development", "NEXT_PUBLIC_PRIVY_APP_ID": APP, "PRIVY_VERIFICATION_KEY": app.pem().replace("\n", "\\n")}
    done = aura("users", "verify-token", "--json", env=environment, input=app.access_token(APP, DID, int(time.time())))
    assert (done.exit, done.json["did"]) == (0, DID), done.err
    assert aura("users", "verify-token", env={**environment, "NEXT_PUBLIC_PRIVY_APP_ID": ""}, input="x").exit == 4
