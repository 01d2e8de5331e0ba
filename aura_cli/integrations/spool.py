"""Answers that reached this machine and are not in the database yet: one sealed file each, under AURA_HOME/spool.

A refresh token that rotates is used up by the request. So its answer is on the disk before anything else is done with it.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

from aura_cli.errors import ConfigurationError
from aura_cli.integrations.answers import Grant
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.sealing import Unreadable

FOLDER, DRAFT = "spool", ".part"
_DEAD = 3600  # seconds


@dataclass(frozen=True)
class Answer:
    """A provider's answer for one connection. `held`: the place whose secret was `sent`, or vouched for the request; `at`: when it came."""

    integration_id: str
    user_id: str
    provider: str  # the catalogue's id
    held: str
    sent: str = field(repr=False)
    grant: Grant = field(repr=False)
    at: datetime


@dataclass(frozen=True)
class Spool:
    """The folder. Its files can be read by their owner alone, and by whoever has the key."""

    folder: Path
    vault: KeyRing

    @classmethod
    def at(cls, home: Path, vault: KeyRing) -> "Spool":
        """The spool in AURA_HOME, ready to be written to. Raises ConfigurationError where it cannot be, or nothing can be sealed."""
        vault.require_sealing()
        folder = home / FOLDER
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be used: {error.strerror}", "Set AURA_HOME to a folder of yours") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{folder} cannot be written to", "Set AURA_HOME to a folder of yours")
        return cls(folder, vault)

    def keep(self, answer: Answer) -> Path:
        """Put an answer down; it is on the disk when this returns. Raises OSError."""
        record = {**vars(answer), "grant": vars(answer.grant), "at": answer.at.isoformat()}
        content = self.vault.seal(json.dumps(record)).encode()
        path = self.folder / f"{answer.integration_id}-{token_hex(6)}"
        draft = path.with_suffix(DRAFT)
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (a descriptor)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        os.fsync(self._entries)
        return path

    def forget(self, path: Path) -> None:
        """An answer that is in the database, or of no use."""
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def holds(self, integration_id: str) -> bool:
        """Whether an answer for this connection lies there; a draft that somebody died over is none."""
        return any(path.suffix != DRAFT for path in self.folder.glob(f"{integration_id}-*"))

    def kept(self) -> Iterator[tuple[Path, Answer | None]]:
        """What lies there, oldest first; None for what no key opens. Drafts that somebody died over are taken away."""
        for path in sorted(self.folder.iterdir(), key=_age):
            if path.suffix != DRAFT:
                yield path, self._read(path)
            elif time.time() - _age(path) > _DEAD:
                self.forget(path)

    def _read(self, path: Path) -> Answer | None:
        try:
            return answer_of(json.loads(self.vault.open(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError, Unreadable):
            return None

    @cached_property
    def _entries(self) -> int:
        """The folder itself, open until the process ends: its entries have to reach the disk, too."""
        return os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)


def answer_of(record: Mapping[str, Any]) -> Answer:
    """An answer out of its file's content."""
    grant = dict(record["grant"])
    scopes = grant.pop("scopes")
    when = datetime.fromisoformat(record["at"]).astimezone(UTC)
    return Answer(**{**record, "grant": Grant(**grant, scopes=tuple(scopes) if scopes else None), "at": when})


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # somebody else stored it
        return 0.0
