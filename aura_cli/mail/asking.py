"""Mail that somebody asks for: a row a mail, made once a key, and the outbox rows that it goes out with, in the caller's transaction."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, func, select

from aura_cli.db.engine import upsert
from aura_cli.db.shared import users
from aura_cli.db.types import among, utc_now
from aura_cli.mail.addresses import digest
from aura_cli.mail.resend import MOST
from aura_cli.mail.tables import mails
from aura_cli.outbox import queue
from aura_cli.outbox.tables import outbox

MAIL = "mail"  # the kind of effect in the outbox
_CHUNK = 1_000
T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """One mail to one recipient. `about` is what it is about: the same template about the same goes to an address once."""

    template: str
    address: str
    data: dict[str, Any] = field(repr=False)
    user_id: str | None = None
    about: str = ""

    @property
    def key(self) -> str:
        return f"{self.template}:{self.about or content(self.data)}:{digest(self.address)}"


@dataclass(frozen=True)
class Asked:
    """A mail's row: its state, and whether it was made now. `effect` is the outbox row that it goes out with, if there is one."""

    id: str
    key: str
    state: str
    effect: str | None
    is_new: bool


def content(data: dict[str, Any]) -> str:
    """What stands for variables where nothing else says what a mail is about."""
    return sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:20]


def ask(
    connection: Connection,
    wanted: Sequence[Wanted],
    *,
    batch: str | None = None,
    state: str = "queued",
) -> list[Asked]:
    """Make the rows of mails that nobody asked for before, and find those of the others; in their order, each key once.

    New ones of state `queued` get their outbox rows: one each, or with `batch` one for up to a hundred. One with another
    state than `queued` is only kept.
    """
    unique = {one.key: one for one in wanted}
    made: dict[str, str] = {}
    for chunk in chunks(list(unique.values()), _CHUNK):
        rows = [_row(one, batch, state) for one in chunk]
        statement = upsert(connection, mails).on_conflict_do_nothing(index_elements=["key"]).returning(mails.c.key, mails.c.id)
        made |= dict(connection.execute(statement, rows).all())
    m = mails.c
    found: dict[str, Asked] = {}
    for keys in chunks(list(unique), _CHUNK):
        for row in connection.execute(select(m.id, m.key, m.state, m.effect).where(among(m.key, keys))):
            found[row.key] = Asked(*row, is_new=row.key in made)
    fresh = [one for key in unique if (one := found[key]).is_new and one.state == "queued"]
    effects = enqueue(connection, [(one.id, one.key) for one in fresh], together=batch is not None)
    return [Asked(one.id, one.key, one.state, effects.get(one.id, one.effect), one.is_new) for one in (found[key] for key in unique)]


def enqueue(connection: Connection, some: Sequence[tuple[str, str]], *, together: bool, again: bool = False) -> dict[str, str]:
    """Put mails (id, key) into the outbox: one row each, or one for up to a hundred; returns the outbox row's key by mail.

    An outbox row's key is what Resend tells a repetition by, so mails that are to go out `again` get another; so do those whose key an
    outbox row has that outlived its mail.
    """
    named: dict[str, list[str]] = {}
    for some_of_them in chunks(some, MOST if together else 1):
        ids = [identifier for identifier, _ in some_of_them]
        keys = [key for _, key in some_of_them]
        effect = keys[0] if len(keys) == 1 else f"batch:{sha256(chr(10).join(keys).encode()).hexdigest()[:40]}"
        named[effect] = ids
    o = outbox.c
    taken = named if again else set(connection.execute(select(o.key).where(o.kind == MAIL, among(o.key, named))).scalars())
    fresh = {f"{effect}#{uuid4().hex[:8]}" if effect in taken else effect: ids for effect, ids in named.items()}
    queue.enqueue_all(connection, MAIL, {effect: {"mails": ids} for effect, ids in fresh.items()})
    for effect, ids in fresh.items():
        connection.execute(mails.update().where(among(mails.c.id, ids)).values(effect=effect))
    return {identifier: effect for effect, ids in fresh.items() for identifier in ids}


def requeue(connection: Connection, ids: Iterable[str], states: Collection[str]) -> set[str]:
    """Let those of the mails that are in one of `states` now go out again as new requests; returns the keys of their outbox rows.

    Likewise those that wait and that no outbox row carries any more. Two who ask at once make one request: who comes second finds them in
    another state, waiting or sent, or with another outbox row. One whose address was not known takes its person's, if there is one now.
    """
    m, o, ids = mails.c, outbox.c, list(ids)
    carried = select(o.id).where(o.kind == MAIL, o.key == m.effect, o.state.in_(("pending", "sending"))).exists()
    over = connection.execute(select(m.effect).where(among(m.id, ids), m.state == "queued", ~carried)).scalars().all()
    stranded = (m.state == "queued") & among(m.effect, over)
    ended = select(m.id, m.key).where(among(m.id, ids), m.state.in_(states) | stranded)
    rows = connection.execute(ended.order_by(m.created_at, m.id).with_for_update()).all()
    values = {"state": "queued", "state_at": utc_now(), "error": None, "resend_id": None, "sent_at": None, "first_try_at": None}
    address = func.coalesce(m.address, select(users.c.email).where(users.c.id == m.user_id).scalar_subquery())
    connection.execute(mails.update().where(among(m.id, [row.id for row in rows])).values(values | {"address": address}))
    return set(enqueue(connection, [(row.id, row.key) for row in rows], together=len(rows) > 1, again=True).values())


def chunks(some: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """In their order, so many at a time."""
    return (some[start : start + size] for start in range(0, len(some), size))


def _row(one: Wanted, batch: str | None, state: str) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "key": one.key,
        "template": one.template,
        "user_id": one.user_id,
        "address": one.address,
        "data": one.data,
        "batch": batch,
        "state": state,
    }
