"""What a provider gave while the database was gone: sealed, one file a person and provider, until the same command stores it.

Another consent would do as well, but needs the person; and of a provider that gives a refresh token only once, it would have to be revoked.
"""

import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from aura_cli.db.failures import translate
from aura_cli.errors import AuraError
from aura_cli.integrations.connecting import Connected, Gained, Means, Then, Wish, stored
from aura_cli.integrations.store import Content
from aura_cli.integrations.verify import Account
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.sealing import Unreadable

FOLDER = "unstored"
_GOOD_SECONDS = 86_400.0


def stored_or_kept(means: Means, wish: Wish, gained: Gained, *, replaces: bool = False, then: Then | None = None) -> Connected:
    """Store it, or where the database is gone by now put it down, and raise what ails the database, saying so."""
    try:
        return stored(means, wish, gained, replaces=replaces, then=then)
    except Exception as error:
        if told := kept(means, wish, gained, error):
            raise told from error
        raise


def kept(means: Means, wish: Wish, gained: Gained, error: Exception) -> AuraError | None:
    """What to raise in place of a database's error before something was stored, which is put down now; None for any other error."""
    told = None if isinstance(error, AuraError) else translate(error)
    if told is None:
        return None
    path = _keep(means.home, means.vault, wish, gained)
    again = f"aura integrations connect {wish.provider.id} --user {wish.user_id} stores it, here, without another consent"
    return type(told)(f"{told.message}. What {wish.provider.name} gave lies sealed in {path}", again)


def taken(means: Means, wish: Wish) -> Gained | None:
    """What was put down for this person and provider in the last day, taken away; None where nothing was, or no key opens it.

    Whoever takes it stores it; where the database is gone again it is put down anew.
    """
    path = _path(means.home, wish)
    try:
        late = means.clock().timestamp() - path.stat().st_mtime > _GOOD_SECONDS
        record = json.loads(means.vault.open(path.read_text()))
        path.unlink()
    except (OSError, Unreadable, ValueError):
        return None
    if late:
        return None
    content, account = record["content"], record["account"]
    return Gained(
        record["method"],
        Content(content["secrets"], _time(content["expiry"]), content["scopes"], content["metadata"]),
        Account(account["id"], account["label"], tuple(account["scopes"]) if account["scopes"] else None, account["kept"]),
        _time(record["refresh_expires_at"]),
    )


def _keep(home: Path, vault: KeyRing, wish: Wish, gained: Gained) -> Path:
    path = _path(home, wish)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (a descriptor)
        file.write(vault.seal(json.dumps(asdict(gained), default=_text)).encode())
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return path


def _path(home: Path, wish: Wish) -> Path:
    return home / FOLDER / f"{wish.provider.id}-{wish.user_id}"


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
