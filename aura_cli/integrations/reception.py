"""What the public listener says under `/connect/`: a link's page, the way out to the provider, and the way back.

The way back must come in the browser that set out: the link's own token, in a cookie, is what tells it. Else somebody could have
another person consent to a connection of theirs.
"""

import hmac
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from urllib.parse import urlsplit

from sqlalchemy import Connection

from aura_cli.console import json_ready
from aura_cli.db.engine import reading, writing
from aura_cli.db.failures import translate
from aura_cli.errors import AuraError, ConflictError, ServiceError
from aura_cli.integrations import linking, pages
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.connecting import Connected, Means, consent_url, redeem
from aura_cli.integrations.consent import Consent, Denied, NotOurs, Parameters, digest, parameters
from aura_cli.integrations.linking import Link, Status
from aura_cli.integrations.oauth import client_of
from aura_cli.integrations.unstored import stored_or_kept
from aura_cli.settings import Settings

LOG = logging.getLogger("aura_cli.integrations")
COOKIE = "aura-connect-"
COOKIE_SECONDS = 1800
_SHORT = 12  # of a link's digest, in its cookie's name: several may be under way in one browser
_NEXT = "You can go back to where you came from: whoever sent you the link sees it, too."
_AGAIN = "Ask whoever sent the link for a new one."


@dataclass(frozen=True)
class Cookie:
    """What a browser keeps of the link from which it set out."""

    name: str
    value: str = field(repr=False)
    path: str
    secure: bool


@dataclass(frozen=True)
class Answer:
    """A page, or another address to go to."""

    page: pages.Page | None = None
    location: str | None = field(default=None, repr=False)
    cookie: Cookie | None = None


@dataclass(frozen=True)
class Reception:
    """Answers for every link of a database. `means`: what connecting works with, but for each provider's client."""

    means: Means
    catalogue: Catalogue
    settings: Settings

    def show(self, token: str, cookies: Mapping[str, str]) -> Answer:
        """A link's page: what it asks for, or what became of it."""
        with reading(self.means.engine) as connection:
            link = linking.find(connection, self.means.vault, self.catalogue, token)
        return Answer(_page(link, mine=bool(link) and cookies.get(_cookie_name(link.digest)) == token) if link else pages.NO_LINK)

    def set_out(self, token: str) -> Answer:
        """The provider's consent page, and the cookie by which the browser is known when it comes back."""
        with writing(self.means.engine) as connection:
            link = linking.find(connection, self.means.vault, self.catalogue, token)
            consent = linking.set_out(connection, self.means.vault, link) if link and link.is_good else None
            if not link or not consent:
                return Answer(_page(link, mine=False) if link else pages.NO_LINK)
            url = consent_url(self._means(link), link.wish, consent)
        base = urlsplit(_base(link))
        return Answer(location=url, cookie=Cookie(_cookie_name(link.digest), token, base.path, base.scheme == "https"))

    def come_back(self, provider: str, query: str, cookies: Mapping[str, str]) -> Answer:
        """A provider's answer. Only the one that a link waits for, in the browser that set out from it, changes anything."""
        try:
            found = parameters(query)
        except NotOurs:
            return Answer(pages.NOT_OURS)
        state = found.get("state", "")
        with reading(self.means.engine) as connection:
            link = linking.awaiting(connection, self.means.vault, self.catalogue, provider, state)
        if link is None:
            return Answer(pages.NOT_AWAITED)
        token = cookies.get(_cookie_name(link.digest), "")
        if not hmac.compare_digest(digest(token), link.digest):
            return Answer(pages.OTHER_BROWSER)
        with writing(self.means.engine) as connection:
            if not linking.take(connection, link, state):
                return Answer(pages.EXPIRED if link.seconds_left <= 0 else pages.NOT_AWAITED)
        self._finish(link, Consent(link.redirect_uri, link.verifier, state), found)
        return Answer(location=f"{_base(link)}/{token}")

    def _finish(self, link: Link, consent: Consent, found: Parameters) -> None:
        """Exchange the code and store the connection; the link ends in the same transaction, or with what went wrong."""
        try:
            means = self._means(link)
            gained = redeem(means, link.wish, consent, found)
            stored_or_kept(means, link.wish, gained, replaces=link.replaces, then=partial(_end, link))
        except Exception as error:
            told = error if isinstance(error, AuraError) else translate(error) or AuraError("Something failed here")
            LOG.warning("A link to connect %s ended: %s", link.wish.provider.id, told.message)
            public = isinstance(error, ServiceError | ConflictError) and error.__cause__ is None  # no word of how it is here
            result = {"kind": told.kind, "message": told.message, "hint": told.hint, "shown": told.message if public else None}
            with writing(self.means.engine) as connection:
                linking.finish(connection, link.digest, Status.DENIED if isinstance(error, Denied) else Status.FAILED, result)
            if told is not error and translate(error) is None:
                raise

    def _means(self, link: Link) -> Means:
        return replace(self.means, client=client_of(self.settings, link.wish.provider), operator=link.operator)


def _page(link: Link, *, mine: bool) -> pages.Page:
    """What a link's address shows. `mine`: in the browser that set out from it, which may see what became of it."""
    name, result = link.wish.provider.name, link.told
    if link.is_good:
        return pages.invitation(name, link.whose, link.wish.asks_for, round(link.seconds_left / 60 + 0.5), link.operator)
    match link.status:
        case Status.CONNECTED if mine:
            return pages.connected(name, result.get("label"), link.whose, _NEXT)
        case Status.DENIED if mine:
            return pages.denied(name, _AGAIN)
        case Status.FAILED if mine:
            return pages.failed(name, f"{result.get('shown') or 'It could not be finished here'}.", _AGAIN)
        case Status.OPEN | Status.STARTED:
            return pages.EXPIRED
    return pages.USED


def _end(link: Link, connection: Connection, connected: Connected) -> None:
    """Note that a link has led to a connection. Raises ConflictError, so that nothing is stored, where it was withdrawn meanwhile."""
    facts = {name: _plain(value) for name, value in asdict(connected).items()}
    if not linking.finish(connection, link.digest, Status.CONNECTED, facts):
        raise ConflictError("The link was taken back meanwhile", "Nothing was stored")


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | tuple | None) else json_ready(value)


def _base(link: Link) -> str:
    """The public address below which links are."""
    return link.redirect_uri.rpartition("/callback/")[0]


def _cookie_name(link_digest: str) -> str:
    return COOKIE + link_digest[:_SHORT]
