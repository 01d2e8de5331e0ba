"""The web app's way to seal a token: AES-256-GCM, written as lower-case `hex(iv):hex(tag):hex(ciphertext)`.

The iv has 16 bytes, the tag 16, the plaintext is UTF-8, nothing is associated. The key is scrypt of a secret text (RFC 7914).
"""

import hashlib
import os
import re
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aura_cli.errors import ConfigurationError

SHAPE = "([0-9a-fA-F]{32}):([0-9a-fA-F]{32}):([0-9a-fA-F]*)"  # Node reads capital digits too
_SEALED = re.compile(SHAPE)


class Unreadable(ConfigurationError):
    """A sealed value that is damaged, or under a key that is not there."""


def derive(secret: str) -> bytes:
    """The key, 32 bytes, that the web app makes of INTEGRATION_ENCRYPTION_KEY. It takes 50 ms: once a process and secret is enough."""
    return hashlib.scrypt(_utf8(secret), salt=b"salt", n=16384, r=8, p=1, dklen=32)


def looks_sealed(text: str) -> bool:
    """Whether `text` has the shape of a sealed value, readable or not."""
    return _SEALED.fullmatch(text) is not None


def seal(key: bytes, text: str) -> str:
    """`text` sealed under a derived key, with a random iv."""
    return seal_bytes(key, _utf8(text))


def opened(key: bytes, sealed: str) -> str:
    """The text in a sealed value. Raises Unreadable, which says nothing of either."""
    try:
        return opened_bytes(key, sealed).decode()
    except UnicodeDecodeError:
        raise Unreadable("A sealed value holds no text") from None


def seal_bytes(key: bytes, content: bytes) -> str:
    """`seal` of what is in bytes already."""
    iv = os.urandom(16)
    sealed = _cipher(key).encrypt(iv, content, None).hex()
    return f"{iv.hex()}:{sealed[-32:]}:{sealed[:-32]}"


def opened_bytes(key: bytes, sealed: str) -> bytes:
    """`opened`, left in bytes. Raises Unreadable."""
    if parts := _SEALED.fullmatch(sealed):
        iv, tag, content = parts.groups()
        try:
            return _cipher(key).decrypt(bytes.fromhex(iv), bytes.fromhex(content + tag), None)
        except (InvalidTag, ValueError):  # the latter where half a byte is missing
            pass
    raise Unreadable("A sealed value is damaged, or under a key that is not configured", "aura keys status counts such values")


@lru_cache(maxsize=16)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


def _utf8(text: str) -> bytes:
    """UTF-8 as Node writes it: half a surrogate pair, which no encoding has, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
