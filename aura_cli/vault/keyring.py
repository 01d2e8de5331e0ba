"""The keys that there are: the web app's one seals; it, the retired ones and the web app's fallback open.

No key, and nothing that was sealed, is in any repr, error or log.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any, Self

from aura_cli.errors import ConfigurationError
from aura_cli.settings import Secret, Settings
from aura_cli.vault import sealing
from aura_cli.vault.sealing import Unreadable

NAME = "INTEGRATION_ENCRYPTION_KEY"
RETIRED = "AURA_RETIRED_ENCRYPTION_KEYS"
CURRENT, FALLBACK = "current", "fallback"
FALLBACK_SECRET = "default-key-change-in-production"  # noqa: S105 (what the web app seals with where it has no key; it is public)
SHORTEST = 16
GENERATE = "aura keys generate makes a good one"
FALLBACK_FINGERPRINT = Secret(FALLBACK_SECRET).fingerprint
_UNDERIVED = b""


class Key:
    """One key by its `label`; it is derived when it is first used, by whichever thread, and then kept."""

    __slots__ = ("_derived", "_lock", "_secret", "fingerprint", "label")

    def __init__(self, label: str, secret: Secret) -> None:
        self.label = label
        self.fingerprint = secret.fingerprint
        self._secret = secret
        self._derived = _UNDERIVED
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Key({self.label!r})"

    @property
    def derived(self) -> bytes:
        """The 32 bytes that AES takes."""
        if not self._derived:
            with self._lock:
                self._derived = self._derived or sealing.derive(self._secret.reveal())
        return self._derived

    @property
    def problem(self) -> str | None:
        """Why nothing may be sealed with this key; None where it is good."""
        return problem(self._secret)


@dataclass(frozen=True)
class KeyRing:
    """All keys in the order in which they are tried, each once. `current` is None where the web app's is not set."""

    current: Key | None
    others: tuple[Key, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The keys in `settings`; nothing is derived yet. Raises ConfigurationError for retired keys that are no such object."""
        secret = settings.secret(NAME)
        current = _key(CURRENT, secret) if secret else None
        retired = (_key(label, Secret(text)) for label, text in _retired(settings.secret(RETIRED)).items())
        return cls(current, tuple(_distinct([*retired, _key(FALLBACK, Secret(FALLBACK_SECRET))], known=current)))

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """Every key, the current one first."""
        return (self.current, *self.others) if self.current else self.others

    @property
    def in_use(self) -> Key:
        """The key that the web app seals with, good or not."""
        return self.current or next(key for key in self.others if key.fingerprint == FALLBACK_FINGERPRINT)

    @property
    def current_fingerprint(self) -> str | None:
        """What tells the current key from others, as a database's binding has it."""
        return self.current.fingerprint if self.current else None

    @property
    def problem(self) -> str | None:
        """Why nothing can be sealed; None where it can."""
        return self.current.problem if self.current else problem(None)

    def require_sealing(self) -> Key:
        """The key that seals. Raises ConfigurationError where it is missing or no good."""
        if self.current and not self.problem:
            return self.current
        raise ConfigurationError(f"Nothing can be sealed: {NAME} {self.problem}", f"Set the web app's, verbatim; {GENERATE}")

    def seal(self, text: str) -> str:
        """`text` sealed as the web app reads it. Raises ConfigurationError where its key is missing or no good."""
        return sealing.seal(self.require_sealing().derived, text)

    def open(self, sealed: str) -> str:
        """The text in a sealed value, under whichever key. Raises Unreadable."""
        try:
            return self.open_bytes(sealed)[1].decode()
        except UnicodeDecodeError:
            raise Unreadable("A sealed value holds no text") from None

    def open_bytes(self, sealed: str) -> tuple[Key, bytes]:
        """The key that opens a sealed value, and what is in it. Raises Unreadable."""
        for key in self.keys:
            try:
                return key, sealing.opened_bytes(key.derived, sealed)
            except Unreadable as error:
                unreadable = error
        raise unreadable

    def opened_by(self, sealed: str) -> str | None:
        """The label of the key that opens a sealed value: `current`, a retired one's, `fallback`; None: none does."""
        try:
            return self.open_bytes(sealed)[0].label
        except Unreadable:
            return None

    def beside(self, key: Key) -> Self:
        """The ring with `key` in it, that opens and does not seal."""
        return replace(self, others=tuple(_distinct([*self.others, key], known=self.current)))

    def by_fingerprint(self, fingerprint: str) -> Key | None:
        """The key that has it."""
        return next((key for key in self.keys if key.fingerprint == fingerprint), None)


def problem(secret: Secret | None) -> str | None:
    """What is wrong with a key that is to seal, in words that follow its name; None where it is good."""
    text = secret.reveal() if secret else ""
    if not text:
        return "is not set"
    if text != text.strip():
        return "has white space around it, or is nothing else"
    if text[0] in "\"'`" and text[-1] in "\"'`":
        return "has quotes around it, which the web app takes as part of it"
    if text == FALLBACK_SECRET:
        return "is the web app's public fallback, under which nothing is safe"
    return f"is shorter than {SHORTEST} characters" if len(text) < SHORTEST else None


def _key(label: str, secret: Secret) -> Key:
    """The fallback is called so wherever it stands."""
    return Key(FALLBACK if secret.fingerprint == FALLBACK_FINGERPRINT else label, secret)


def _retired(secret: Secret | None) -> dict[str, str]:
    """The keys that only open, by label. Errors hold nothing of the text."""
    if secret is None:
        return {}
    try:
        found = json.loads(secret.reveal(), object_pairs_hook=_unique)
        if not isinstance(found, dict) or not all(isinstance(key, str) and key for key in found.values()):
            raise ValueError
        if "" in found or {CURRENT, FALLBACK} & found.keys():
            raise ValueError
    except (ValueError, RecursionError):
        shape = '{"2026-05": "the key"}'
        raise ConfigurationError(
            f"{RETIRED} is no JSON object of labels and keys",
            f"Like {shape}; each label once, none of them {CURRENT!r} or {FALLBACK!r}; no key empty",
        ) from None
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _distinct(keys: Iterable[Key], known: Key | None) -> Iterator[Key]:
    """Each key once, under its first label."""
    seen = {known.fingerprint} if known else set()
    for key in keys:
        if key.fingerprint not in seen:
            seen.add(key.fingerprint)
            yield key
