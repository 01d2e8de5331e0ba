"""Whose credentials these are, said by the provider; and sessions, which some providers give for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aura_cli.integrations.answers import Grant, retry_after, scopes_in, seconds
from aura_cli.integrations.failures import Failure, Refused, code_of, failure_of, scrubbed, words
from aura_cli.integrations.provider import ACCESS, REFRESH, OAuth, Provider, Request, Verify
from aura_cli.integrations.quirks import quirks_of
from aura_cli.integrations.template import at, holds, names, preferring, spelt
from aura_cli.integrations.wire import Reply, Wire


@dataclass(frozen=True)
class Account:
    """An account at a provider. `id` never changes, `label` is what a person knows it by; None: the provider does not say.

    `kept` goes into the row's metadata.
    """

    id: str | None
    label: str | None
    scopes: tuple[str, ...] | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


def who_is_it(wire: Wire, provider: Provider, values: Mapping[str, str], *, by_hand: bool) -> Account:
    """Ask the provider whose `values` these are. `by_hand`: credentials that somebody typed.

    Raises Refused where they are no good, UnreachableError, ServiceError, ConfigurationError (Wire.send).
    """
    request = verification(provider, by_hand=by_hand)
    reply = wire.send(request, values, provider)
    while reply.status in (400, 403) and request.instead:
        request = request.instead
        reply = wire.send(request, values, provider)
    document = accepted(provider, request, reply, values)
    if first := request.prefer:
        document = preferring(document, first.of, first.by, first.word)
    account = Account(
        spelt([request.account] if request.account else [], document, values),
        spelt(request.label, document, values),
        scopes_in(at(document, request.scopes), provider.oauth or OAuth("")) if request.scopes else None,
        {name: found for name, path in request.kept.items() if (found := at(document, path)) not in (None, "")},
    )
    for quirk in quirks_of(provider):
        account = quirk.account(account, reply, values) if quirk.account else account
    return account


def verification(provider: Provider, *, by_hand: bool) -> Verify:
    """The request that says whose credentials these are."""
    return (provider.credentials.verify if by_hand and provider.credentials else None) or provider.verify


def log_in(wire: Wire, provider: Provider, values: Mapping[str, str]) -> Grant:
    """A session for credentials, as what a token answer would give. Raises as `who_is_it` does."""
    login = provider.credentials.login if provider.credentials else None
    assert login, f"{provider.id} gives no sessions"
    reply = wire.send(login, values, provider)
    document = accepted(provider, login, reply, values)
    found = {place_of(name): str(token) for name, path in login.kept.items() if (token := at(document, path)) not in (None, "")}
    if len(found) < len(login.kept):
        raise Refused(f"{provider.name} answered without a session", Failure.PROVIDER_DOWN, status=reply.status)
    said = seconds(at(document, login.expires_in)) if login.expires_in else None
    return Grant(found, said or login.lifetime, None, None, {})


def place_of(name: str) -> str:
    """Where a session's part is kept."""
    return name if name in (ACCESS, REFRESH) else f"metadata.{name}"


def accepted(provider: Provider, request: Request, reply: Reply, values: Mapping[str, str]) -> object:
    """The decoded answer where it holds what the request asks for. Raises Refused else."""
    document = reply.document
    if reply.succeeded and not (reply.is_page and document is None) and holds(request.ok, document, values):
        return document
    code = code_of(document, "error")
    page = reply.is_page and document is None
    failure = _fault(reply, code, page=page)
    secrets = _secrets(request, values)
    said = "a web page" if page else words(document, secrets)
    raise Refused(
        f"{provider.name} does not take these credentials: {' '.join(filter(None, (str(reply.status), said)))}"
        if failure is Failure.NEEDS_CONSENT
        else f"{provider.name} answered {' '.join(filter(None, (str(reply.status), said)))}",
        failure,
        status=reply.status,
        error=code and scrubbed(code, secrets)[:80],
        retry_after=retry_after(reply),
    )


def _fault(reply: Reply, code: str | None, *, page: bool) -> Failure:
    """Whose fault a refusal is. A page with 403 is a firewall's word, and GitHub's limits are told with 403, too:
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if reply.status == 403 and ("retry-after" in reply.headers or reply.headers.get("x-ratelimit-remaining") == "0"):
        return Failure.TRANSIENT
    if reply.status == 401:
        return Failure.NEEDS_CONSENT
    failure = failure_of(reply.status, code, page=page, credentials=True)
    lacking = reply.succeeded and reply.document is not None and failure is not Failure.TRANSIENT
    return Failure.NEEDS_CONSENT if lacking else failure  # an answer that lacks what it must hold is a refusal


def _secrets(request: Request, values: Mapping[str, str]) -> Iterable[str]:
    """What was sent, whichever of it is secret."""
    used = {
        name for part in (request.url, request.headers, request.query, request.form, request.json, request.basic) for name in names(part)
    }
    return [values[name] for name in used if name in values]
