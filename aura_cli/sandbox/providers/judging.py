"""Requests that a provider's file spells out: whose credentials they bear, and what the provider says to them."""

from collections.abc import Mapping
from typing import Any

from aura_cli.integrations.checking import requests
from aura_cli.integrations.provider import ACCESS, REFRESH, Field, Login, Provider, Verify
from aura_cli.sandbox.providers.addresses import fields_of
from aura_cli.sandbox.providers.consents import ACCOUNT
from aura_cli.sandbox.providers.documents import document, done, good, verify_answer
from aura_cli.sandbox.providers.matching import Seen, merged, read
from aura_cli.sandbox.providers.samples import credentials
from aura_cli.sandbox.providers.state import Consent, ProvidersState
from aura_cli.sandbox.providers.tokens import HOUR, client, consented, kept_value


class Refusal(Exception):
    """The credentials are no good."""


def judged(state: ProvidersState, provider: Provider, key: str, seen: Seen, values: Mapping[str, str], base: str) -> Any:
    """The answer to the request of the file's that has this dotted `key`; `values`: what stands in its path.

    Raises Mismatch where it is not as the file says, Refusal for credentials that the stand-in did not give.
    """
    request = dict(requests(provider))[key]
    if request.method != seen.method:
        raise Refusal(f"it is asked with {request.method}")
    fields = {name: field for _, some in fields_of(provider) for name, field in some.items()}
    optional = frozenset(name for name, field in fields.items() if not field.required)
    found = merged([values, read(request, seen, optional)])
    samples = credentials(provider, base)
    if isinstance(request, Login):
        _check_typed(fields, found, samples)
    consent = _bearer(state, provider, fields, found, samples, ending=key.endswith("revoke"))
    match request:
        case Login():
            session = consented(state, provider, ACCOUNT, ())
            lifetime = request.lifetime or HOUR
            kept = [(path, _session(state, session, name, lifetime)) for name, path in request.kept.items()]
            extra = [(request.expires_in, lifetime)] if request.expires_in else []
            return document([*good(request.ok, found), *kept, *extra])
        case Verify():
            of_account = {path: kept_value(provider, name, base) for name, path in request.kept.items()}
            account, scopes = (consent.account, consent.scopes) if consent else (ACCOUNT, provider.oauth.scopes if provider.oauth else ())
            return verify_answer(provider, request, account, scopes, of_account, {**samples, **found})
    if consent:
        state.end(consent, "revoked")
    return done(request, {**samples, **found})


def _session(state: ProvidersState, session: Consent, name: str, lifetime: int) -> str:
    return state.issue(session, refresh=name == REFRESH, lifetime=lifetime)


def _bearer(
    state: ProvidersState,
    provider: Provider,
    fields: Mapping[str, Field],
    found: Mapping[str, str],
    samples: Mapping[str, str],
    *,
    ending: bool,
) -> Consent | None:
    """Whose token stands in a request; None: credentials that a person types. Raises Refusal where any is wrong.

    `ending`: the request revokes, for which a token may have run out.
    """
    client_id, client_secret = client(state, provider)
    consent: Consent | None = None
    for name, text in found.items():
        if name in (ACCESS, REFRESH) and (token := (state.known if ending else state.token)(text, provider.provider)):
            consent = token.consent
        elif name in fields or name in (ACCESS, REFRESH):
            if not _is_good(name, text, fields, samples) and text not in _applications(name, client_id, client_secret):
                raise Refusal(f"{name} is none that the sandbox gave")
        elif name in ("client_id", "client_secret") and text not in _applications(name, client_id, client_secret):
            raise Refusal(f"{name} is not the application's")
    return consent


def _check_typed(fields: Mapping[str, Field], found: Mapping[str, str], samples: Mapping[str, str]) -> None:
    """Raise Refusal where what opens a session is not what a person types, but tokens or an application's own."""
    if wrong := [name for name, text in found.items() if name in fields and not _is_good(name, text, fields, samples)]:
        raise Refusal(f"{wrong[0]} is none that the sandbox gave")


def _applications(name: str, client_id: str, client_secret: str) -> tuple[str, ...]:
    """The registered application's own, for requests that bear it."""
    return {"client_id": (client_id,), "client_secret": (client_secret,)}.get(name, ())


def _is_good(name: str, text: str, fields: Mapping[str, Field], samples: Mapping[str, str]) -> bool:
    """Whether `text` may stand for a field: only its sample where it is secret. For a place, the sample of the field that is kept there."""
    if field := fields.get(name):
        return not field.secret or text == samples[name] or (not field.required and not text)
    return any(text == samples[one] for one, other in fields.items() if other.stored == name)
