"""The consent page of every provider, and the page where a device's code is typed."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aura_cli.integrations.provider import OAuth, Provider, Redirect
from aura_cli.sandbox.providers.matching import Mismatch, Seen, values_in
from aura_cli.sandbox.providers.state import ProvidersState
from aura_cli.sandbox.providers.tokens import client, consented, kept_value

ACCOUNT = "ada"  # who is signed in at every provider, unless the page's form says otherwise
_RESPONSE = {"response_type": "code"}


class Unsafe(Exception):
    """A request for consent that must not be answered by sending a browser anywhere (RFC 6749, 4.1.2.1)."""


def check(state: ProvidersState, provider: Provider, oauth: OAuth, query: Mapping[str, str]) -> str | None:
    """What is wrong with a request for consent, to be told to the client; None: nothing. Raises Unsafe."""
    client_id, _ = client(state, provider)
    if query.get("client_id") != client_id:
        raise Unsafe(f"client_id is {query.get('client_id')!r}, registered is {client_id!r}")
    if fault := redirect_fault(oauth.redirect, query.get("redirect_uri", "")):
        raise Unsafe(fault)
    if oauth.pkce == "required" and not query.get("code_challenge"):
        return "code_challenge is missing"
    if query.get("code_challenge") and query.get("code_challenge_method") != "S256":
        return "code_challenge_method is not S256"
    if len(query.get("state", "")) < 16:
        return "state has less than 16 characters"
    for name, template in {**_RESPONSE, **oauth.authorize_params}.items():
        try:
            values_in(template, query.get(name))
        except Mismatch:
            return f"{name} is missing"
    return None


def redirect_fault(redirect: Redirect | None, uri: str) -> str | None:
    """Why a provider with this rule does not send browsers to `uri`; None where it does."""
    parts = urlsplit(uri)
    if not redirect or not parts.hostname or parts.fragment:
        return f"{uri!r} is no redirect address"
    if parts.scheme == "https":
        return None
    if redirect.rule == "https_only" or parts.scheme != "http":
        return "redirect_uri is not https"
    for what, wanted, given in (
        ("host", redirect.host, parts.hostname),
        ("port", redirect.port or parts.port, parts.port),
        ("path", redirect.path or parts.path, parts.path),
    ):
        if wanted != given:
            return f"redirect_uri: its {what} is {given!r}, registered is {wanted!r}"
    return None


def answered(
    state: ProvidersState, provider: Provider, oauth: OAuth, query: Mapping[str, str], form: Mapping[str, str], base: str
) -> Iterator[tuple[str, str]]:
    """What the browser takes back to the client: a code, or that the person said no. `form`: the page's."""
    if form.get("decision") == "allow":
        scopes = tuple(query.get(oauth.scope_param, "").split(oauth.scope_separator))
        consent = consented(state, provider, form.get("account") or ACCOUNT, scopes)
        yield "code", state.code_for(consent, query["redirect_uri"], query.get("code_challenge"))
        for name, parameter in oauth.callback.items():
            yield parameter, kept_value(provider, name, base)
    else:
        yield "error", "access_denied"
        yield "error_description", "The person said no"


def back(uri: str, *pairs: tuple[str, str]) -> str:
    """`uri` with more parameters, those without a value left out."""
    parts = urlsplit(uri)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *((name, value) for name, value in pairs if value)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def begun(state: ProvidersState, provider: Provider, oauth: OAuth, seen: Seen, base: str) -> dict[str, object]:
    """The answer to a device that begins (RFC 8628, 3.2). Raises Mismatch."""
    form = seen.content(oauth.token_body)
    if form.get("client_id") != client(state, provider)[0]:
        raise Mismatch("client_id is not the registered one")
    code, device = state.device(provider.id, tuple(str(form.get(oauth.scope_param, "")).split(oauth.scope_separator)))
    page = f"{base}/_sandbox/device"
    return {
        "device_code": code,
        "user_code": device.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={device.user_code}",
        "expires_in": int(device.expires_at - state.clock()),
        "interval": int(device.interval),
    }
