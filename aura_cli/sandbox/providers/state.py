"""What the stand-in remembers: consents and the tokens that hang on them, codes, devices, trouble that was ordered, requests seen."""

import base64
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.provider import Provider

CODE_SECONDS = 60.0
DEVICE_SECONDS = 300.0
JOURNAL = 10_000  # requests that are remembered


class OAuthError(Exception):
    """A refusal of a token address (RFC 6749, 5.2; RFC 8628, 3.5)."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


@dataclass(eq=False)
class Consent:
    """What one account agreed to; the family of tokens that hang on it. `row`: the web app's value, for those who share tokens."""

    provider: str
    row: str
    client_id: str
    account: str
    scopes: tuple[str, ...]
    alive: bool = True
    refreshed: int = 0
    ended: str | None = None  # reuse, revoked


@dataclass
class Token:
    """An access or refresh token. `spent`: a refresh token that was replaced; epoch seconds, None: it does not expire."""

    consent: Consent
    refresh: bool
    expires_at: float | None
    spent: bool = False


@dataclass
class Code:
    """An authorisation code, good once."""

    consent: Consent
    redirect_uri: str
    challenge: str | None
    expires_at: float
    used: bool = False


@dataclass
class Device:
    """A device flow (RFC 8628). `decision`: allow, deny; None: nobody has typed the code yet."""

    provider: str
    user_code: str
    scopes: tuple[str, ...]
    expires_at: float
    interval: float = 1.0
    decision: str | None = None
    account: str = ""
    asked_at: float = 0.0


@dataclass
class Mishap:
    """Trouble for the next `times` requests of a kind. `kind`: see `mishaps.py`; None: whichever provider, whichever request."""

    kind: str
    provider: str | None = None
    request: str | None = None
    times: int = 1
    value: Any = None


@dataclass
class ProvidersState:
    """The 64 of `catalogue` as one machine would see them. `clock` gives epoch seconds."""

    catalogue: Catalogue
    clients: Mapping[str, str]  # the catalogue's client variables, with their values
    clock: Callable[[], float] = time.time
    tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    codes: dict[str, Code] = field(default_factory=dict, repr=False)
    devices: dict[str, Device] = field(default_factory=dict, repr=False)
    consents: list[Consent] = field(default_factory=list)
    mishaps: list[Mishap] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)

    def token(self, text: str, row: str) -> Token | None:
        """A token that is still good, of whoever shares the row."""
        found = self.known(text, row)
        late = found is not None and found.expires_at is not None and found.expires_at < self.clock()
        return None if found is None or late or found.spent or not found.consent.alive else found

    def known(self, text: str, row: str) -> Token | None:
        """A token that was ever given out."""
        found = self.tokens.get(text)
        return found if found and found.consent.row == row else None

    def issue(self, consent: Consent, *, refresh: bool, lifetime: float | None) -> str:
        """A new token of a consent; `lifetime` in seconds, None: it does not expire."""
        text = f"sandbox-{'refresh' if refresh else 'access'}-{consent.provider}-{secrets.token_urlsafe(24)}"
        self.tokens[text] = Token(consent, refresh, None if lifetime is None else self.clock() + lifetime)
        return text

    def code_for(self, consent: Consent, redirect_uri: str, challenge: str | None) -> str:
        """A new authorisation code."""
        text = f"sandbox-code-{secrets.token_urlsafe(24)}"
        self.codes[text] = Code(consent, redirect_uri, challenge, self.clock() + CODE_SECONDS)
        return text

    def redeem(self, text: str, row: str, client_id: str, redirect_uri: str | None, verifier: str | None) -> Consent:
        """The consent that a code stands for. Raises OAuthError; a code that comes twice ends what came of it (RFC 6749, 4.1.2)."""
        code = self.codes.get(text)
        if not code or code.consent.row != row or code.consent.client_id != client_id or code.expires_at < self.clock():
            raise OAuthError("invalid_grant", "no such code")
        if code.used:
            self.end(code.consent, "reuse")
            raise OAuthError("invalid_grant", "the code was used before")
        if redirect_uri != code.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri is not the one of the authorisation")
        if code.challenge is not None and (verifier is None or challenge_of(verifier) != code.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit")
        code.used = True
        return code.consent

    def renew(self, text: str, row: str, client_id: str) -> Token:
        """The refresh token that `text` is. Raises OAuthError; one that was replaced ends its whole family (RFC 9700, 4.14.2)."""
        token = self.known(text, row)
        if token and token.spent:
            self.end(token.consent, "reuse")
            raise OAuthError("invalid_grant", "the refresh token was used before: its grant is revoked")
        if not token or not token.refresh or self.token(text, row) is None or token.consent.client_id != client_id:
            raise OAuthError("invalid_grant", "no such refresh token")
        token.consent.refreshed += 1
        return token

    def end(self, consent: Consent, why: str) -> None:
        """Nothing that hangs on it is good any more."""
        if consent.alive:
            consent.alive, consent.ended = False, why

    def device(self, provider: str, scopes: tuple[str, ...]) -> tuple[str, Device]:
        """Begin a device flow: its code, and itself."""
        letters = "BCDFGHJKLMNPQRSTVWXZ"
        typed = "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(2))
        code = f"sandbox-device-{secrets.token_urlsafe(24)}"
        self.devices[code] = Device(provider, typed, scopes, self.clock() + DEVICE_SECONDS)
        return code, self.devices[code]

    def poll(self, code: str, provider: str) -> Device:
        """A device flow that somebody allowed. Raises OAuthError (RFC 8628, 3.5)."""
        device = self.devices.get(code)
        if not device or device.provider != provider:
            raise OAuthError("invalid_grant", "no such device code")
        now, device.asked_at, before = self.clock(), self.clock(), device.asked_at
        if device.expires_at < now:
            raise OAuthError("expired_token", "the device code is too old")
        if device.decision is None:
            early = now - before < device.interval * 0.9
            raise OAuthError("slow_down" if early else "authorization_pending", "nobody has typed the code yet")
        del self.devices[code]
        if device.decision != "allow":
            raise OAuthError("access_denied", "the person said no")
        return device

    def mishap(self, provider: str, request: str) -> Mishap | None:
        """The trouble that this request is in for, taken from what was ordered."""
        found = next((one for one in self.mishaps if one.provider in (None, provider) and one.request in (None, request)), None)
        if found:
            found.times -= 1
            self.mishaps = [one for one in self.mishaps if one.times > 0]
        return found

    def saw(self, provider: Provider, request: str, status: int, why: str) -> None:
        """Remember a request; nothing of it that is secret."""
        self.journal.append({"provider": provider.id, "row": provider.provider, "request": request, "status": status, "why": why})
        del self.journal[:-JOURNAL]

    def consents_of(self, provider: str | None) -> Iterator[Consent]:
        return (one for one in self.consents if provider in (None, one.provider))


def challenge_of(verifier: str) -> str:
    """RFC 7636, 4.2: S256."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
