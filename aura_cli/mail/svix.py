"""Signatures of Svix, by which Resend signs its webhooks, checked and made on the raw bytes.

https://docs.svix.com/receiving/verifying-payloads/how-manual: base64 of HMAC-SHA256 over `ID.SECONDS.BODY`, keyed with what follows
`whsec_` in the secret, decoded from base64; while a secret is changed the header holds one signature for each, parted by spaces.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from aura_cli.errors import AuraError, ConfigurationError

TOLERANCE = 300  # seconds, in both directions, as Svix's own libraries
_PREFIX = "whsec_"
_LONGEST_ID, _LONGEST_TIME = 256, 12


class SignatureRefused(AuraError):
    """A body that nobody with our secret signed in time."""


@dataclass(frozen=True)
class Signed:
    """The three headers of a delivery."""

    id: str
    timestamp: str
    signature: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Signed":
        """Out of a request's headers, whichever prefix they have. Raises SignatureRefused where one is missing or cannot be one."""
        for prefix in ("svix-", "webhook-"):
            found = [headers.get(prefix + name) or "" for name in ("id", "timestamp", "signature")]
            if all(found):
                break
        identifier, timestamp, signature = found
        if not identifier or not signature:
            raise SignatureRefused("The signature's headers are missing")
        if len(identifier) > _LONGEST_ID or not (identifier.isascii() and identifier.isprintable()):
            raise SignatureRefused("The header svix-id is malformed")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIME):
            raise SignatureRefused("The header svix-timestamp is malformed")
        return cls(identifier, timestamp, signature)


def key_of(secret: str) -> bytes:
    """The key in a secret, `whsec_…`. Raises ConfigurationError where there is none."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError("RESEND_WEBHOOK_SECRET is no signing secret", "Resend shows it with the webhook: whsec_…")
    return key


def verify(signed: Signed, body: bytes, key: bytes, now: float) -> None:
    """Return if the body was signed with `key` within five minutes of `now` (epoch seconds). Raises SignatureRefused."""
    expected = _mac(key, signed.id, signed.timestamp, body)
    given = [value.encode("utf-8", "surrogateescape") for scheme, _, value in map(_parted, signed.signature.split()) if scheme == "v1"]
    if not any(hmac.compare_digest(expected, one) for one in given):
        raise SignatureRefused("The secret did not make this signature")
    if abs(int(signed.timestamp) - now) > TOLERANCE:
        raise SignatureRefused("The signature is too old, or from the future")


def sign(key: bytes, identifier: str, moment: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery signed at `moment` (epoch seconds)."""
    signature = f"v1,{_mac(key, identifier, str(moment), body).decode()}"
    return {"svix-id": identifier, "svix-timestamp": str(moment), "svix-signature": signature}


def _parted(text: str) -> tuple[str, str, str]:
    return text.partition(",")


def _mac(key: bytes, identifier: str, timestamp: str, body: bytes) -> bytes:
    signed = b"%b.%b.%b" % (identifier.encode(), timestamp.encode(), body)
    return base64.b64encode(hmac.digest(key, signed, "sha256"))
