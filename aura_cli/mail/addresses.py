"""Addresses of mail, as narrow as a provider and a header take them: one recipient, nothing that could be read as a second header."""

import re
from hashlib import sha256

from aura_cli.errors import ConfigurationError, UsageError

LONGEST = 254  # characters: RFC 5321, 4.5.3.1.3, less the angle brackets
_LOCAL = re.compile(r"[^\s@,;:<>()\[\]\\\"]{1,64}")
_LABEL = re.compile(r"(?!-)[^\W_](?:[\w-]{0,61}[^\W_])?", re.UNICODE)
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff<>\"]*")
_SENDER = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")


def is_address(text: str) -> bool:
    """Whether it is one plain address, `local@domain.tld`; quoted local parts and addresses of hosts without a dot are none."""
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    if not at or not text.isprintable() or len(text) > LONGEST or len(labels) < 2 or not _LOCAL.fullmatch(local) or ".." in f".{local}.":
        return False
    return all(_LABEL.fullmatch(label) for label in labels)


def checked(text: str) -> str:
    """An address a person gave, trimmed. Raises UsageError for what is none, or more than one."""
    address = text.strip(" ")
    if not is_address(address):
        raise UsageError(f"{text[:80]!a} is no mail address", "One plain address, such as mina@example.com")
    return address


def sender(text: str) -> str:
    """FROM_EMAIL as a header takes it: an address, or `Name <address>`. Raises ConfigurationError."""
    found = _SENDER.fullmatch(text.strip(" "))
    name, address = (found["name"].strip(" "), found["address"]) if found else ("", text.strip(" "))
    if not is_address(address) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"FROM_EMAIL is {text[:80]!a}, which is no sender", "Such as: AURA <noreply@example.com>")
    return f"{name} <{address}>" if name else address


def digest(address: str) -> str:
    """What stands for an address where none should be read: upper and lower case are alike."""
    return sha256(address.lower().encode(errors="surrogatepass")).hexdigest()[:20]
