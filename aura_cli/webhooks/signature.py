"""Stripe's signatures on webhooks, checked and made on the raw bytes.

The scheme is https://docs.stripe.com/webhooks/signature: the header `Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX…]` carries
HMAC-SHA256, keyed with the whole secret, of `SECONDS.BODY`. While a secret is rolled there is one `v1` for each; other schemes
do not count.
"""

import hmac
import json
from collections.abc import Mapping
from enum import StrEnum

from aura_cli.errors import AuraError, ConfigurationError
from aura_cli.settings import Settings

TOLERANCE = 300  # seconds, in both directions; Stripe's own libraries look back as far, and forward without end
WEB = "web"  # the label of the web app's own secret
_SECRET, _MORE_SECRETS = "STRIPE_WEBHOOK_SECRET", "AURA_STRIPE_WEBHOOK_SECRETS"
_LONGEST_TIME = 12  # digits


class Refusal(StrEnum):
    """Why a signature was refused."""

    MISSING = "signature_missing"
    MALFORMED = "signature_malformed"
    TOO_OLD = "signature_too_old"
    IN_THE_FUTURE = "signature_in_the_future"
    NO_MATCH = "signature_no_match"


_SAID = {
    Refusal.MISSING: "There is no Stripe-Signature header",
    Refusal.MALFORMED: "The Stripe-Signature header is malformed",
    Refusal.TOO_OLD: "The signature is too old",
    Refusal.IN_THE_FUTURE: "The signature is from the future",
    Refusal.NO_MATCH: "No configured secret made this signature",
}


class SignatureRefused(AuraError):
    """A body that nobody with a secret of ours signed in time."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(_SAID[reason])
        self.reason = reason


def verify(header: str | None, body: bytes, secrets: Mapping[str, str], now: float, tolerance: int = TOLERANCE) -> str:
    """The label of the secret (label → secret) that signed `body`.

    `now` is epoch seconds. Raises SignatureRefused; that a genuine signature is too old or too new is told apart from a wrong one.
    """
    if not header:
        raise SignatureRefused(Refusal.MISSING)
    moment, signatures = _read(header)
    label = _signer(b"%d.%b" % (moment, body), signatures, secrets)
    if label is None:
        raise SignatureRefused(Refusal.NO_MATCH)
    if moment < now - tolerance:
        raise SignatureRefused(Refusal.TOO_OLD)
    if moment > now + tolerance:
        raise SignatureRefused(Refusal.IN_THE_FUTURE)
    return label


def sign(secret: str, body: bytes, moment: int) -> str:
    """The Stripe-Signature header of `body`, signed at `moment` (epoch seconds)."""
    return f"t={moment},v1={_mac(secret, b'%d.%b' % (moment, body)).decode()}"


def secrets_of(settings: Settings) -> dict[str, str]:
    """Every configured signing secret by its label: the web app's own is `web`, the labelled ones follow.

    Raises ConfigurationError where the labelled ones are no JSON object of texts, or one is empty or called `web`.
    """
    own, more = settings.secret(_SECRET), settings.secret(_MORE_SECRETS)
    found = {WEB: own.reveal().strip()} if own else {}
    if more:
        labelled = _labelled(more.reveal())
        if WEB in labelled and own:
            raise ConfigurationError(f"{_MORE_SECRETS} has the label {WEB!r}, which is the label of {_SECRET}", "Choose another label")
        found |= labelled
    if not all(found.values()):
        raise ConfigurationError(f"A signing secret is empty: {', '.join(label for label, text in found.items() if not text)}")
    return found


def _labelled(text: str) -> dict[str, str]:
    malformed = ConfigurationError(f"{_MORE_SECRETS} is no JSON object of labels and secrets", 'Example: {"old": "whsec_…"}')
    try:
        found = json.loads(text)
    except ValueError:
        raise malformed from None
    if not isinstance(found, dict) or not all(isinstance(secret, str) for secret in found.values()):
        raise malformed
    return {label: secret.strip() for label, secret in found.items()}


def _read(header: str) -> tuple[int, list[bytes]]:
    """The moment and the `v1` signatures of a header, as text in bytes."""
    moments, signatures = [], []
    for item in header.split(","):
        name, equals, value = item.partition("=")
        if not equals and name in ("t", "v1"):
            raise SignatureRefused(Refusal.MALFORMED)
        if name == "t":
            moments.append(value)
        elif name == "v1":
            signatures.append(value.encode("utf-8", "surrogateescape"))
    if len(moments) != 1 or not signatures or not _is_time(moments[0]):
        raise SignatureRefused(Refusal.MALFORMED)
    return int(moments[0]), signatures


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME


def _signer(signed: bytes, signatures: list[bytes], secrets: Mapping[str, str]) -> str | None:
    for label, secret in secrets.items():
        expected = _mac(secret, signed)
        for signature in signatures:
            if hmac.compare_digest(expected, signature):
                return label
    return None


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, "sha256").hex().encode()
