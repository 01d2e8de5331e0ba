"""One consent: only its own answer counts, and every refusal is told as what it is."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import AuraError, ConfigurationError, ServiceError, UnreachableError, UsageError
from aura_cli.integrations.consent import Consent, Denied, NotOurs, answered, belongs, digest, parameters, pasted, scopes_of
from aura_cli.integrations.provider import Category, Kind, OAuth, Provider, Redirect, Verify

REDIRECT = "http://127.0.0.1:8790/callback"
OAUTH = OAuth(
    "https://token.acme.test/token",
    Redirect("registered"),
    "https://{region}.acme.test/authorize",
    scopes=["read", "write"],
    callback={"realm": "realmId"},
)
ACME = Provider("acme", "Acme", Category.CRM, "acme", Kind.OAUTH2_CODE, Verify("https://acme.test/me"), oauth=OAUTH)
VALUES = {"region": "eu"}


def test_a_consent_is_new_each_time() -> None:
    """256 bits of state, a verifier of RFC 7636's length, and none where the provider cannot."""
    one, other = Consent.begin(OAUTH, REDIRECT), Consent.begin(OAUTH, REDIRECT)
    assert len(bytes.fromhex(one.state)) == 32
    assert one.verifier is not None
    assert 43 <= len(one.verifier) <= 128
    assert {one.state, one.verifier}.isdisjoint({other.state, other.verifier})
    assert Consent.begin(OAuth("https://acme.test/token", pkce="none"), REDIRECT).verifier is None
    assert one.state not in repr(one)


def test_a_good_answer() -> None:
    """The code, and what the provider's file keeps of the callback."""
    got = answered(ACME, {"code": "c0de", "realmId": "9130", "other": "x", "state": "s"}, VALUES)
    assert (got.code, got.kept) == ("c0de", {"realm": "9130"})
    assert "c0de" not in repr(got)


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        ({"error": "access_denied"}, Denied, "Not allowed at Acme (access_denied)"),
        ({"error": "access_denied", "error_description": "The user\r\ndenied"}, Denied, "access_denied: The user  denied"),
        ({"error": "server_error"}, UnreachableError, "cannot do it now"),
        ({"error": "invalid_scope"}, ConfigurationError, "does not give these scopes"),
        ({"error": "unauthorized_client"}, ConfigurationError, "does not accept our app's request"),
        ({"error": "something_new"}, ServiceError, "Acme refused (something_new)"),
        ({}, ServiceError, "neither a code nor an error"),
        ({"code": ""}, ServiceError, "neither a code nor an error"),
        ({"code": "x" * 10_000}, ServiceError, "neither a code nor an error"),
        ({"code": "c", "iss": "https://evil.test"}, ServiceError, "The answer is not Acme's"),
        ({"error": "access_denied", "iss": "https://evil.test"}, ServiceError, "The answer is not Acme's"),
    ],
)
def test_answers_that_give_nothing(said: dict[str, str], error: type[AuraError], told: str) -> None:
    """Each is told plainly, in one line, as the person's, ours or the provider's doing."""
    with pytest.raises(error) as stopped:
        answered(ACME, said, VALUES)
    assert told in stopped.value.message


def test_whose_answer_it_is() -> None:
    """RFC 9207: an issuer on the host that was asked is good, with the tenant filled in."""
    assert answered(ACME, {"code": "c", "iss": "https://eu.acme.test/v2"}, VALUES).code == "c"
    assert answered(ACME, {"code": "c", "iss": "https://token.acme.test"}, VALUES).code == "c"


@pytest.mark.parametrize("state", ["", "other", "S", "s ", "ß"])
def test_another_state(state: str) -> None:
    """Wrong, missing, nearly right: not ours."""
    assert belongs({"state": "s"}, digest("s"))
    assert not belongs({"state": state} if state else {}, digest("s"))


def test_what_was_pasted() -> None:
    """The whole address of the tab, spaces around it forgiven; another address, or another consent's, is not."""
    good = f"{REDIRECT}?{urlencode({'code': 'c', 'state': 's'})}"
    assert pasted(f"  {good}\n", REDIRECT, digest("s"))["code"] == "c"
    for wrong in ("c", "", "https://127.0.0.1:8790/callback?code=c&state=s", good.replace("callback", "other"), good.replace("8790", "1")):
        with pytest.raises(UsageError, match="not the address"):
            pasted(wrong, REDIRECT, digest("s"))
    with pytest.raises(NotOurs, match="another consent"):
        pasted(good, REDIRECT, digest("t"))


def test_parameters_said_twice() -> None:
    """Who says something twice is not believed once."""
    for query in ("state=a&state=b", "code=1&code=1", "&".join(f"p{number}=1" for number in range(100)), "a=%ff"):
        with pytest.raises(NotOurs):
            parameters(query)


@given(st.text(), st.text(min_size=1))
def test_no_query_breaks_it(query: str, state: str) -> None:
    """Whatever a browser is made to send: an answer, or not ours."""
    with suppress(NotOurs):
        assert belongs(parameters(query), digest(state)) == (parameters(query).get("state") == state)


def test_scopes() -> None:
    """Commas or spaces between, several options, each once; none: the provider's usual ones."""
    assert scopes_of(OAUTH, []) == ("read", "write")
    assert scopes_of(OAUTH, ["a b", "c,a"]) == ("a", "b", "c")
