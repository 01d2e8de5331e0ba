"""Links to connect by: made by an operator, opened once by whoever has the address, finished on the public listener.

The database holds of an address its token's SHA-256 alone; of a consent under way its state's, and, sealed, what finishes it.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from aura_cli.db.types import utc_now
from aura_cli.errors import NotFoundError
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.connecting import Wish
from aura_cli.integrations.consent import Consent, digest
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.tables import connect_links
from aura_cli.vault.keyring import KeyRing

LIFETIME = 900.0  # seconds
_TO_CONSENT = timedelta(minutes=10)  # at least so long from setting out
_KEPT = timedelta(days=30)
_TOKEN_BYTES = 32


class Status(StrEnum):
    """Where a link is. `open` and `started` are good until they expire; each of the others is an end."""

    OPEN = "open"
    STARTED = "started"
    CONNECTED = "connected"
    DENIED = "denied"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Link:
    """One link. `whose`: what the person is called on its page; `replaces`: whether another account may be written over."""

    digest: str
    wish: Wish = field(repr=False)
    whose: str
    redirect_uri: str
    replaces: bool
    operator: str
    status: Status
    result: str | None
    seconds_left: float
    verifier: str | None = field(repr=False, default=None)

    @property
    def told(self) -> dict[str, Any]:
        """What is known of its end: the connection's facts, or the error's."""
        found: dict[str, Any] = json.loads(self.result or "{}")
        return found

    @property
    def is_good(self) -> bool:
        """Whether somebody may still set out from it."""
        return self.status in (Status.OPEN, Status.STARTED) and self.seconds_left > 0


def make(
    connection: Connection, vault: KeyRing, wish: Wish, *, whose: str, redirect_uri: str, operator: str, replaces: bool, seconds: float
) -> tuple[str, datetime]:
    """A new link: its token, which stands nowhere else, and when it expires. Those that ended a month ago are forgotten."""
    token, now = secrets.token_hex(_TOKEN_BYTES), _now(connection)
    connection.execute(connect_links.delete().where(connect_links.c.expires_at < now - _KEPT))
    expires_at = now + timedelta(seconds=seconds)
    request = {"scopes": wish.scopes, "also": wish.also, "name": wish.name, "verify": wish.verify}
    request |= {"whose": whose, "redirect_uri": redirect_uri, "replaces": replaces}
    row = {"digest": digest(token), "provider": wish.provider.id, "user_id": wish.user_id, "operator": operator, "request": request}
    sealed = vault.seal(json.dumps({"fields": dict(wish.fields)}))
    connection.execute(connect_links.insert().values(**row, expires_at=expires_at, sealed=sealed))
    return token, expires_at


def find(connection: Connection, vault: KeyRing, catalogue: Catalogue, token: str) -> Link | None:
    """The link of an address; None for none."""
    return _link(connection, vault, catalogue, connect_links.c.digest == digest(token))


def awaiting(connection: Connection, vault: KeyRing, catalogue: Catalogue, provider: str, state: str) -> Link | None:
    """The link from which somebody set out to `provider` with this state; None where none waits for it (any more)."""
    return _link(connection, vault, catalogue, (connect_links.c.state == digest(state)) & (connect_links.c.provider == provider))


def set_out(connection: Connection, vault: KeyRing, link: Link) -> Consent | None:
    """A new consent for a link; one that was under way counts no more. None where the link is not good (any more)."""
    oauth = link.wish.provider.oauth
    assert oauth
    consent = Consent.begin(oauth, link.redirect_uri)
    left = timedelta(seconds=link.seconds_left)
    until = max(left, _TO_CONSENT) if link.status is Status.OPEN else left  # once: else a link could be kept open for ever
    sealed = vault.seal(json.dumps({"fields": dict(link.wish.fields), "verifier": consent.verifier}))
    c = connect_links.c
    changed = (
        update(connect_links)
        .where((c.digest == link.digest) & c.status.in_((Status.OPEN, Status.STARTED)) & (c.expires_at > utc_now()))
        .values(state=digest(consent.state), sealed=sealed, status=Status.STARTED, expires_at=_now(connection) + until)
    )
    return consent if connection.execute(changed).rowcount else None


def take(connection: Connection, link: Link, state: str) -> bool:
    """Use up the state of a consent; False where it was used, or the link expired, before."""
    c = connect_links.c
    good = (c.digest == link.digest) & (c.state == digest(state)) & (c.status == Status.STARTED) & (c.expires_at > utc_now())
    return connection.execute(update(connect_links).where(good).values(state=None)).rowcount == 1


def finish(connection: Connection, link_digest: str, status: Status, result: Mapping[str, Any]) -> bool:
    """Note how a link ended, and forget what it needed. `result`: a connection's facts, or an error's. False: it had ended before."""
    c = connect_links.c
    mine = (c.digest == link_digest) & c.status.in_((Status.OPEN, Status.STARTED))
    ended = {"status": status, "result": json.dumps(result), "finished_at": utc_now(), "state": None, "sealed": None}
    return connection.execute(update(connect_links).where(mine).values(**ended)).rowcount == 1


def outcome(connection: Connection, token: str) -> tuple[Status, dict[str, Any], bool]:
    """How a link stands: status, result, whether it has expired. Raises NotFoundError where somebody deleted it."""
    c = connect_links.c
    row = connection.execute(select(c.status, c.result, c.expires_at, utc_now()).where(c.digest == digest(token))).first()
    if row is None:
        raise NotFoundError("The link is gone from the database")
    status = Status(row.status)
    return status, json.loads(row.result or "{}"), status in (Status.OPEN, Status.STARTED) and row.expires_at <= row[3]


def _link(connection: Connection, vault: KeyRing, catalogue: Catalogue, condition: Any) -> Link | None:
    row = connection.execute(select(connect_links, utc_now().label("now")).where(condition)).first()
    provider = catalogue.providers.get(row.provider) if row else None
    return _read(vault, row, provider) if row and provider else None


def _read(vault: KeyRing, row: Row[Any], provider: Provider) -> Link:
    said = row.request
    kept = json.loads(vault.open(row.sealed)) if row.sealed else {"fields": {}}
    wish = Wish(provider, row.user_id, kept["fields"], tuple(said["scopes"]), tuple(said["also"]), said["name"], said["verify"])
    return Link(
        digest=row.digest,
        wish=wish,
        whose=said["whose"],
        redirect_uri=said["redirect_uri"],
        replaces=said["replaces"],
        operator=row.operator,
        status=Status(row.status),
        result=row.result,
        seconds_left=(row.expires_at - row.now).total_seconds(),
        verifier=kept.get("verifier"),
    )


def _now(connection: Connection) -> datetime:
    found: datetime = connection.execute(select(utc_now())).scalar_one()
    return found
