"""The token address of every provider: who asks, by which grant, and the answer in that provider's shape."""

from collections.abc import Mapping
from typing import Any

from aura_cli.integrations.provider import ACCESS, Kind, OAuth, Provider
from aura_cli.sandbox.providers.addresses import bases
from aura_cli.sandbox.providers.documents import token_answer
from aura_cli.sandbox.providers.matching import Mismatch, Seen, values_in
from aura_cli.sandbox.providers.state import Consent, OAuthError, ProvidersState

HOUR = 3600
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def kind_of(seen: Seen, oauth: OAuth) -> str:
    """`refresh` or `token`, as the journal and mishaps call it."""
    try:
        given = seen.content(oauth.token_body)
    except Mismatch:
        return "token"
    return "refresh" if isinstance(given, dict) and given.get("grant_type") == "refresh_token" else "token"


def answer(state: ProvidersState, provider: Provider, seen: Seen, base: str) -> dict[str, Any]:
    """The token answer to a request. Raises OAuthError, Mismatch."""
    oauth = provider.oauth
    assert oauth, f"{provider.id} has no token address"
    asked = seen.content(oauth.token_body)
    if not isinstance(asked, dict):
        raise OAuthError("invalid_request", "the body is no object")
    grant, device = str(asked.get("grant_type", "")), asked.get("grant_type") == DEVICE_CODE
    client_id = authenticated(state, provider, seen, asked, public=device)
    _require("a header", {name.lower(): text for name, text in oauth.token_headers.items()}, seen.headers)
    _require("a parameter", oauth.refresh.params if grant == "refresh_token" else oauth.token_params, asked)
    if grant == "refresh_token":
        return _renewed(state, provider, oauth, asked, client_id, base)
    return _first(state, oauth, provider, _consent(state, provider, oauth, asked, client_id), base)


def authenticated(state: ProvidersState, provider: Provider, seen: Seen, asked: Mapping[str, Any], *, public: bool = False) -> str:
    """The client that asks, in exactly the way that its file says; `public`: its id is enough. Raises OAuthError."""
    assert provider.oauth
    client_id, secret = client(state, provider)
    how = "none" if public and "client_secret" not in asked and seen.basic is None else provider.oauth.client_auth if secret else "none"
    given: Mapping[str, tuple[Any, Any]] = {
        "client_secret_post": (asked.get("client_id"), asked.get("client_secret")),
        "client_secret_basic": seen.basic or (None, None),
        "none": (asked.get("client_id"), asked.get("client_secret", "")),
    }
    if given[how] != (client_id, secret if how != "none" else "") or (how != "client_secret_basic" and seen.basic):
        raise OAuthError("invalid_client", f"the client does not say who it is by {how}", 401)
    return client_id


def client(state: ProvidersState, provider: Provider) -> tuple[str, str]:
    """Id and secret of the application that is registered with a provider; without a secret it is empty."""
    named = provider.client
    return (state.clients[named.id] if named else "", state.clients[named.secret] if named and named.secret else "")


def _require(what: str, wanted: Mapping[str, str], given: Mapping[str, Any]) -> None:
    for name, template in wanted.items():
        try:
            values_in(template, given.get(name))
        except Mismatch:
            raise OAuthError("invalid_request", f"{what} is missing: {name}") from None


def _consent(state: ProvidersState, provider: Provider, oauth: OAuth, asked: Mapping[str, Any], client_id: str) -> Consent:
    """What somebody agreed to, told by the grant that is shown. Raises OAuthError."""
    match asked.get("grant_type"):
        case "authorization_code":
            if oauth.pkce == "required" and not asked.get("code_verifier"):
                raise OAuthError("invalid_request", "code_verifier is missing")
            return state.redeem(str(asked.get("code")), provider.provider, client_id, asked.get("redirect_uri"), asked.get("code_verifier"))
        case grant if grant == DEVICE_CODE and oauth.device_url:
            device = state.poll(str(asked.get("device_code")), provider.id)
            return consented(state, provider, device.account, device.scopes)
        case "client_credentials" if provider.kind is Kind.CLIENT_CREDENTIALS:
            return consented(state, provider, "app", tuple(str(asked.get(oauth.scope_param, "")).split(oauth.scope_separator)))
    raise OAuthError("unsupported_grant_type", f"{provider.name} does not do {asked.get('grant_type')!r}")


def consented(state: ProvidersState, provider: Provider, account: str, scopes: tuple[str, ...]) -> Consent:
    """Remember what an account agreed to."""
    made = Consent(provider.id, provider.provider, client(state, provider)[0], account, tuple(filter(None, scopes)))
    state.consents.append(made)
    return made


def _first(state: ProvidersState, oauth: OAuth, provider: Provider, consent: Consent, base: str) -> dict[str, Any]:
    """The answer to a new consent: every token that the file names, and all that it keeps."""
    made: dict[str, str] = {}
    for place in oauth.answer.secrets:
        refresh = place == oauth.refresh.place and place != ACCESS
        if refresh and (oauth.refresh.mode == "never" or consent.account == "app"):
            continue
        made[place] = state.issue(consent, refresh=refresh, lifetime=oauth.refresh.refresh_lifetime if refresh else lifetime(oauth))
    return _answer(provider, oauth, made, consent, base)


def _renewed(
    state: ProvidersState, provider: Provider, oauth: OAuth, asked: Mapping[str, Any], client_id: str, base: str
) -> dict[str, Any]:
    """The answer to a refresh: a new access token and, where they rotate, a new refresh token; else none at all, as some do."""
    if oauth.refresh.mode == "never":
        raise OAuthError("unsupported_grant_type", f"{provider.name} refreshes nothing")
    if oauth.refresh.scope and not asked.get(oauth.scope_param):
        raise OAuthError("invalid_scope", "the scopes are missing")
    token = state.renew(str(asked.get("refresh_token")), provider.provider, client_id)
    made = {ACCESS: state.issue(token.consent, refresh=False, lifetime=lifetime(oauth))}
    if oauth.refresh.rotating:
        token.spent = True
        made[oauth.refresh.place] = state.issue(token.consent, refresh=True, lifetime=oauth.refresh.refresh_lifetime)
    return _answer(provider, oauth, made, token.consent, base)


def _answer(provider: Provider, oauth: OAuth, made: Mapping[str, str], consent: Consent, base: str) -> dict[str, Any]:
    kept: dict[str, Any] = {path: kept_value(provider, name, base) for name, path in oauth.answer.kept.items()}
    scope = (oauth.answer.scope_separator or oauth.scope_separator).join(consent.scopes)
    if oauth.answer.refresh_expires_in:
        kept[oauth.answer.refresh_expires_in] = oauth.refresh.refresh_lifetime or 30 * 24 * HOUR
    return token_answer(oauth.answer, made, kept, expires_in=lifetime(oauth), scope=scope or None)


def lifetime(oauth: OAuth) -> int | None:
    """How long an access token lasts, in seconds; None: it does not expire."""
    return oauth.refresh.access_lifetime or (None if oauth.refresh.mode == "never" else HOUR)


def kept_value(provider: Provider, name: str, base: str) -> str:
    """What an answer says of `name`, which rows keep; a whole address leads to the stand-in."""
    return f"{base}/{provider.id}/{name}" if name in bases(provider) else f"sandbox-{name.lower()}"
