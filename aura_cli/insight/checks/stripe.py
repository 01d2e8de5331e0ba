"""Stripe: the key and its account, the mode against the environment, and the endpoint that events come to, with the shapes they have."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from shlex import quote
from urllib.parse import urlsplit

import httpx

from aura_cli.analytics.collecting import is_configured
from aura_cli.db.binding import bound
from aura_cli.db.engine import reading
from aura_cli.errors import AuraError, ConfigurationError
from aura_cli.insight.finding import SETTINGS_FIRST, Finding, System, absent, fail, ok, warn
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, Unseen, timed
from aura_cli.settings import Environment, Settings
from aura_cli.subscriptions.billing_owner import Owner, reigns
from aura_cli.subscriptions.stripe import API_VERSION, account, service
from aura_cli.transport import Service
from aura_cli.webhooks.endpoints import Endpoint, registered
from aura_cli.webhooks.events import handled

KEYS = PAGES[System.STRIPE].keys
PATH = "/api/webhooks/stripe"  # the web app's, and ours
ADDRESSES = ("AURA_PUBLIC_URL", "NEXT_PUBLIC_APP_URL")  # the listener's, and the web app's
BASIL = "2025-03-31"  # from then on periods stand on the items, and an invoice's subscription under its parent
_VERSION, _ENABLED = "Stripe-Version", "enabled"


def check(about: Surroundings) -> Iterator[Finding]:
    """Ask for the account and the endpoints. Raises as `Service.get` does, ConfigurationError for a key that is none."""
    settings = about.settings
    if settings.stripe_mode is None:
        yield absent("key", "STRIPE_SECRET_KEY", KEYS)
        return
    configured = service(settings)
    if wrong := _wrong_mode(settings):
        yield fail("mode", wrong, KEYS)
    owner, version, latency = _account(about, configured)
    yield ok("account", f"account {owner}, {settings.stripe_mode} mode", latency)
    yield _versions(version)
    with about.asked(configured) as stripe:
        try:
            endpoints = list(registered(stripe, handled(counts=is_configured(settings))))
        except ConfigurationError as error:  # a restricted key may be good for everything else
            yield warn("endpoint", error.message, KEYS)
        else:
            yield from _endpoints(about, endpoints)
            yield from _two_owners(about, endpoints)
    yield from _bound(about, owner)


def _account(about: Surroundings, configured: Service) -> tuple[str, str, int]:
    """The account's id, the API version that it is pinned to, and how long the answer took.

    A request that names no version is answered in the account's own, and says which (https://docs.stripe.com/api/versioning).
    """
    pinned: list[str] = []
    asked = about.asked(replace(configured, headers={name: text for name, text in configured.headers.items() if name != _VERSION}))

    def observe(answer: httpx.Response) -> None:
        asked.observe(answer)
        pinned.append(answer.headers.get(_VERSION, ""))

    with replace(asked, observe=observe) as stripe:
        owner, latency = timed(lambda: account(stripe))
    return owner, pinned[-1], latency


def _wrong_mode(settings: Settings) -> str | None:
    environment, mode = settings.environment, settings.stripe_mode
    if environment == Environment.PRODUCTION and mode == "test":
        return "AURA_ENV is production, and the key is a test one"
    if environment in (Environment.DEVELOPMENT, Environment.STAGING) and mode == "live":
        return f"AURA_ENV is {environment}, and the key is live: it moves real money"
    return None


def _versions(account_version: str) -> Finding:
    if account_version[:10] > API_VERSION[:10]:
        return warn("version", f"the account's API version {account_version} is newer than ours, {API_VERSION}: update aura")
    if account_version == API_VERSION:
        return ok("version", f"API version {API_VERSION}, as ours")
    return ok("version", f"API version of the account {account_version or 'unknown'}, ours {API_VERSION}")


def _endpoints(about: Surroundings, endpoints: Sequence[Endpoint]) -> Iterator[Finding]:
    """One endpoint of ours that gets everything is enough; others may be old ones, or somebody else's.

    Ours are those with our path, at the address of the web app or the listener where one of them is there.
    """
    ours = [one for one in endpoints if urlsplit(one.url).path.endswith(PATH)]
    listener, app = (urlsplit(about.settings.get(name) or "").netloc for name in ADDRESSES)
    here = [one for one in ours if urlsplit(one.url).netloc in {listener, app} - {""}]
    judged = sorted(here, key=lambda one: urlsplit(one.url).netloc != listener) or ours  # what is to be mended is the listener's first
    enabled = [one for one in judged if one.status == _ENABLED]
    whole = [one for one in enabled if _is_whole(one)]
    if not ours:
        yield _none_of_ours(about.settings, [one.url for one in endpoints if one.status == _ENABLED])
    elif whole:
        yield ok("endpoint", f"events go to {whole[0].url} in {whole[0].api_version or 'that of the account'}")
        yield from filter(None, map(_old_shape, whole))
    elif (others := [one for one in ours if _is_whole(one)]) and not _belong(about, here, listener):
        what = f"events go to {others[0].url}, and not to {here[0].url}: AURA_PUBLIC_URL has to say whether that is ours"
        yield warn("endpoint", what, "aura webhooks endpoints list")
    elif enabled:
        yield fail("endpoint", f"{enabled[0].url}: {enabled[0].events} of the events that are handled", _enable(enabled[0]))
    else:
        yield fail("endpoint", f"{judged[0].url} is {judged[0].status}: Stripe sends nothing there", _enable(judged[0]))


def _is_whole(endpoint: Endpoint) -> bool:
    return endpoint.status == _ENABLED and "missing" not in endpoint.events


def _none_of_ours(settings: Settings, heard: Sequence[str]) -> Finding:
    """`heard`: where events go instead; somebody may pass them on from there."""
    base = next(filter(None, map(settings.get, ADDRESSES)), "https://HOST")
    create = f"aura webhooks endpoints create {quote(base + PATH)}"
    if heard:
        return warn("endpoint", f"no endpoint of ours, {PATH}; events go to {', '.join(heard[:3])}", create)
    if settings.stripe_mode == "live":
        return fail("endpoint", "Stripe has no webhook endpoint", create)
    return absent("endpoint", "a webhook endpoint", create)


def _belong(about: Surroundings, here: Sequence[Endpoint], listener: str) -> bool:
    """Are these sure to be meant to get events? The web app's are not where aura grants: it is to hear of nothing."""
    return any(urlsplit(one.url).netloc == listener for one in here) or _reigning(about) is Owner.WEB


def _reigning(about: Surroundings) -> Owner | None:
    """Who grants balances; None where the database does not say."""
    with suppress(Unseen), reading(about.database.ready()) as connection:
        return reigns(connection).since[-1][1]
    return None


def _enable(endpoint: Endpoint) -> str:
    return f"aura webhooks endpoints enable {endpoint.id}"


def _old_shape(endpoint: Endpoint) -> Finding | None:
    version = endpoint.api_version or ""  # none: the account's
    if version[:10] > API_VERSION[:10]:
        return warn("endpoint", f"{endpoint.url} gets API version {version}, newer than ours, {API_VERSION}: update aura")
    if version and version < BASIL:
        return warn("endpoint", f"{endpoint.url} gets API version {version}, the shape of before {BASIL}", "aura webhooks endpoints list")
    return None


def _two_owners(about: Surroundings, endpoints: Sequence[Endpoint]) -> Iterator[Finding]:
    """While aura grants balances, the web app must not hear of payments: it would grant them too."""
    app = urlsplit(about.settings.get("NEXT_PUBLIC_APP_URL") or "").netloc
    hearing = [one for one in endpoints if one.status == _ENABLED and urlsplit(one.url).path == PATH]
    theirs = [one for one in hearing if urlsplit(one.url).netloc == app]
    if not theirs or len(theirs) == len(hearing):
        return
    if _reigning(about) is Owner.AURA:
        what = f"balances are granted here, and the web app still gets events at {theirs[0].url}: it grants them again"
        yield fail("owner", what, f"aura webhooks endpoints disable {theirs[0].id}")


def _bound(about: Surroundings, owner: str) -> Iterator[Finding]:
    with suppress(Unseen, AuraError), reading(about.database.ready()) as connection:
        known = bound(connection)
        if known and known.stripe_account not in (None, owner):
            what = f"the key is of {owner}, and this database belongs to {known.stripe_account}; {SETTINGS_FIRST}"
            yield fail("binding", what, "aura env show")
