"""What a client sends to be mailed, read and judged (https://resend.com/docs/api-reference/emails/send-email)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from aura_cli.sandbox.resend.errors import ResendError, invalid, missing

MOST_RECIPIENTS = 50
_ADDRESS = r"[^\s@<>()\",;:]+@[^\s@<>()\",;:]+\.[^\s@<>()\",;:]+"
_PLAIN = re.compile(_ADDRESS)
_NAMED = re.compile(rf"[^<>\r\n]*<({_ADDRESS})>")
_Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,256}$")]
_SHAPE = "The email address needs to follow the `email@example.com` or `Name <email@example.com>` format."


class _Tag(msgspec.Struct):
    name: _Word
    value: _Word


@dataclass(frozen=True, slots=True)
class Message:
    """One mail as it was asked for."""

    sender: str
    to: tuple[str, ...]
    subject: str
    html: str | None
    text: str | None
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    reply_to: tuple[str, ...]
    headers: dict[str, str]
    tags: tuple[tuple[str, str], ...]
    scheduled_at: str | None

    @property
    def recipients(self) -> int:
        """How many mails a quota counts it as."""
        return len(self.to) + len(self.cc) + len(self.bcc)


def read(document: Any, domains: Sequence[str] = (), *, batch: bool = False) -> Message:
    """A message out of JSON; `domains`, where there are any, are those that may send. Raises ResendError."""
    if not isinstance(document, dict):
        raise invalid("The request body must be a valid JSON object.")
    for name in ("from", "to", "subject"):
        if document.get(name) in (None, "", []):
            raise missing(name)
    if not document.get("html") and not document.get("text"):
        raise invalid("Missing `html` or `text` field.")
    if batch and document.get("attachments"):
        raise invalid("The `attachments` field is not supported in batch requests.")
    sender, subject = _text(document, "from"), _text(document, "subject")
    domain = bare(_checked("from", sender)).rpartition("@")[2].lower()
    if domains and domain not in domains:
        raise ResendError(403, "validation_error", f"The {domain} domain is not verified. Please, add and verify your domain.")
    if "\n" in subject or "\r" in subject:
        raise invalid("The `\\n` is not allowed in the `subject` field.")
    to = _addresses(document, "to")
    if len(to) > MOST_RECIPIENTS:
        raise invalid(f"Invalid `to` field. The number of recipients must not exceed {MOST_RECIPIENTS}.")
    return Message(
        sender,
        to,
        subject,
        _optional(document, "html"),
        _optional(document, "text"),
        _addresses(document, "cc"),
        _addresses(document, "bcc"),
        _addresses(document, "reply_to"),
        _headers(document),
        _tags(document),
        _optional(document, "scheduled_at"),
    )


def bare(address: str) -> str:
    """`Name <email@example.com>` without the name."""
    named = _NAMED.fullmatch(address)
    return named[1] if named else address


def _text(document: dict[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise invalid(f"The `{name}` field must be a `string`.")
    return value


def _optional(document: dict[str, Any], name: str) -> str | None:
    return _text(document, name) if document.get(name) is not None else None


def _checked(name: str, address: Any) -> str:
    if not isinstance(address, str) or not (_PLAIN.fullmatch(address) or _NAMED.fullmatch(address)):
        raise invalid(f"Invalid `{name}` field. {_SHAPE}")
    return address


def _addresses(document: dict[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    given = [] if value is None else value if isinstance(value, list) else [value]
    return tuple(_checked(name, address) for address in given)


def _headers(document: dict[str, Any]) -> dict[str, str]:
    headers = document.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) and not set("\r\n") & set(value) for value in headers.values()):
        raise invalid("The `headers` field must be an object of texts.")
    return headers


def _tags(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    try:
        tags = msgspec.convert(document.get("tags") or (), tuple[_Tag, ...])
    except msgspec.ValidationError:
        raise invalid("Tags should only contain ASCII letters, numbers, underscores, or dashes.") from None
    return tuple((tag.name, tag.value) for tag in tags)
