"""The ways to a consent that end in this terminal: loopback, a pasted address, a device code; and the app's own token."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aura_cli.errors import AuraError, UnreachableError, UsageError

if TYPE_CHECKING:
    from aura_cli.integrations.connect_commands import Errand
    from aura_cli.integrations.connecting import Connected, Gained
    from aura_cli.integrations.consent import Consent, Parameters
    from aura_cli.integrations.landing import Arrival
    from aura_cli.integrations.oauth import Client
    from aura_cli.integrations.provider import OAuth
    from aura_cli.integrations.redirects import Loopback

SECONDS = 300.0
_PASTES = 3
_SLOWER = 5.0  # seconds: RFC 8628, 3.5


def by_loopback(errand: Errand) -> Connected:
    """Wait on this machine for the consent's answer; the browser gets its page when all is done."""
    from aura_cli.integrations import pages
    from aura_cli.integrations.consent import Consent, belongs, digest
    from aura_cli.integrations.landing import landing

    oauth, name, seconds = _oauth(errand), errand.wish.provider.name, errand.asked.timeout or SECONDS
    with landing(_loopback(errand)) as place:
        consent = Consent.begin(oauth, place.address.uri)
        state = digest(consent.state)
        place.belongs = lambda found: belongs(found, state)
        _send_out(errand, _url(errand, consent), place.address)
        arrival = place.wait(seconds)
        if arrival is None:
            raise UnreachableError(f"Nobody consented at {name} within {seconds:,.0f} seconds", "Run it again; --timeout waits longer")
        try:
            connected = _finish(errand, consent, arrival.found)
        except AuraError as error:
            _show_failure(errand, arrival, error)
            raise
        arrival.show(pages.connected(name, connected.label, errand.whose, "All is done here. The terminal says what comes next."))
        return connected


def by_paste(errand: Errand) -> Connected:
    """Have the address pasted on which a browser, wherever it is, ended."""
    from aura_cli.integrations.consent import Consent, digest, pasted

    console = errand.runtime.console
    consent = Consent.begin(_oauth(errand), redirect_uri(errand) or "")
    console.say(f"Open this in any browser, and sign in to {errand.wish.provider.name}:")
    console.show(_url(errand, consent))
    console.say(f"It ends on a page that may not load. Copy its whole address: it begins with {consent.redirect_uri}?")
    for tries_left in reversed(range(_PASTES)):
        try:
            found = pasted(console.read_secret("That address (hidden)"), consent.redirect_uri, digest(consent.state))
            break
        except UsageError as error:
            if not (tries_left and console.is_attended):
                raise
            console.warn(f"{error.message}. {error.hint}")
    return _finish(errand, consent, found)


def by_device(errand: Errand) -> Connected:
    """Show a code that is typed on any device, and ask until it was, as often as the provider allows (RFC 8628, 3.4 and 3.5)."""
    from aura_cli.integrations.connecting import by_consent, values
    from aura_cli.integrations.consent import Denied
    from aura_cli.integrations.failures import Refused
    from aura_cli.integrations.oauth import poll_device, start_device

    means, wish, console = errand.means, errand.wish, errand.runtime.console
    name, filled = wish.provider.name, values(means, wish)
    device = start_device(means.wire, wish.provider, _client(errand), scopes=wish.asks_for, values=filled)
    console.say("On any device open")
    console.show(f"  {device.complete or device.address}")
    console.say(f"and {'see that it shows' if device.complete else 'type'} the code {device.user_code}. Waiting; Ctrl-C stops it.")
    interval, until = float(device.interval), time.monotonic() + min(device.expires_in, errand.asked.timeout or device.expires_in)
    while time.monotonic() < until:
        time.sleep(interval)
        try:
            grant = poll_device(means.wire, wish.provider, _client(errand), device=device, values=filled)
        except UnreachableError:
            interval *= 2
            continue
        except Refused as refused:
            if refused.error == "slow_down":
                interval += _SLOWER
                continue
            if refused.error in ("access_denied", "authorization_declined"):
                raise Denied(f"Not allowed at {name}", "Nothing was stored. Run it again once they agree") from None
            if refused.error == "expired_token":
                break
            raise
        if grant:
            return _keep(errand, by_consent(means, wish, grant))
    raise UnreachableError(f"Nobody typed the code of {name} in time", "Run it again: it gives a new code")


def by_own_token(errand: Errand) -> Connected:
    """The app asks for itself; nobody consents."""
    from aura_cli.integrations.connecting import by_consent, values
    from aura_cli.integrations.oauth import own_token

    means, wish = errand.means, errand.wish
    grant = own_token(means.wire, wish.provider, _client(errand), scopes=wish.asks_for, values=values(means, wish))
    return _keep(errand, by_consent(means, wish, grant))


def redirect_uri(errand: Errand) -> str | None:
    """Where the consent will come back to; None where there is none. Raises ConfigurationError where no public address is set."""
    from aura_cli.integrations.redirects import public, public_base
    from aura_cli.integrations.ways import Way

    settings, oauth = errand.runtime.settings, errand.wish.provider.oauth
    if errand.way not in (Way.LOOPBACK, Way.PASTE, Way.LINK) or not oauth or not oauth.redirect:
        return None
    if errand.way is Way.LINK or oauth.redirect.rule == "https_only":
        known = errand.asked.public_url or settings.get("AURA_PUBLIC_URL") or settings.get("NEXT_PUBLIC_APP_URL")
        return public(public_base(known), errand.wish.provider)
    return _loopback(errand).uri


def _loopback(errand: Errand) -> Loopback:
    """A pasted address needs no free port, and should lead to one where nobody listens."""
    from aura_cli.integrations.redirects import PORT, loopback
    from aura_cli.integrations.ways import Way

    oauth = _oauth(errand)
    assert oauth.redirect
    found = loopback(oauth.redirect, errand.asked.port)
    return found if found.port or errand.way is not Way.PASTE else replace(found, port=PORT)


def _oauth(errand: Errand) -> OAuth:
    assert errand.wish.provider.oauth
    return errand.wish.provider.oauth


def _client(errand: Errand) -> Client:
    assert errand.means.client
    return errand.means.client


def _url(errand: Errand, consent: Consent) -> str:
    from aura_cli.integrations.connecting import consent_url

    return consent_url(errand.means, errand.wish, consent)


def _finish(errand: Errand, consent: Consent, found: Parameters) -> Connected:
    """From the parameters of the right answer to a stored connection."""
    from aura_cli.integrations.connecting import redeem

    return _keep(errand, redeem(errand.means, errand.wish, consent, found))


def _keep(errand: Errand, gained: Gained) -> Connected:
    from aura_cli.integrations.connect_commands import keep

    return keep(errand, gained)


def _send_out(errand: Errand, url: str, address: Loopback) -> None:
    """Print the address first; then try a browser, where there may be one."""
    from aura_cli.integrations.browser import Screen, opened
    from aura_cli.settings import foreign_environment, screen

    console, here = errand.runtime.console, Screen(screen())
    console.say(f"Sign in to {errand.wish.provider.name} here, and allow it:")
    console.show(url)
    why_not = "you said so" if errand.asked.browser is False else None if errand.asked.browser else here.why_not()
    command = None if why_not else here.launcher()
    if command and opened(command, url, foreign_environment()):
        console.say("A browser was opened. Waiting; Ctrl-C stops it.")
        return
    reason = why_not or ("none could be started" if command else "none is installed")
    console.say(f"No browser was opened: {reason}. In one on another machine, after this there:")
    forwards = " ".join(f"-L {port}:127.0.0.1:{port}" for port in _ports_here(address, url))
    console.show(f"  ssh -N {forwards} {here.reached_as()}")
    console.say("or use --paste. Waiting; Ctrl-C stops it.")


def _ports_here(address: Loopback, url: str) -> list[int]:
    """What a browser elsewhere has to reach on this machine: where the answer lands, and a stand-in's page of consent."""
    from urllib.parse import urlsplit

    from aura_cli.settings import leads_here

    consents = urlsplit(url).port if leads_here(url) else None
    return [address.port, *([consents] if consents else [])]


def _show_failure(errand: Errand, arrival: Arrival, error: AuraError) -> None:
    from aura_cli.integrations import pages
    from aura_cli.integrations.consent import Denied

    name, again = errand.wish.provider.name, "The terminal says what can be done."
    reason = errand.runtime.console.redact(error.message)
    arrival.show(pages.denied(name, again) if isinstance(error, Denied) else pages.failed(name, f"{reason}.", again))
