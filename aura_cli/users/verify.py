"""Privy's access tokens: https://docs.privy.io/authentication/user-authentication/access-tokens. ES256 and nothing else.

A token is checked in an order that gives the clearest reason: form, algorithm, key, signature, then what it says.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from jwt.types import Options

from aura_cli.errors import ConfigurationError
from aura_cli.settings import Settings
from aura_cli.transport import Service
from aura_cli.users.privy import key_set

ALGORITHM = "ES256"
ISSUER = "privy.io"
LEEWAY = timedelta(seconds=30)  # clocks differ a little
LONGEST = 16_384  # characters; a real one has about 400
KEYS_LAST = timedelta(hours=1)
_SIGNATURE_ALONE: Options = {  # what it says is checked here, with reasons of our own and a clock that is handed in
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}

KeyFor = Callable[[str | None], Any]  # the token's `kid` → its public key; raises ConfigurationError where there is none


@dataclass(frozen=True)
class Claims:
    """What a token that was accepted says."""

    did: str
    app: str
    session: str | None
    issued_at: datetime
    expires_at: datetime


class Refused(ConfigurationError):
    """A token that is not accepted; the message says why and never holds any of it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"The token is refused: {reason}", hint)


def verify(token: str, app: str, key_for: KeyFor, now: datetime) -> Claims:
    """What the token says, once it is known to be Privy's, for `app`, and valid at `now`. Raises Refused."""
    try:
        header = jwt.get_unverified_header(token) if len(token) <= LONGEST else None
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        header = None
    if header is None:
        raise Refused("it is not a token", "An access token has three parts with dots between them: the cookie privy-token")
    if header.get("alg") != ALGORITHM:
        raise Refused(f"it says that it is signed with {str(header.get('alg'))[:20]!r}; only {ALGORITHM} is accepted")
    kid = header.get("kid")
    key = key_for(kid if isinstance(kid, str) else None)
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ALONE)
    except jwt.InvalidSignatureError:
        raise Refused("its signature is wrong: it was changed, or signed with another key") from None
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Refused("it is not a token") from None
    return _accepted(claims, app, now)


def _accepted(claims: dict[str, Any], app: str, now: datetime) -> Claims:
    if claims.get("iss") != ISSUER:
        raise Refused(f"wrong issuer: it is from {_said(claims.get('iss'))}, not from {ISSUER}")
    audience = claims.get("aud")
    if app not in (audience if isinstance(audience, list) else [audience]):
        raise Refused(f"wrong audience: it is for the app {_said(audience)}, configured is {app}")
    did, session = claims.get("sub"), claims.get("sid")
    if not isinstance(did, str) or not did.startswith("did:privy:"):
        raise Refused("it names no DID")
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if expires + LEEWAY <= now:
        raise Refused(f"expired at {_shown(expires)}", "Sign in again and take the new one")
    starts = max(issued, _time(claims, "nbf")) if "nbf" in claims else issued
    if starts - LEEWAY > now:
        raise Refused(f"not valid before {_shown(starts)}", "Is this machine's clock right?")
    return Claims(did, app, session if isinstance(session, str) else None, issued, expires)


def _time(claims: dict[str, Any], name: str) -> datetime:
    value = claims.get(name)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        pass
    raise Refused(f"its {name} is no time")


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _said(value: object) -> str:
    return repr(value)[:60] if value is not None else "nobody"


def configured_key(settings: Settings) -> KeyFor | None:
    """The key of PRIVY_VERIFICATION_KEY (PEM, its line breaks real or written `\\n`); None where it is not set.

    Raises ConfigurationError where it is no P-256 public key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = settings.get("PRIVY_VERIFICATION_KEY")
    if text is None:
        return None
    try:
        key = load_pem_public_key(text.replace("\\n", "\n").strip().encode())
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ConfigurationError(
            "PRIVY_VERIFICATION_KEY is no P-256 public key in PEM", "Copy it from the app's settings in Privy's dashboard"
        )
    return lambda kid: key


@dataclass(frozen=True)
class PublishedKeys:
    """The app's published keys, kept for an hour in `home`; an unknown key makes them be fetched once more."""

    privy: Service
    app: str
    home: Path
    now: datetime

    def __call__(self, kid: str | None) -> Any:
        """The key named `kid`. Raises Refused where the app has none of this name, and what Privy's answer may raise."""
        if kid is None:
            raise Refused("it does not say which key it is signed with")
        key = _find(self._cached(), kid) or _find(self._fetch(), kid)
        if key is None:
            raise Refused("it is signed with a key that this app does not have")
        return key

    @property
    def path(self) -> Path:
        """Where the keys are kept, apart for each app and address."""
        mark = hashlib.sha256(f"{self.privy.base} {self.app}".encode()).hexdigest()[:16]
        return self.home / f"privy-keys-{mark}.json"

    def _cached(self) -> bytes:
        try:
            age = self.now.timestamp() - self.path.stat().st_mtime
            return self.path.read_bytes() if 0 <= age < KEYS_LAST.total_seconds() else b""
        except OSError:
            return b""

    def _fetch(self) -> bytes:
        content = key_set(self.privy, self.app)
        with suppress(OSError):  # where nothing can be kept, the next token costs a request
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self.home, prefix=".privy-keys-")  # 0600
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(partial).replace(self.path)
        return content


def _find(key_set: bytes, kid: str) -> Any:
    """The ES256 key of this name in a JWKS; None where there is none."""
    try:
        keys = json.loads(key_set)["keys"] if key_set else []
        found = next((key for key in keys if key.get("kid") == kid and key.get("kty") == "EC"), None)
        return jwt.PyJWK(found, ALGORITHM).key if found else None
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
        return None
