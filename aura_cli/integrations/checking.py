"""What types cannot say of a provider file: placeholders declared, addresses safe, each kind with what it needs."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from aura_cli.integrations import template
from aura_cli.integrations.provider import ACCESS, REFRESH, Credentials, Field, Kind, OAuth, Provider, Request
from aura_cli.integrations.quirks import QUIRKS
from aura_cli.settings import is_loopback

PLACE = re.compile(rf"{ACCESS}|{REFRESH}|metadata\.\w+")
BY_CONSENT = frozenset({Kind.OAUTH2_CODE, Kind.DEVICE, Kind.CLIENT_CREDENTIALS})
_GRANTED = frozenset({ACCESS, REFRESH, "client_id", "client_secret", "redirect_uri"})

Faults = Iterator[tuple[str, str]]  # the key, and what is wrong with it


def faults(provider: Provider, *, loopback: bool) -> Faults:
    """What is wrong, each with the dotted key where it stands. `loopback`: http is allowed on this machine."""
    yield from _kind(provider)
    for prefix, fields in (("fields", provider.fields), ("credentials.fields", _given(provider.credentials))):
        for name, field in fields.items():
            yield from _field(f"{prefix}.{name}", name, field)
    if provider.oauth:
        yield from _oauth(provider.oauth)
    for key, request in requests(provider):
        yield from _address(provider, f"{key}.url", request.url, loopback=loopback)
    for key, url in addresses(provider.oauth) if provider.oauth else ():
        yield from _address(provider, key, url, loopback=loopback)
    yield from _placeholders(provider)
    for name in provider.quirks:
        if name not in QUIRKS:
            yield "quirks", f"there is no quirk {name!r}; there are {', '.join(QUIRKS)}"


def requests(provider: Provider) -> Iterator[tuple[str, Request]]:
    """Every request that a provider's file describes, with its key."""
    owners = ("", provider), ("oauth.", provider.oauth), ("credentials.", provider.credentials)
    for prefix, owner in owners:
        for name in ("verify", "login", "revoke"):
            request, key = getattr(owner, name, None), prefix + name
            while request is not None:
                yield key, request
                request, key = getattr(request, "instead", None), f"{key}.instead"


def addresses(oauth: OAuth) -> Iterator[tuple[str, str]]:
    """Every address of the OAuth endpoints, with its key."""
    for key, url in (
        ("oauth.authorize_url", oauth.authorize_url),
        ("oauth.token_url", oauth.token_url),
        ("oauth.device_url", oauth.device_url),
        ("oauth.refresh.url", oauth.refresh.url),
    ):
        if url:
            yield key, url


def declared(provider: Provider, *, by_hand: bool) -> set[str]:
    """The placeholders that have a value: once somebody connected, by credentials given by hand or by consent."""
    fields = {**provider.fields, **(_given(provider.credentials) if by_hand else {})}
    known = {*fields, *(name for field in fields.values() for choice in field.choices.values() for name in choice)}
    if by_hand:
        login = provider.credentials.login if provider.credentials else None
        return known | {ACCESS, REFRESH} | set(login.kept if login else ())
    if provider.oauth:
        known |= {*provider.oauth.answer.kept, *provider.oauth.callback, *_GRANTED}
    return known


def _given(credentials: Credentials | None) -> dict[str, Field]:
    return credentials.fields if credentials else {}


def _kind(provider: Provider) -> Faults:
    if provider.kind in BY_CONSENT:
        if not provider.oauth:
            yield "kind", f"{provider.kind} needs [oauth]"
        elif not provider.client:
            yield "kind", f"{provider.kind} needs [client]"
        elif provider.kind is Kind.OAUTH2_CODE and not (provider.oauth.authorize_url and provider.oauth.redirect):
            yield "oauth", "oauth2_code needs authorize_url and [oauth.redirect]"
        elif provider.kind is Kind.DEVICE and not provider.oauth.device_url:
            yield "oauth", "device needs device_url"
    elif not provider.credentials:
        yield "kind", f"{provider.kind} needs [credentials]"
    if provider.kind is Kind.SESSION_LOGIN and not (provider.credentials and provider.credentials.login):
        yield "credentials", "session_login needs [credentials.login]"


def _field(key: str, name: str, field: Field) -> Faults:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield key, "a field's name is lower case letters, digits and _"
    if field.stored and not PLACE.fullmatch(field.stored):
        yield f"{key}.stored", f"{field.stored!r} is no place: {ACCESS}, {REFRESH} or metadata.NAME"
    if field.secret and not field.stored:
        yield key, "a secret field says where it is stored"
    if field.default is not None and field.choices and field.default not in field.choices:
        yield f"{key}.default", f"{field.default!r} is none of its choices"
    if len({frozenset(choice) for choice in field.choices.values()}) > 1:
        yield f"{key}.choices", "every choice gives the same placeholders"
    if field.pattern is not None:
        try:
            fits = re.compile(field.pattern).fullmatch(field.default or "") or field.default is None
        except re.error as error:
            yield f"{key}.pattern", f"no regular expression: {error}"
        else:
            if not fits:
                yield f"{key}.default", "it does not match its own pattern"


def _oauth(oauth: OAuth) -> Faults:
    for place in oauth.answer.secrets:
        if not PLACE.fullmatch(place):
            yield "oauth.answer.secrets", f"{place!r} is no place: {ACCESS}, {REFRESH} or metadata.NAME"
    if oauth.refresh.mode != "never" and oauth.refresh.place not in oauth.answer.secrets:
        yield "oauth.refresh.place", f"no answer fills {oauth.refresh.place!r}"


def _address(provider: Provider, key: str, url: str, *, loopback: bool) -> Faults:
    """An address is https and its host is fixed but for fields whose patterns keep slashes, dots at the ends and such out."""
    if base := re.match(r"\{(\w+)\}", url):  # a whole address out of a field or an answer: its value is checked when it comes
        if base[1] not in declared(provider, by_hand=True) | declared(provider, by_hand=False):
            yield key, f"nothing declares {{{base[1]}}}"
        return
    parts = urlsplit(template.PLACEHOLDER.sub("x", url))
    local = is_loopback(parts.hostname)
    if parts.scheme != "https" and not (loopback and local and parts.scheme == "http"):
        yield key, f"{url!r} is not https" + (" (http is for 127.0.0.1 and localhost)" if loopback else "")
    if not parts.hostname or parts.username or parts.fragment:
        yield key, f"{url!r} is no plain address"
    fields = {**provider.fields, **_given(provider.credentials)}
    host = url.partition("://")[2].partition("/")[0]
    for name in template.names(host):
        if name in fields and not fields[name].pattern and not fields[name].choices:
            yield f"fields.{name}", f"it stands in the host of {key} and needs a pattern or choices"


def _placeholders(provider: Provider) -> Faults:
    by_hand, by_consent = declared(provider, by_hand=True), declared(provider, by_hand=False)
    for key, request in requests(provider):
        known = by_hand if key.startswith("credentials.") else by_consent if key.startswith("oauth.") else by_hand | by_consent
        for part in ("url", "headers", "query", "form", "json", "basic"):
            for name in template.names(getattr(request, part)):
                if name not in known:
                    yield f"{key}.{part}", f"nothing declares {{{name}}}"
    for key, url in addresses(provider.oauth) if provider.oauth else ():
        for name in template.names(url):
            if name not in by_consent:
                yield key, f"nothing declares {{{name}}}"
