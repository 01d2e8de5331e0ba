"""One consent: what is sent along, and whether an answer that comes back is its answer.

OAuth 2.0 (RFC 6749, 4.1.2), PKCE (RFC 7636), the issuer in the answer (RFC 9207). Of an answer that is not ours nothing is believed.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from aura_cli.errors import AttentionNeeded, ConfigurationError, ServiceError, UnreachableError, UsageError
from aura_cli.integrations import template
from aura_cli.integrations.provider import OAuth, Provider

_MOST_PARAMETERS = 40
_LONGEST_CODE = 8_192  # characters; Microsoft's have two thousand
_LONGEST_REASON = 300

Parameters = Mapping[str, str]


class NotOurs(UsageError):
    """An answer that does not belong to the consent that is waited for: it changes nothing."""


class Denied(AttentionNeeded):
    """The person, or their administrator, did not consent."""

    kind = "denied"


@dataclass(frozen=True)
class Consent:
    """What one person is asked for once. `state`: 256 bits; `verifier`: PKCE's, None where the provider cannot."""

    redirect_uri: str
    verifier: str | None = field(repr=False)
    state: str = field(repr=False)

    @classmethod
    def begin(cls, oauth: OAuth, redirect_uri: str) -> "Consent":
        """A new one."""
        return cls(redirect_uri, None if oauth.pkce == "none" else secrets.token_hex(32), secrets.token_hex(32))


@dataclass(frozen=True)
class Answered:
    """What an answer brought: the code, and what the provider's file keeps of it (metadata's name → value)."""

    code: str = field(repr=False)
    kept: Mapping[str, str]


def parameters(query: str) -> Parameters:
    """A query's parameters. Raises NotOurs for one that names any twice, or far too many."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise NotOurs("The answer cannot be read") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotOurs("The answer says something twice")
    return found


def digest(text: str) -> str:
    """What is stored of a secret that comes back: its SHA-256, hexadecimal."""
    return sha256(text.encode(errors="replace")).hexdigest()


def belongs(found: Parameters, state_digest: str) -> bool:
    """Whether an answer carries the state with this digest; takes as long whatever it carries."""
    return hmac.compare_digest(digest(found.get("state", "")), state_digest)


def answered(provider: Provider, found: Parameters, values: Mapping[str, str]) -> Answered:
    """What an answer with the right state says; `values` fill the provider's addresses.

    Raises Denied, ConfigurationError (our app is at fault), UnreachableError (trying again is safe) and ServiceError.
    """
    assert provider.oauth
    _check_issuer(provider, provider.oauth, found.get("iss"), values)
    if error := found.get("error"):
        raise _refusal(provider, error, found.get("error_description", ""))
    code = found.get("code", "")
    if not code or len(code) > _LONGEST_CODE:
        raise ServiceError(f"{provider.name} sent the browser back with neither a code nor an error", "Try again")
    kept = {name: found[parameter] for name, parameter in provider.oauth.callback.items() if found.get(parameter)}
    return Answered(code, kept)


def pasted(address: str, redirect_uri: str, state_digest: str) -> Parameters:
    """The parameters of the address that a browser ended on. Raises UsageError for another address, NotOurs for another state."""
    got, wanted = urlsplit(address.strip()), urlsplit(redirect_uri)
    if (got.scheme, got.netloc, got.path) != (wanted.scheme, wanted.netloc, wanted.path):
        raise UsageError(
            "That is not the address that the browser ended on", f"It begins with {redirect_uri}? — copy the whole address bar"
        )
    found = parameters(got.query)
    if not belongs(found, state_digest):
        raise NotOurs("That address is the answer to another consent", "Begin again, and paste the address of the same tab")
    return found


def _check_issuer(provider: Provider, oauth: OAuth, issuer: str | None, values: Mapping[str, str]) -> None:
    """RFC 9207: an answer that says whose it is must be of whom was asked. Files know no issuers: its host is what counts."""
    if issuer is None:
        return
    known = {urlsplit(template.filled(url, values)).netloc for url in (oauth.authorize_url, oauth.token_url) if url}
    if urlsplit(issuer).netloc not in known:
        raise ServiceError(
            f"The answer is not {provider.name}'s: it says that it comes from {issuer[:100]!r}", "Nothing was stored; try again"
        )


def _refusal(provider: Provider, error: str, description: str) -> Exception:
    """An error of the authorization endpoint as one of ours. RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6."""
    said = f"{_plain(error)}{f': {_plain(description)}' if description else ''}"
    match error:
        case "access_denied" | "consent_required" | "interaction_required" | "login_required" | "user_denied" | "user_cancelled_login":
            return Denied(f"Not allowed at {provider.name} ({said})", "Nothing was stored. Run it again once they agree")
        case "temporarily_unavailable" | "server_error":
            return UnreachableError(f"{provider.name} cannot do it now ({said})", "Try again later")
        case "invalid_scope":
            return ConfigurationError(
                f"{provider.name} does not give these scopes ({said})", "Choose others with --scopes, or allow them in the app"
            )
        case "unauthorized_client" | "invalid_request" | "unsupported_response_type" | "invalid_client" | "redirect_uri_mismatch":
            hint = f"aura integrations providers {provider.id} says how the app has to be registered"
            return ConfigurationError(f"{provider.name} does not accept our app's request ({said})", hint)
    return ServiceError(f"{provider.name} refused ({said})")


def _plain(text: str) -> str:
    """What somebody else said, short and in one line."""
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_REASON]


def scopes_of(oauth: OAuth, chosen: Sequence[str]) -> tuple[str, ...]:
    """The scopes to ask for: those chosen (with commas or spaces between), else the provider's usual ones. Each once."""
    asked = [scope for text in chosen for scope in text.replace(",", " ").split()]
    return tuple(dict.fromkeys(asked or oauth.scopes))
