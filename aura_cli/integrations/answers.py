"""What a token answer is worth: an error whatever its status, or a grant, wherever this provider's answers hold it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aura_cli.integrations.failures import Failure, Refused, code_of, failure_of, scrubbed, words
from aura_cli.integrations.provider import ACCESS, Answer, OAuth, Provider
from aura_cli.integrations.template import at, holds
from aura_cli.integrations.wire import Reply

LONGEST = 100 * 366 * 86_400  # seconds; what is longer does not end
_LONGEST_CODE = 80  # characters: some put whole sentences there
_ANY_SEPARATOR = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Grant:
    """What an answer gives. `secrets`: place → token. Lifetimes are seconds, None where it does not end or nobody knows.

    `scopes` is None where the answer does not say: what was asked for then (RFC 6749 section 5.1). `kept` goes into metadata.
    """

    secrets: Mapping[str, str] = field(repr=False)
    expires_in: int | None
    refresh_expires_in: int | None
    scopes: tuple[str, ...] | None
    kept: Mapping[str, Any]


def judged(provider: Provider, reply: Reply, hidden: Iterable[str] = (), needs: Sequence[str] | None = None) -> Any:
    """The decoded answer of a token address, where it is a good one. `hidden`: secrets that the request held.

    Raises Refused for every other: a status of failure, a page, an error with status 200, none of the places that it `needs` filled
    (default: the access token).
    """
    answer = provider.oauth.answer if provider.oauth else Answer()
    document = reply.document
    code = code_of(document, answer.error)
    needed = [path for place, path in answer.secrets.items() if place == ACCESS] if needs is None else needs
    empty = not isinstance(document, dict | list) or any(not _token(at(document, path)) for path in needed)
    if reply.succeeded and code is None and not empty and holds(answer.ok, document, {}):
        return document
    page = reply.is_page and not isinstance(document, dict)
    failure = failure_of(reply.status, code, page=page)
    code = code and scrubbed(code, hidden)[:_LONGEST_CODE]
    said = "a web page" if page else words(document, hidden) or ("no token" if reply.succeeded else "")
    parts = (str(reply.status) if not reply.succeeded else "", f"{code!r}" if code and code not in said else "", said)
    raise Refused(
        f"{provider.name} answered {': '.join(filter(None, parts))}",
        failure,
        status=reply.status,
        error=code,
        retry_after=retry_after(reply),
        hint=_HINTS[failure].format(id=provider.id),
    )


_HINTS = {
    Failure.TRANSIENT: "Try again later",
    Failure.LOST_RACE: "",
    Failure.NEEDS_CONSENT: "Somebody has to connect it again: aura integrations connect {id}",
    Failure.CLIENT_MISCONFIGURED: "Check the application's id, secret and settings: aura integrations providers {id}",
    Failure.PROVIDER_DOWN: "Is that the provider's address, and is it well?",
}


def granted(provider: Provider, document: Any) -> Grant:
    """The grant in a good answer."""
    oauth = provider.oauth
    assert oauth, f"{provider.id} is connected by hand"
    answer = oauth.answer
    secrets = {place: token for place, path in answer.secrets.items() if (token := _token(at(document, path)))}
    lifetime = seconds(at(document, answer.expires_in)) or oauth.refresh.access_lifetime
    refresh = seconds(at(document, answer.refresh_expires_in)) if answer.refresh_expires_in else None
    kept = {name: found for name, path in answer.kept.items() if (found := at(document, path)) not in (None, "")}
    return Grant(secrets, lifetime, refresh or oauth.refresh.refresh_lifetime, scopes_in(at(document, answer.scope), oauth), kept)


def scopes_in(found: Any, oauth: OAuth) -> tuple[str, ...] | None:
    """A list of scopes, however it is written; None where there is none."""
    if isinstance(found, str):
        separator = oauth.answer.scope_separator or oauth.scope_separator
        found = _ANY_SEPARATOR.split(found) if separator.strip(" ,") == "" else found.split(separator)
    if not isinstance(found, list):
        return None
    names = dict.fromkeys(name.strip() for name in found if isinstance(name, str) and name.strip())
    return tuple(names) or None


def seconds(found: Any) -> int | None:
    """A lifetime, given as a number or its text. None for what says nothing: absent, null, no number, none left, without end."""
    try:
        number = float(found) if isinstance(found, int | float | str) and not isinstance(found, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return int(number) or None if 0 < number <= LONGEST else None


def retry_after(reply: Reply) -> float | None:
    """How many seconds an answer asks to wait (RFC 9110 section 10.2.3)."""
    said = reply.headers.get("retry-after", "")
    try:
        wait = float(said) if said.replace(".", "", 1).isdigit() else (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, wait)


def _token(found: Any) -> str | None:
    """A token: a text, or a number, that is not empty."""
    if isinstance(found, str | int) and not isinstance(found, bool):
        return str(found).strip() or None
    return None
