"""OAuth 2.0 as providers speak it. Authlib builds the messages (RFC 6749, 7636, 8628); what an answer is worth is judged here.

Providers differ in where an answer holds what, and some say an error with status 200. Authlib, handed such an answer, takes it
for a token: so an answer reaches it judged, and in the names of RFC 6749.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE

from aura_cli.errors import ConfigurationError
from aura_cli.integrations.answers import Grant, granted, judged, seconds
from aura_cli.integrations.failures import Failure, Refused
from aura_cli.integrations.provider import OAuth, Provider
from aura_cli.integrations.template import at, filled
from aura_cli.integrations.wire import Reply, Wire, address
from aura_cli.settings import Secret, Settings

PENDING = "authorization_pending"


@dataclass(frozen=True)
class Client:
    """The application as which `aura` asks."""

    id: str
    secret: Secret | None = None

    @property
    def values(self) -> dict[str, str]:
        """Its placeholders."""
        return {"client_id": self.id, "client_secret": self.secret.reveal() if self.secret else ""}


@dataclass(frozen=True)
class Device:
    """A device flow under way (RFC 8628 section 3.2): what the person types where; times are seconds."""

    code: str = field(repr=False)
    user_code: str
    address: str
    complete: str | None
    interval: float
    expires_in: int


def client_of(settings: Settings, provider: Provider) -> Client:
    """The application that is configured for `provider`. Raises ConfigurationError, naming the variables that are missing."""
    if not provider.client:
        raise ConfigurationError(f"{provider.name} is connected without an application of ours")
    named = provider.client
    needed = [named.id] + ([named.secret] if named.secret else [])
    missing = [name for name in needed if not settings.get(name)]
    if missing:
        where = f"; they are made at {named.register}" if named.register else ""
        raise ConfigurationError(
            f"{provider.name}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            f"Set what the application registered there was given{where}. See: aura integrations providers {provider.id}",
        )
    return Client(settings.get(named.id) or "", settings.secret(named.secret) if named.secret else None)


def authorize_url(
    provider: Provider,
    client: Client,
    *,
    redirect_uri: str,
    state: str,
    verifier: str | None,
    scopes: Sequence[str],
    values: Mapping[str, str],
) -> str:
    """Where a person consents. `verifier` (PKCE) counts unless the provider cannot. Raises ConfigurationError for a missing value."""
    oauth, every = _oauth(provider), {**values, **client.values, "redirect_uri": redirect_uri}
    assert oauth.authorize_url, "without a consent page nobody comes here"
    params = _known(filled, provider, oauth.authorize_params, every)
    if scopes:
        params = {oauth.scope_param: oauth.scope_separator.join(scopes), **params}
    built: str = OAuth2Client(None, client.id, redirect_uri=redirect_uri, code_challenge_method="S256").create_authorization_url(
        _known(address, provider, oauth.authorize_url, every),
        state=state,
        code_verifier=verifier if oauth.pkce != "none" else None,
        **params,
    )[0]
    return built


def exchange(
    wire: Wire, provider: Provider, client: Client, *, code: str, redirect_uri: str, verifier: str | None, values: Mapping[str, str]
) -> Grant:
    """What an authorisation code is worth (RFC 6749 section 4.1.3). Raises Refused, UnreachableError, ConfigurationError."""
    oauth = _oauth(provider)
    every = {**values, **client.values, "redirect_uri": redirect_uri}
    asked = _Asked(wire, provider, every, oauth.token_params, hidden=(code, verifier or ""))
    proof = {"code_verifier": verifier} if verifier and oauth.pkce != "none" else {}
    return asked.grant(lambda to, url: to.fetch_token(url, grant_type="authorization_code", code=code, redirect_uri=redirect_uri, **proof))


def renew(wire: Wire, provider: Provider, client: Client, *, token: str, scopes: Sequence[str], values: Mapping[str, str]) -> Grant:
    """A new grant for a refresh token (RFC 6749 section 6), which may be used up by it. Raises as `exchange` does."""
    oauth = _oauth(provider)
    every = {"refresh_token": token, **values, **client.values}
    asked = _Asked(wire, provider, every, oauth.refresh.params, hidden=(token,), url=oauth.refresh.url)
    named = {oauth.scope_param: oauth.scope_separator.join(scopes)} if oauth.refresh.scope and scopes else {}
    return asked.grant(lambda to, url: to.refresh_token(url, refresh_token=token, headers=dict(_FORM), **named))


def own_token(wire: Wire, provider: Provider, client: Client, *, scopes: Sequence[str], values: Mapping[str, str]) -> Grant:
    """A token for the application itself (client credentials, RFC 6749 section 4.4). Raises as `exchange` does."""
    oauth = _oauth(provider)
    asked = _Asked(wire, provider, {**values, **client.values}, oauth.token_params)
    named = {oauth.scope_param: oauth.scope_separator.join(scopes)} if scopes else {}
    return asked.grant(lambda to, url: to.fetch_token(url, grant_type="client_credentials", **named))


def start_device(wire: Wire, provider: Provider, client: Client, *, scopes: Sequence[str], values: Mapping[str, str]) -> Device:
    """Begin a device flow (RFC 8628 section 3.1). Raises as `exchange` does."""
    oauth, every = _oauth(provider), {**values, **client.values}
    assert oauth.device_url, "a provider without a device flow has no way to it"
    asked = _Asked(wire, provider, every, {})
    named = {oauth.scope_param: oauth.scope_separator.join(scopes)} if scopes else {}
    reply = asked.send(_known(address, provider, oauth.device_url, every), named, _FORM, ClientAuth(client.id, None, "none"))
    document = judged(provider, reply, asked.hidden, needs=())
    found = {name: at(document, name) for name in ("device_code", "user_code")}
    where = at(document, "verification_uri") or at(document, "verification_url")  # the latter is Google's
    if not all(isinstance(text, str) and text for text in (*found.values(), where)):
        raise Refused(f"{provider.name} did not say where which code is to be typed", Failure.PROVIDER_DOWN, status=reply.status)
    complete = at(document, "verification_uri_complete")
    lifetime = seconds(at(document, "expires_in")) or 900
    return Device(found["device_code"], found["user_code"], where, complete, seconds(at(document, "interval")) or 5, lifetime)


def poll_device(wire: Wire, provider: Provider, client: Client, *, device: Device, values: Mapping[str, str]) -> Grant | None:
    """The grant, once the person has typed the code; None until then. Raises Refused, with `slow_down` to be asked less often."""
    asked = _Asked(wire, provider, {**values, **client.values}, _oauth(provider).token_params, hidden=(device.code,))
    try:
        return asked.grant(lambda to, url: to.fetch_token(url, grant_type=DEVICE_CODE_GRANT_TYPE, device_code=device.code))
    except Refused as refused:
        if refused.error == PENDING:
            return None
        raise


_FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}


class _Judged:
    """An answer as Authlib reads it: a good one, with nothing in it that Authlib would stumble over."""

    status_code = 200

    def json(self) -> dict[str, Any]:
        return {}


@dataclass
class _Asked:
    """One token request: what Authlib takes for its session. Requests go over the wire in the provider's notation."""

    wire: Wire
    provider: Provider
    values: Mapping[str, str]
    params: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    url: str | None = None
    document: Any = None  # the answer, judged

    def grant(self, ask: Any) -> Grant:
        """Have Authlib ask with its client `to` at `url`, and take what the answer holds."""
        oauth = _oauth(self.provider)
        secret = self.values.get("client_secret") or None
        to = OAuth2Client(self, self.values["client_id"], secret, token_endpoint_auth_method=oauth.client_auth if secret else "none")
        self.hidden += (secret,) if secret else ()
        ask(to, _known(address, self.provider, self.url or oauth.token_url, self.values))
        return granted(self.provider, self.document)

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth) -> _Judged:
        """Authlib's request. Raises Refused for an answer that is no token."""
        self.document = judged(self.provider, self.send(url, data, headers, auth), self.hidden)
        return _Judged()

    def send(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth) -> Reply:
        """A request with the client's name on it, as this provider reads it."""
        oauth = _oauth(self.provider)
        try:
            url, signed, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        except UnicodeEncodeError:
            raise ConfigurationError(f"{self.provider.name}: the client's id or secret cannot be sent in a header") from None
        content = {**dict(parse_qsl(body, keep_blank_values=True)), **_known(filled, self.provider, self.params, self.values)}
        signed = {name: value for name, value in signed.items() if name.lower() != "content-type"}  # what is sent says what it is
        extra = _known(filled, self.provider, oauth.token_headers, self.values)
        notation: dict[str, Any] = {oauth.token_body: content}
        return self.wire.deliver("POST", url, headers={**signed, **extra}, of=self.provider, **notation)


def _oauth(provider: Provider) -> OAuth:
    assert provider.oauth, f"{provider.id} is connected by hand"
    return provider.oauth


def _known(fill: Any, provider: Provider, template: Any, values: Mapping[str, str]) -> Any:
    """`template` filled. Raises ConfigurationError for a placeholder without a value."""
    try:
        return fill(template, values)
    except KeyError as missing:
        raise ConfigurationError(f"{provider.name}: nothing says its {missing.args[0]!r}", "Connect it again") from None
