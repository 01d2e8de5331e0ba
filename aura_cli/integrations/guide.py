"""What a person needs to know of one provider: what to register where, which settings to set, what is asked for, what surprises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aura_cli.console import described
from aura_cli.integrations import redirects
from aura_cli.integrations.provider import Field, Provider, Refresh
from aura_cli.integrations.ways import MEANS, Way, ways

_PERIODS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class RedirectAddress:
    """An address to register with the provider's app, and the way to connect that comes back to it."""

    uri: str
    way: Way


@dataclass(frozen=True)
class Needed:
    """A setting, and whether it is set."""

    name: str
    purpose: str
    is_set: bool


@dataclass(frozen=True)
class Asked:
    """One thing that `connect` asks for. `choices` are the names to choose from."""

    name: str
    label: str
    secret: bool
    required: bool
    default: str | None
    pattern: str | None
    choices: tuple[str, ...]
    hint: str | None
    setting: str | None
    by_hand: bool  # only where credentials are given by hand


@dataclass(frozen=True)
class Note:
    """Something that surprises, and who says so."""

    note: str
    source: str | None


@dataclass(frozen=True)
class Guide:
    """A provider as `aura integrations providers PROVIDER` shows it. `row`: the web app's value, which `shares_row_with` use too."""

    id: str
    name: str
    category: str
    row: str
    shares_row_with: tuple[str, ...]
    ways: tuple[Way, ...]
    register: str | None
    redirects: tuple[RedirectAddress, ...]
    redirect_note: str | None
    settings: tuple[Needed, ...]
    fields: tuple[Asked, ...]
    credentials_from: str | None
    scopes: tuple[str, ...]
    refresh: str
    revocable: bool
    setup: tuple[str, ...]
    traps: tuple[Note, ...]
    confidence: str
    looked_up: str | None
    sources: tuple[str, ...]


def guide(provider: Provider, sharing: tuple[str, ...], is_set: Callable[[str], bool], public: str | None) -> Guide:
    """All of it; `is_set` says of a setting whether it is, `public` is the listener's public address where one is known."""
    oauth, hand = provider.oauth, provider.credentials
    return Guide(
        id=provider.id,
        name=provider.name,
        category=provider.category,
        row=provider.provider,
        shares_row_with=sharing,
        ways=ways(provider),
        register=provider.client.register if provider.client else None,
        redirects=tuple(_redirects(provider, public)),
        redirect_note=oauth.redirect.note if oauth and oauth.redirect else None,
        settings=tuple(_settings(provider, is_set)),
        fields=(
            *(_asked(name, field, by_hand=False) for name, field in provider.fields.items()),
            *(_asked(name, field, by_hand=True) for name, field in (hand.fields if hand else {}).items()),
        ),
        credentials_from=hand.where if hand else None,
        scopes=tuple(oauth.scopes) if oauth else (),
        refresh=_refresh(oauth.refresh) if oauth else "nothing to refresh",
        revocable=bool((oauth and oauth.revoke) or (hand and hand.revoke)),
        setup=tuple(provider.setup),
        traps=tuple(Note(trap.note, trap.source) for trap in provider.traps),
        confidence=provider.confidence,
        looked_up=provider.looked_up,
        sources=tuple(provider.sources),
    )


def lines(guide: Guide) -> Iterator[str]:
    """The same for a person, in the order in which it is needed."""
    yield f"{guide.name} ({guide.id}), {guide.category}"
    yield ""
    yield from _listed("Connects by", (MEANS[way] for way in guide.ways))
    yield from _listed("Register your app at", [guide.register] if guide.register else ())
    yield from _listed("with this redirect address", (_spelt(address) for address in guide.redirects))
    if guide.redirects and guide.redirect_note:
        yield f"  ({guide.redirect_note})"
    yield from _listed("Settings", (f"{one.name}: {one.purpose}; {'set' if one.is_set else 'NOT SET'}" for one in guide.settings))
    yield from _listed("Asks for", (_field(one) for one in guide.fields))
    if guide.credentials_from:
        yield f"  found at {guide.credentials_from}"
    yield from _listed("Before you connect", (f"{number}. {step}" for number, step in enumerate(guide.setup, 1)))
    yield from _listed("Scopes", [" ".join(guide.scopes)] if guide.scopes else ())  # which those steps call the scopes below
    yield from _listed("Watch out", (f"{trap.note}{f' ({trap.source})' if trap.source else ''}" for trap in guide.traps))
    shared = f"{guide.row}, with {', '.join(guide.shares_row_with)}" if guide.shares_row_with else guide.row
    facts = {"refresh": guide.refresh, "revocable": guide.revocable, "row": shared, "looked up": guide.looked_up}
    yield from _listed("Good to know", described(facts))
    yield from _listed("Sources", guide.sources)


def _listed(title: str, entries: Iterator[str] | list[str] | tuple[str, ...]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        if not number:
            yield title
        yield f"  {entry}"


def _spelt(address: RedirectAddress) -> str:
    return address.uri if address.way is not Way.LINK else f"{address.uri}  (--link)"


def _redirects(provider: Provider, public: str | None) -> Iterator[RedirectAddress]:
    known = ways(provider)
    if Way.LOOPBACK in known and provider.oauth and provider.oauth.redirect:
        yield RedirectAddress(redirects.loopback(provider.oauth.redirect).uri, Way.LOOPBACK)
    if Way.LINK in known:
        yield RedirectAddress(redirects.public(public or "https://YOUR-LISTENER", provider), Way.LINK)


def _settings(provider: Provider, is_set: Callable[[str], bool]) -> Iterator[Needed]:
    if provider.client and provider.oauth:
        yield Needed(provider.client.id, "the app's id", is_set(provider.client.id))
        if provider.client.secret:
            yield Needed(provider.client.secret, "the app's secret", is_set(provider.client.secret))
    for field in (*provider.fields.values(), *(provider.credentials.fields.values() if provider.credentials else ())):
        if field.env:
            yield Needed(field.env, field.label, is_set(field.env))


def _asked(name: str, field: Field, *, by_hand: bool) -> Asked:
    hint, setting = field.hint, field.env
    return Asked(
        name, field.label, field.secret, field.required, field.default, field.pattern, tuple(field.choices), hint, setting, by_hand
    )


def _field(one: Asked) -> str:
    facts = [
        "secret" * one.secret,
        "optional" * (not one.required),
        f"one of {', '.join(one.choices)}" if one.choices else "",
        f"usually {one.default}" if one.default else "",
        "with --credentials" if one.by_hand and not one.secret else "",
        one.hint or "",
    ]
    told = "; ".join(filter(None, facts))
    return f"{one.name}: {one.label}{f' ({told})' if told else ''}"


def _refresh(refresh: Refresh) -> str:
    """A sentence about what becomes of tokens."""
    if refresh.mode == "never":
        return "tokens are not refreshed" + (f"; they live {_period(refresh.access_lifetime)}" if refresh.access_lifetime else "")
    facts = [
        "refreshed" if refresh.mode == "always" else "refreshed where the answer holds a refresh token",
        f"access tokens live {_period(refresh.access_lifetime)}" if refresh.access_lifetime else "",
        "the refresh token changes each time" if refresh.rotating else "",
        f"refresh tokens live {_period(refresh.refresh_lifetime)}" if refresh.refresh_lifetime else "",
        f"they die when unused for {_period(refresh.idle_lifetime)}" if refresh.idle_lifetime else "",
        refresh.note or "",
    ]
    return "; ".join(filter(None, facts))


def _period(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _PERIODS if not seconds % size or size == 1)
    return f"{seconds // size} {unit}{'s' * (seconds != size)}"
