"""Access tokens in Privy's form, https://docs.privy.io/authentication/user-authentication/tokens, and the keys they are signed with.

The keys follow from a fixed text, so that tokens outlive a restart of the sandbox. They protect nothing.
"""

import base64
import hashlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "privy.io"
LIFETIME = 3600
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, https://csrc.nist.gov/pubs/sp/800/186/final


class SigningKey:
    """The `number`th signing key of the sandbox app `app_id`, always the same one."""

    def __init__(self, app_id: str, number: int = 0) -> None:
        digest = hashlib.sha512(f"aura sandbox privy signing key {app_id} {number}".encode()).digest()
        self._private = ec.derive_private_key(int.from_bytes(digest) % (_ORDER - 1) + 1, ec.SECP256R1())
        self.kid = base64.urlsafe_b64encode(digest[:24]).decode()

    def pem(self) -> str:
        """The public key as PRIVY_VERIFICATION_KEY takes it."""
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def jwk(self) -> dict[str, str]:
        """The public key as a member of a JWKS (RFC 7517)."""
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def access_token(self, app_id: str, did: str, issued: int, lifetime: int = LIFETIME, **claims: Any) -> str:
        """An access token of `did`, from `issued` (epoch seconds) on for `lifetime` seconds; `claims` add to or replace the usual ones."""
        session = hashlib.sha256(f"{did} {issued}".encode()).hexdigest()[:24]
        usual = {"sid": f"c{session}", "iss": ISSUER, "iat": issued, "aud": app_id, "sub": did, "exp": issued + lifetime}
        return jwt.encode({**usual, **claims}, self._private, algorithm="ES256", headers={"kid": self.kid})


def key_set(keys: list[SigningKey]) -> bytes:
    """A JWKS document."""
    return json.dumps({"keys": [key.jwk() for key in keys]}).encode()
