"""The stand-in of the 64 providers: what it takes, what it refuses, and that nothing in its overriding files leads anywhere else."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from aura_cli.integrations.answers import Grant
from aura_cli.integrations.catalogue import Catalogue, load
from aura_cli.integrations.connecting import placed
from aura_cli.integrations.failures import Failure, Refused
from aura_cli.integrations.oauth import Client, authorize_url, client_of, exchange, poll_device, renew, start_device
from aura_cli.integrations.provider import ACCESS, Provider
from aura_cli.integrations.store import Opened, values_of
from aura_cli.integrations.verify import Account, log_in, who_is_it
from aura_cli.integrations.wire import Wire
from aura_cli.sandbox.credentials import Addresses, environment
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.providers.addresses import every, write
from aura_cli.sandbox.server import running
from aura_cli.settings import Settings
from tests.parts.loopback import plain_client

PROVIDERS = load().providers
BY_CONSENT = [one.id for one in PROVIDERS.values() if one.oauth and one.oauth.authorize_url]
BY_DEVICE = [one.id for one in PROVIDERS.values() if one.oauth and one.oauth.device_url]
BY_HAND = [one.id for one in PROVIDERS.values() if one.credentials]
REFRESHED = [name for name in BY_CONSENT if (oauth := PROVIDERS[name].oauth) and oauth.refresh.mode != "never"]
ROTATING = [name for name in REFRESHED if (oauth := PROVIDERS[name].oauth) and oauth.refresh.rotating]
REDIRECT = "https://hooks.example.com/callback"


@dataclass
class Standing:
    """A running stand-in, and what `aura` reads of it."""

    base: str
    catalogue: Catalogue
    settings: Settings
    wire: Wire
    http: httpx.Client

    def about(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/_sandbox/providers/{name}").raise_for_status().json()
        return found

    def provider(self, name: str) -> tuple[Provider, Client, dict[str, str]]:
        """A provider whose file leads here, its application, and the values of its own fields."""
        provider = self.catalogue.get(name)
        client = client_of(self.settings, provider)
        return provider, client, self.values(provider, {key: self.about(name)["credentials"][key] for key in provider.fields}, {})

    def values(self, provider: Provider, fields: dict[str, str], grant: dict[str, Any]) -> dict[str, str]:
        held, metadata = placed(provider, fields)
        opened = Opened(
            "", "", provider.provider, {**held, **grant.get("secrets", {})}, None, None, {**metadata, **grant.get("kept", {})}, {}
        )
        client = client_of(self.settings, provider).values if provider.client and not grant.get("by_hand") else {}
        return values_of(provider, opened, client)

    def consent(self, name: str, **form: str) -> tuple[dict[str, str], str]:
        """Ask for consent, and say yes: what comes back, and the verifier that goes with it."""
        provider, client, values = self.provider(name)
        assert provider.oauth
        verifier, state = secrets.token_hex(32), secrets.token_hex(16)
        url = authorize_url(
            provider, client, redirect_uri=REDIRECT, state=state, verifier=verifier, scopes=provider.oauth.scopes, values=values
        )
        assert self.http.get(url).status_code == 200
        answer = self.http.post(url, data={"decision": "allow", **form})
        assert answer.status_code == 302, answer.text
        found = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        assert found["state"] == state
        return found, verifier

    def grant(self, name: str, **form: str) -> Grant:
        """Consent, and redeem the code."""
        provider, client, values = self.provider(name)
        found, verifier = self.consent(name, **form)
        return exchange(self.wire, provider, client, code=found["code"], redirect_uri=REDIRECT, verifier=verifier, values=values)

    def whose(self, name: str, grant: Grant, callback: dict[str, str] | None = None) -> Account:
        provider, _, _ = self.provider(name)
        fields = {key: self.about(name)["credentials"][key] for key in provider.fields}
        kept = {**grant.kept, **(callback or {})}
        return who_is_it(self.wire, provider, self.values(provider, fields, {"secrets": grant.secrets, "kept": kept}), by_hand=False)

    def order(self, **mishap: Any) -> None:
        self.http.post("/_sandbox/mishaps", json=mishap).raise_for_status()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("providers")
    with running(build(0, seed=1, now=1_795_000_000)) as addresses:
        write(PROVIDERS, addresses.providers, folder)
        settings = Settings.load(environ=environment(addresses, folder, "sqlite:///nothing"))
        with Wire() as wire, plain_client(base_url=addresses.providers) as http:
            yield Standing(addresses.providers, load(folder), settings, wire, http)


def test_overriding_files_lead_to_the_stand_in_alone(tmp_path: Path) -> None:
    """With them every address of all 64 is the stand-in's, or begins with a placeholder whose value is."""
    base = "http://127.0.0.1:4700"
    write(PROVIDERS, base, tmp_path)
    found = load(tmp_path)
    assert found.providers.keys() == PROVIDERS.keys()
    for provider in found.providers.values():
        assert {url for _, url in every(provider) if not url.startswith((f"{base}/{provider.id}/", "{"))} == set()


def test_the_environment_has_every_variable_of_the_catalogue() -> None:
    """Each client's id and secret, with the sandbox's mark."""
    made = environment(Addresses("", ""), Path(), "")
    named = {name for one in PROVIDERS.values() if one.client for name in (one.client.id, one.client.secret) if name}
    assert named <= made.keys()
    assert {name for name in named if "sandbox" not in made[name]} == set()


@pytest.mark.parametrize("name", BY_CONSENT)
def test_consent_gives_tokens_that_say_whose_they_are(standing: Standing, name: str) -> None:
    """Consent, code, tokens and the verify request, each as the file says it; the account is the one that consented."""
    provider, _, _ = standing.provider(name)
    assert provider.oauth
    back, _ = standing.consent(name)
    callback = {kept: back[parameter] for kept, parameter in provider.oauth.callback.items()}
    grant = standing.grant(name)
    account = standing.whose(name, grant, callback)
    assert account.label == standing.about(name)["consent"]["label"]
    assert account.label


@pytest.mark.parametrize("name", BY_HAND)
def test_its_credentials_are_taken_and_others_refused(standing: Standing, name: str) -> None:
    """What the sandbox made for each field is good, with a session where the provider gives one; another secret is not."""
    provider, about = standing.catalogue.get(name), standing.about(name)
    fields = about["credentials"]
    grant: dict[str, Any] = {"by_hand": True}
    assert provider.credentials
    if provider.credentials.login:
        session = log_in(standing.wire, provider, standing.values(provider, fields, grant))
        grant |= {"secrets": session.secrets, "kept": session.kept}
    account = who_is_it(standing.wire, provider, standing.values(provider, fields, grant), by_hand=True)
    assert account.label == about["by_hand"]["label"]
    every_field = {**provider.fields, **provider.credentials.fields}
    wrong = {key: f"{text[:-1]}0" if every_field[key].secret else text for key, text in fields.items()}
    spoilt = {**standing.values(provider, wrong, {"by_hand": True}), **({ACCESS: "wrong"} if provider.credentials.login else {})}
    with pytest.raises(Refused) as refused:
        who_is_it(standing.wire, provider, spoilt, by_hand=True)
    assert refused.value.failure is Failure.NEEDS_CONSENT


@pytest.mark.parametrize("name", REFRESHED)
def test_refresh_gives_another_token(standing: Standing, name: str) -> None:
    """A refreshed token is new and works; where they rotate the refresh token is new too, and else not said again."""
    provider, client, values = standing.provider(name)
    assert provider.oauth
    place, first = provider.oauth.refresh.place, standing.grant(name)
    scopes = provider.oauth.scopes
    again = renew(standing.wire, provider, client, token=first.secrets[place], scopes=scopes, values={**values, **first.kept})
    assert again.secrets[ACCESS] != first.secrets[ACCESS]
    assert (place in again.secrets) is provider.oauth.refresh.rotating
    assert standing.http.get("/_sandbox/consents", params={"provider": name}).json()[-1]["refreshed"] == 1


@pytest.mark.parametrize("name", ROTATING)
def test_a_rotated_token_used_again_ends_everything(standing: Standing, name: str) -> None:
    """RFC 9700, 4.14.2: the family dies, its newest tokens included."""
    provider, client, values = standing.provider(name)
    assert provider.oauth
    place, first = provider.oauth.refresh.place, standing.grant(name)
    given = {**values, **first.kept}
    ask = {"scopes": provider.oauth.scopes, "values": given}
    again = renew(standing.wire, provider, client, token=first.secrets[place], **ask)  # type: ignore[arg-type]
    for token in (first.secrets[place], again.secrets[place]):
        with pytest.raises(Refused) as refused:
            renew(standing.wire, provider, client, token=token, **ask)  # type: ignore[arg-type]
        assert refused.value.error == "invalid_grant"


@pytest.mark.parametrize("name", BY_DEVICE)
def test_a_device_waits_for_its_code(standing: Standing, name: str) -> None:
    """Pending, then refused for asking too often, then a grant once somebody typed the code."""
    provider, client, values = standing.provider(name)
    assert provider.oauth
    device = start_device(standing.wire, provider, client, scopes=provider.oauth.scopes, values=values)
    assert poll_device(standing.wire, provider, client, device=device, values=values) is None
    with pytest.raises(Refused, match="slow_down"):
        poll_device(standing.wire, provider, client, device=device, values=values)
    standing.http.post("/_sandbox/device", data={"user_code": device.user_code, "decision": "allow"}).raise_for_status()
    grant = poll_device(standing.wire, provider, client, device=device, values=values)
    assert grant
    assert grant.secrets[ACCESS]


def test_a_code_is_good_once_for_one_verifier_and_address(standing: Standing) -> None:
    """A wrong verifier and another redirect address are refused; a code that comes twice ends what came of it."""
    name = "airtable"
    provider, client, values = standing.provider(name)
    found, verifier = standing.consent(name)
    right = {"code": found["code"], "redirect_uri": REDIRECT, "verifier": verifier}
    for wrong in ({"verifier": "0" * 64}, {"redirect_uri": f"{REDIRECT}/"}, {"code": "another"}):
        with pytest.raises(Refused, match="invalid_grant"):
            exchange(standing.wire, provider, client, values=values, **{**right, **wrong})
    grant = exchange(standing.wire, provider, client, values=values, **right)
    with pytest.raises(Refused, match="invalid_grant"):
        exchange(standing.wire, provider, client, values=values, **right)
    with pytest.raises(Refused):
        standing.whose(name, grant)


def test_a_consent_that_is_asked_for_wrongly_goes_nowhere(standing: Standing) -> None:
    """Another client or a redirect address that the file rules out get a page; a missing challenge goes back as an error."""
    provider, client, values = standing.provider("airtable")
    url = httpx.URL(authorize_url(provider, client, redirect_uri=REDIRECT, state="s" * 32, verifier="v" * 64, scopes=(), values=values))
    for name, wrong in (("client_id", "another"), ("redirect_uri", "http://example.com/callback")):
        assert standing.http.get(url.copy_set_param(name, wrong)).status_code == 400
    answer = standing.http.get(url.copy_remove_param("code_challenge"))
    assert answer.status_code == 302
    assert "error=invalid_request" in answer.headers["location"]


def test_a_person_may_say_no_and_take_it_back(standing: Standing) -> None:
    """Deny comes back as access_denied; what was allowed and is taken back no longer verifies."""
    provider, client, values = standing.provider("xero")
    url = authorize_url(provider, client, redirect_uri=REDIRECT, state="s" * 32, verifier="v" * 64, scopes=(), values=values)
    assert "error=access_denied" in standing.http.post(url, data={"decision": "deny"}).headers["location"]
    grant = standing.grant("xero")
    standing.http.post("/_sandbox/end", json={"provider": "xero"}).raise_for_status()
    with pytest.raises(Refused):
        standing.whose("xero", grant)


@pytest.mark.parametrize(
    ("mishap", "failure"),
    [
        ("invalid_grant", Failure.NEEDS_CONSENT),
        ("invalid_client", Failure.CLIENT_MISCONFIGURED),
        ("error_with_200", Failure.TRANSIENT),
        ("unavailable", Failure.PROVIDER_DOWN),
        ("not_found", Failure.PROVIDER_DOWN),
        ("html", Failure.PROVIDER_DOWN),
    ],
)
def test_trouble_can_be_ordered(standing: Standing, mishap: str, failure: Failure) -> None:
    """It comes once, instead of what was asked for: afterwards the same token still refreshes."""
    name = "calendly"
    provider, client, values = standing.provider(name)
    grant = standing.grant(name)
    standing.order(provider=name, request="refresh", kind=mishap)
    with pytest.raises(Refused) as refused:
        renew(standing.wire, provider, client, token=grant.secrets["refresh_token"], scopes=(), values=values)
    assert refused.value.failure is failure
    assert renew(standing.wire, provider, client, token=grant.secrets["refresh_token"], scopes=(), values=values).secrets


@pytest.mark.parametrize(("value", "seconds"), [(None, 7200), (0, 7200), ("3600", 3600)])
def test_answers_say_odd_lifetimes_on_request(standing: Standing, value: object, seconds: int) -> None:
    """Absent, 0 and text: ordered, and seen by whoever reads the answer."""
    standing.order(provider="calendly", request="token", kind="expires_in", value=value)
    assert standing.grant("calendly").expires_in == seconds


def test_what_may_be_typed_can_be_piped(standing: Standing) -> None:
    """The credentials alone, as `connect --credentials -` reads them."""
    assert standing.http.get("/_sandbox/credentials/twilio").json() == standing.about("twilio")["credentials"]
    assert standing.http.get("/_sandbox/credentials/nobody").status_code == 404


def test_nothing_else_is_answered(standing: Standing) -> None:
    """An address that no file has, or a provider that there is not, is 404; an unknown mishap is refused."""
    assert standing.http.get("/slack/slack.com/api/chat.postMessage").status_code == 404
    assert standing.http.get("/nobody/example.com/").status_code == 404
    assert standing.http.post("/_sandbox/mishaps", json={"kind": "flood"}).status_code == 400
