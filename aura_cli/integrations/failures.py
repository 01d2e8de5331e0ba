"""Whose fault a provider's refusal is, and how it is told without a secret in it."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from aura_cli.errors import ServiceError
from aura_cli.integrations.template import at


class Failure(StrEnum):
    """The classes of failure, by who has to do something."""

    TRANSIENT = "transient"  # nobody: time does
    LOST_RACE = "lost_race"  # nobody: somebody else refreshed it meanwhile
    NEEDS_CONSENT = "needs_consent"  # the person who connected
    CLIENT_MISCONFIGURED = "client_misconfigured"  # whoever registered the application
    PROVIDER_DOWN = "provider_down"  # the provider, or who gave its address


# RFC 6749 section 5.2, RFC 8628 section 3.5, OpenID Connect Core section 3.1.2.6, and what vendors say in their place
_CONSENT = frozenset(
    "invalid_grant bad_refresh_token invalid_refresh_token refresh_token_expired token_revoked token_expired expired_token revoked_token"
    " invalid_token account_inactive access_denied authorization_declined consent_required interaction_required login_required"
    " authorization_revoked invalid_auth not_authed no_permission user_deactivated".split()
)
_TIME = frozenset(
    "temporarily_unavailable slow_down authorization_pending ratelimited rate_limited rate_limit_exceeded too_many_requests"
    " request_timeout service_unavailable internal_error fatal_error server_error".split()
)
_TRANSIENT_STATUS = frozenset({408, 425, 429})
_WORDS = (
    *("error_description", "error.message", "error_message", "message", "errors[0].message", "errors[0].detail", "errors[0].title"),
    *("error.description", "errorMessage", "detail", "error_msg", "msg", "title", "error", "errors[0]"),
)


class Refused(ServiceError):
    """A provider's answer that gives nothing. `error`: its code, `status`: HTTP's, `retry_after`: seconds, where it said."""

    def __init__(
        self, message: str, failure: Failure, *, status: int = 0, error: str | None = None, hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint, status=status)
        self.failure = failure
        self.error = error
        self.retry_after = retry_after


def failure_of(status: int, error: str | None, *, page: bool = False, credentials: bool = False) -> Failure:
    """Whose fault an answer is that gives no token. `page`: it was a web page. `credentials`: an API's own answer, not a token address'.

    Only a clear word makes it the person's: what is unknown is the application's fault, and marks nobody.
    """
    code = (error or "").strip().lower()
    if page and not code:
        return Failure.PROVIDER_DOWN
    if code in _CONSENT or (credentials and status in (401, 403)):
        return Failure.NEEDS_CONSENT
    if status in (404, 405, 410) or status >= 500 or 300 <= status < 400 or (status < 300 and not code):
        return Failure.PROVIDER_DOWN
    if status in _TRANSIENT_STATUS or code in _TIME:
        return Failure.TRANSIENT
    return Failure.CLIENT_MISCONFIGURED


def code_of(document: Any, path: str) -> str | None:
    """The error's code that stands at `path`; of a table its own code, type or status. None for no error (null, false, "", 0)."""
    found = at(document, path)
    if isinstance(found, dict):
        found = next((found[name] for name in ("code", "type", "status", "name", "error") if found.get(name)), "error")
    return str(found) if found not in (None, False, "", 0, [], {}) else None


def words(document: Any, secrets: Iterable[str] = ()) -> str:
    """What an answer says in words, on one line and without `secrets` (what was sent with the request); empty where it says nothing."""
    said = next((text for path in _WORDS if isinstance(text := at(document, path), str) and text.strip()), "")
    return scrubbed(" ".join(said.split()), secrets)[:200]


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, longest first."""
    for secret in sorted(_long(secrets), key=len, reverse=True):
        text = text.replace(secret, "****")
    return text


def _long(secrets: Iterable[str]) -> Iterator[str]:
    return (secret for secret in secrets if len(secret) >= 4)
