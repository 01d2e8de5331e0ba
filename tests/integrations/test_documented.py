"""What `aura` sends to providers, and how it reads their answers, held against what their vendors document (`documented.py`).

Everything is built and read by the code that does it in earnest, over a server on loopback that records what comes.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from aura_cli.integrations.answers import Grant, granted
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.connecting import placed
from aura_cli.integrations.failures import Refused
from aura_cli.integrations.oauth import Client, authorize_url, exchange, renew
from aura_cli.integrations.provider import ACCESS, REFRESH, Category, OAuth, Provider
from aura_cli.integrations.store import Opened, values_of
from aura_cli.integrations.template import filled
from aura_cli.integrations.verify import Account, log_in, who_is_it
from aura_cli.integrations.wire import Wire
from aura_cli.sandbox.providers.addresses import bases, write
from aura_cli.settings import Secret
from tests.integrations.documented import STANDARD, Call, Documented, Expected, TokenRequest, Verify, everything

DOCUMENTED = everything()
PROVIDERS = load().providers
CLIENT = Client("test-client-id", Secret("test-client-secret"))
REVOKED = frozenset({"token_type_hint", "client_id"})  # RFC 7009, 2.1: may stand beside a token that is revoked
REDIRECT = "https://hooks.example.com/connect/callback"
VERIFIER, CODE = "v" * 64, "test-code"
OURS = frozenset("accept accept-encoding user-agent host connection content-length content-type".split())


def having(*tables: str) -> list[str]:
    """The providers whose files have all these tables."""
    return [name for name, found in DOCUMENTED.items() if all(getattr(found, table) for table in tables)]


@dataclass(frozen=True)
class Sent:
    """A request as it arrived; `url` without its scheme, as the vendor has it."""

    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body, decoded by what it says it is."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return json.loads(self.body)
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def basic(self) -> list[str] | None:
        scheme, _, text = self.headers.get("authorization", "").partition(" ")
        return base64.b64decode(text).decode().split(":", 1) if scheme == "Basic" else None


@dataclass
class Vendor:
    """A server in the place of all vendors: `answers` are given in turn, what came is in `sent`."""

    base: str
    folder: Path
    answers: list[tuple[int, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def provider(self, name: str) -> Provider:
        """A provider whose addresses lead here."""
        write({name: PROVIDERS[name]}, self.base, self.folder)
        return load(self.folder).get(name)

    def values(self, name: str, documented: Documented, grant: Grant | None = None) -> dict[str, str]:
        """What fills placeholders: the file's values, what the application is, what an answer gave; whole addresses lead here."""
        provider = PROVIDERS[name]
        typed = provider.credentials.fields if provider.credentials and not documented.token_request else {}
        made_up = {key: f"test-{key}" for key, one in {**provider.fields, **typed}.items() if one.required and one.default is None}
        secrets, metadata = placed(provider, {**made_up, **documented.values})
        tokens = {ACCESS: "test-access", REFRESH: "test-refresh"} if documented.token_request else {}
        secrets = {**tokens, **secrets, **(grant.secrets if grant else {})}
        opened = Opened("", "", provider.provider, secrets, None, None, {**metadata, **(grant.kept if grant else {})}, {})
        given = {**values_of(provider, opened, CLIENT.values if provider.client else {}), **documented.values}
        given.setdefault(ACCESS, "test-access")
        return {key: self.here(provider, text) if key in bases(provider) else text for key, text in given.items()}

    def here(self, provider: Provider, address: str) -> str:
        """A whole address, as it is on this server."""
        return f"{self.base}/{provider.id}/{address.partition('://')[2]}"

    def there(self, name: str, text: str | None) -> str | None:
        """A text in which addresses are the vendor's again."""
        return text.replace(f"{self.base}/{name}/", "https://") if text else text


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    class Recorder(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): text for name, text in self.headers.items()}
            url = unquote(parts.path.removeprefix("/").partition("/")[2])
            found.sent.append(Sent(self.command, url, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body))
            status, text = found.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = handle_any  # noqa: N815 (http.server's names)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        found = Vendor(f"http://127.0.0.1:{server.server_address[1]}", tmp_path)
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


def address(url: str) -> tuple[str, dict[str, str]]:
    """An address without its scheme and query, and the query."""
    parts = urlsplit(url)
    return f"{parts.netloc}{unquote(parts.path)}", dict(parse_qsl(parts.query, keep_blank_values=True))


def oauth_of(provider: Provider) -> OAuth:
    assert provider.oauth
    return provider.oauth


def by_hand(name: str, documented: Documented, verify: Verify) -> bool:
    """Whether a verify request is documented for credentials that a person types."""
    return verify.by_hand or not (PROVIDERS[name].oauth and documented.token_request)


def test_there_are_enough_in_every_category() -> None:
    """At least 24 providers by their vendors' own word, every category among them, every file of a provider that there is."""
    assert DOCUMENTED.keys() <= PROVIDERS.keys()
    vendors = [name for name, found in DOCUMENTED.items() if found.of_vendor]
    assert len(vendors) >= 24
    assert {PROVIDERS[name].category for name in vendors} == set(Category)


@pytest.mark.parametrize("name", having("authorize"))
def test_the_consent_page(vendor: Vendor, name: str) -> None:
    """The page, and the parameters that the documentation has; beside them nothing that is not of the standards."""
    provider, wanted = PROVIDERS[name], DOCUMENTED[name].authorize
    assert wanted
    oauth, values = oauth_of(provider), vendor.values(name, DOCUMENTED[name])
    url = authorize_url(provider, CLIENT, redirect_uri=REDIRECT, state="s" * 32, verifier=VERIFIER, scopes=oauth.scopes, values=values)
    where, query = address(wanted.url)
    sent_where, sent = address(url)
    assert (urlsplit(url).scheme, sent_where) == ("https", where)
    assert {key: sent.get(key) for key in query} == query
    assert (sorted(set(wanted.params) - sent.keys()), sorted(sent.keys() - {*wanted.params, *wanted.beyond, *query} - STANDARD)) == ([], [])
    if wanted.callback:
        assert set(oauth.callback.values()) <= set(wanted.callback)


@pytest.mark.parametrize("name", having("token_request", "token_answer"))
def test_a_code_becomes_a_token(vendor: Vendor, wire: Wire, name: str) -> None:
    """The request for a code as it is documented, and the documented answer read as the documentation says."""
    documented, provider = DOCUMENTED[name], vendor.provider(name)
    request, answer = documented.token_request, documented.token_answer
    assert request
    assert answer
    vendor.answers.append((answer.status, answer.answer))
    values = vendor.values(name, documented)
    grant = exchange(wire, provider, CLIENT, code=CODE, redirect_uri=REDIRECT, verifier=VERIFIER, values=values)
    check_token_request(vendor.sent[0], request, request.exchange)
    check_grant(provider, grant, answer.expected)


@pytest.mark.parametrize("name", having("token_request", "refresh_answer"))
def test_a_token_is_refreshed(vendor: Vendor, wire: Wire, name: str) -> None:
    """The same of a refresh."""
    documented, provider = DOCUMENTED[name], vendor.provider(name)
    request, answer = documented.token_request, documented.refresh_answer
    assert request
    assert answer
    assert request.refresh
    vendor.answers.append((answer.status, answer.answer))
    values = vendor.values(name, documented)
    grant = renew(wire, provider, CLIENT, token="test-refresh", scopes=oauth_of(provider).scopes, values=values)
    check_token_request(vendor.sent[0], request, request.refresh)
    check_grant(provider, grant, answer.expected)


@pytest.mark.parametrize("name", having("token_request"))
def test_what_is_not_documented_to_be_refreshed_is_not(name: str) -> None:
    """A file refreshes where the documentation does."""
    request = DOCUMENTED[name].token_request
    assert request
    assert (oauth_of(PROVIDERS[name]).refresh.mode == "never") is (request.refresh is None)


def check_token_request(sent: Sent, wanted: TokenRequest, names: list[str]) -> None:
    """Address, notation, headers, how the application proves who it is, and the names in the body."""
    where, query = address(wanted.url)
    assert (sent.method, sent.url, {**sent.query}) == (wanted.method, where, query)
    if wanted.content_type:
        assert sent.headers["content-type"].partition(";")[0] == wanted.content_type
    assert {key: sent.headers.get(key.lower()) for key in wanted.headers} == wanted.headers
    body, secret = sent.content, CLIENT.values["client_secret"]
    in_body = {"client_secret_post": (CLIENT.id, secret), "client_secret_basic": (None, None), "none": (CLIENT.id, None)}
    basic = [CLIENT.id, secret] if wanted.client_auth == "client_secret_basic" else None
    assert (sent.basic, body.get("client_secret")) == (basic, in_body[wanted.client_auth][1])
    named = {"client_id", "client_secret"} if wanted.client_auth == "client_secret_post" else {"client_id"}
    assert (sorted(set(names) - body.keys()), sorted(body.keys() - set(names) - STANDARD - named)) == ([], [])


def check_grant(provider: Provider, grant: Grant, expected: Expected) -> None:
    """What was read out of an answer; what the documentation does not have in it comes from the file, or is nothing."""
    oauth = oauth_of(provider)
    found = (grant.secrets.get(ACCESS), grant.secrets.get(oauth.refresh.place) if oauth.refresh.mode != "never" else None)
    assert found == (expected.access_token, expected.refresh_token)
    assert grant.expires_in == (expected.expires_in or oauth.refresh.access_lifetime)
    assert grant.refresh_expires_in == (expected.refresh_expires_in or oauth.refresh.refresh_lifetime)
    assert grant.scopes == (tuple(expected.scopes) if expected.scopes else None)


@pytest.mark.parametrize("name", having("login"))
def test_credentials_become_a_session(vendor: Vendor, wire: Wire, name: str) -> None:
    """The login as it is documented; of its answer the session is kept."""
    documented, provider = DOCUMENTED[name], vendor.provider(name)
    login = documented.login
    assert login
    vendor.answers.append((200, login.answer))
    values = vendor.values(name, documented)
    session = log_in(wire, provider, values)
    check_call(vendor.sent[0], login, values)
    assert session.secrets[ACCESS] in login.answer


@pytest.mark.parametrize("name", having("verify"))
def test_whose_credentials_these_are(vendor: Vendor, wire: Wire, name: str) -> None:
    """The request as it is documented, and label and id read out of the documented answer."""
    verify = DOCUMENTED[name].verify
    assert verify
    vendor.answers.append((200, verify.answer))
    values, account = asked(vendor, wire, name, verify)
    check_call(vendor.sent[0], verify, values)
    assert vendor.there(name, account.label) == verify.label
    if verify.account:
        assert vendor.there(name, account.id) == verify.account


@pytest.mark.parametrize("name", having("verify", "verify_instead"))
def test_credentials_that_may_not_see_so_much(vendor: Vendor, wire: Wire, name: str) -> None:
    """After a 403 the other request is asked, as it is documented."""
    instead = DOCUMENTED[name].verify_instead
    assert instead
    vendor.answers += [(403, "{}"), (200, instead.answer)]
    values, account = asked(vendor, wire, name, instead)
    check_call(vendor.sent[1], instead, values)
    assert account.label == instead.label


@pytest.mark.parametrize("name", [name for name in having("verify") if (verify := DOCUMENTED[name].verify) and verify.refused])
def test_a_refusal_with_status_200(vendor: Vendor, wire: Wire, name: str) -> None:
    """The documented answer that says no is read as a refusal."""
    verify = DOCUMENTED[name].verify
    assert verify
    assert verify.refused
    vendor.answers.append((200, verify.refused))
    with pytest.raises(Refused):
        asked(vendor, wire, name, verify)


def asked(vendor: Vendor, wire: Wire, name: str, verify: Verify) -> tuple[dict[str, str], Account]:
    """Ask whose credentials these are; what filled the request's placeholders, and the account."""
    documented, provider = DOCUMENTED[name], vendor.provider(name)
    values = vendor.values(name, documented, kept_of(documented, PROVIDERS[name]))
    return values, who_is_it(wire, provider, values, by_hand=by_hand(name, documented, verify))


def kept_of(documented: Documented, provider: Provider) -> Grant | None:
    """What the documented token answer leaves in the row."""
    return granted(provider, documented.token_answer.document) if documented.token_answer and provider.oauth else None


@pytest.mark.parametrize("name", having("revoke"))
def test_the_end_of_a_grant(vendor: Vendor, wire: Wire, name: str) -> None:
    """The revocation as it is documented."""
    documented, provider = DOCUMENTED[name], vendor.provider(name)
    revoke = documented.revoke
    request = (provider.oauth.revoke if provider.oauth else None) or (provider.credentials.revoke if provider.credentials else None)
    assert revoke
    assert request, "the file does not revoke"
    vendor.answers.append((200, "{}"))
    values = vendor.values(name, documented, kept_of(documented, PROVIDERS[name]))
    wire.send(request, values, provider)
    check_call(vendor.sent[0], revoke, values)


def check_call(sent: Sent, wanted: Call, values: Mapping[str, str]) -> None:
    """Method, address, headers, who asks, and what is in the body."""
    known = {**CLIENT.values, **values}
    where, query = address(filled(wanted.url, known))
    assert (sent.method, sent.url) == (wanted.method, where)
    assert sent.query == filled({**query, **wanted.query}, known)
    headers = {key.lower(): filled(text, known) for key, text in wanted.headers.items()}
    assert {key: sent.headers.get(key) for key in headers} == headers
    extra = sent.headers.keys() - headers.keys() - OURS - ({"authorization"} if wanted.basic else set())
    assert extra == set()
    assert sent.basic == (list(filled(wanted.basic, known)) if wanted.basic else None)
    if wanted.content_type:
        assert sent.headers["content-type"].partition(";")[0] == wanted.content_type
    if wanted.form or wanted.json:
        assert set(sent.content) - {*wanted.form, *wanted.json} <= REVOKED
        assert {*wanted.form, *wanted.json} <= set(sent.content)
    if wanted.body:
        assert [json.loads(text) for text in sent.content.values()] == [json.loads(filled(wanted.body, known))]
    elif not (wanted.form or wanted.json):
        assert sent.body == b""
