"""A database with connections as the web app's rows are, their keys, and the environment in which `aura` meets it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import integrations, users
from aura_cli.settings import Secret
from aura_cli.vault import sealing
from aura_cli.vault.keyring import Key, KeyRing
from aura_cli.vault.sealing import Unreadable

OLD, NEW, RETIRED, STRANGE = "test-key-of-old-0001", "test-key-that-is-new-0002", "test-key-retired-0000", "test-key-of-nobody-0009"
derived = cache(sealing.derive)


def under(secret: str, text: str) -> str:
    """`text` sealed under a key of these."""
    return sealing.seal(derived(secret), text)


def opened(secret: str, sealed: str | None) -> str | None:
    """What the web app with that one key reads; None where it cannot."""
    try:
        return sealing.opened(derived(secret), sealed or "")
    except Unreadable:
        return None


def ring(current: str | None, *others: str) -> KeyRing:
    """A ring of these keys; the others are labelled by number."""
    return KeyRing(Key("current", Secret(current)) if current else None, tuple(Key(f"{n}", Secret(one)) for n, one in enumerate(others)))


def environment(url: str, current: str | None, **retired: str) -> dict[str, str]:
    """What the program is configured with."""
    found = {"DATABASE_URL": url, "AURA_ENV": "development", "AURA_OPERATOR": "tester"}
    found |= {"INTEGRATION_ENCRYPTION_KEY": current} if current else {}
    return found | ({"AURA_RETIRED_ENCRYPTION_KEYS": json.dumps(retired)} if retired else {})


@dataclass(frozen=True)
class Stored:
    """A row's sealed places."""

    provider: str
    access: str | None
    refresh: str | None
    metadata: Any


def fill(engine: Engine, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One user's connections, each with its own provider's name unless it says one; returns their ids."""
    with writing(engine) as connection:
        first = users.insert().values(privy_user_id="did:privy:1").returning(users.c.id)
        known = connection.execute(select(users.c.id).limit(1)).scalar()
        owner = known or connection.execute(first).scalar_one()
        empty = {"access_token": None, "refresh_token": None, "metadata": None}
        made = [{**empty, "user_id": owner, "provider": f"provider-{number:03}", **row} for number, row in enumerate(rows)]
        return [connection.execute(integrations.insert().values(one).returning(integrations.c.id)).scalar_one() for one in made]


def stored(engine: Engine) -> list[Stored]:
    """All rows by provider."""
    i = integrations.c
    with reading(engine) as connection:
        found = connection.execute(select(i.provider, i.access_token, i.refresh_token, i.metadata).order_by(i.provider, i.id)).all()
    return [Stored(*row) for row in found]


def write(engine: Engine, provider: str, **values: Any) -> None:
    """What the web app does to a row."""
    with writing(engine) as connection:
        connection.execute(integrations.update().where(integrations.c.provider == provider).values(values))
