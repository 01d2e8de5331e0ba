"""Turns: who refreshes which connections now. A lease a row, on the database's clock; it saves calls, and guards nothing.

What guards is the comparison when an answer is stored (`settling`): of two that refreshed at once, the row takes the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, literal, select

from aura_cli.db.engine import upsert, writing
from aura_cli.db.leases import is_dead
from aura_cli.db.shared import integrations
from aura_cli.db.types import among, moved_by, utc_now
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.state import Health, Known, Renewal, Seen, fingerprint, known_columns, seen
from aura_cli.integrations.store import COLUMNS
from aura_cli.integrations.tables import connections
from aura_cli.vault.keyring import KeyRing

LEASE_SECONDS = 180  # longer than the longest answer
FOREVER = timedelta(days=36_500)


@dataclass(frozen=True)
class Wanted:
    """Which connections a refresh is about: those that end `within`, or with `force` every one that can be renewed."""

    within: timedelta
    force: bool = False

    def takes(self, one: Seen, now: datetime) -> bool:
        """Whether it is to be refreshed now, cool-downs left aside."""
        return one.renewal is not None if self.force else one.is_due(now, self.within)


@dataclass(frozen=True)
class Claim:
    """A connection whose turn it is: as it stood when its lease was taken, and what it is renewed by."""

    seen: Seen
    provider: Provider
    renewal: Renewal
    held: str

    @property
    def sent(self) -> str:
        """The secret that the answer supersedes."""
        return self.seen.read.secrets[self.held]

    @property
    def id(self) -> str:
        return self.seen.read.id

    @property
    def is_taken_over(self) -> bool:
        """Whether somebody had this turn who did not bring it to its end."""
        return self.seen.known.lease_owner is not None


def claim(
    engine: Engine, vault: KeyRing, catalogue: Catalogue, ids: Sequence[str], owner: str, wanted: Wanted, now: datetime
) -> list[Claim]:
    """Take the turns of those of `ids` that are nobody's, and read them anew; the intent to send is on record when this returns.

    Left out are rows that somebody else refreshes or changes at this moment, or has refreshed, or tried to, since they were chosen.
    """
    with writing(engine) as connection:
        mine = [one for one in _locked(connection, vault, catalogue, ids) if _is_free(one.known) and wanted.takes(one, now)]
        mine = [one for one in mine if wanted.force or not (one.lost or one.rests(now))]
        taken = [_claim(one) for one in mine if not one.read.unreadable]
        if taken:
            connection.execute(_lease(connection), [_intent(one, owner) for one in taken])
    return taken


def hold(engine: Engine, one: Seen, owner: str) -> bool:
    """Take a connection's turn for something else than a refresh; False where somebody has it."""
    c, read = connections.c, one.read
    with writing(engine) as connection:
        holder = connection.execute(select(c.lease_owner).where(c.integration_id == read.id)).scalar()
        free = c.lease_owner.is_(None) | (c.lease_expires_at <= utc_now())
        free = free | (c.lease_owner == holder) if holder and is_dead(holder) else free
        turn = {"lease_owner": owner, "lease_expires_at": moved_by(utc_now(), LEASE_SECONDS)}
        row = {"integration_id": read.id, "user_id": read.user_id, "provider": read.provider}
        taken = upsert(connection, connections).values(**row, **turn)
        taken = taken.on_conflict_do_update(index_elements=["integration_id"], set_=turn, where=free)
        return connection.execute(taken.returning(c.integration_id)).first() is not None


def prolong(engine: Engine, owner: str, ids: Sequence[str]) -> None:
    """Keep turns that take longer than a lease: a provider is slow, or is asked by few at a time."""
    c = connections.c
    with writing(engine) as connection:
        mine = among(c.integration_id, ids) & (c.lease_owner == owner)
        connection.execute(connections.update().where(mine).values(lease_expires_at=moved_by(utc_now(), LEASE_SECONDS)))


def release(engine: Engine, owner: str, ids: Sequence[str]) -> None:
    """Give turns back that were not used."""
    c = connections.c
    free = {"lease_owner": None, "lease_expires_at": None, "intent_at": None}
    with writing(engine) as connection:
        connection.execute(connections.update().where(among(c.integration_id, ids), c.lease_owner == owner).values(free))


def _locked(connection: Connection, vault: KeyRing, catalogue: Catalogue, ids: Sequence[str]) -> list[Seen]:
    """The rows, held until the transaction ends, in one order for everybody; without those that another holds."""
    i, c = integrations.c, connections.c
    rows = select(*COLUMNS, i.connected_at, literal(1).label("copies")).where(among(i.id, ids)).order_by(i.id)
    held = {row.id: row for row in connection.execute(rows.with_for_update(skip_locked=True))}
    known = select(c.integration_id, *known_columns()).where(among(c.integration_id, list(held)))
    facts = {row.integration_id: row for row in connection.execute(known)}
    return [seen(vault, catalogue, row, facts.get(id_)) for id_, row in held.items()]


def _is_free(known: Known) -> bool:
    return not known.leased or (known.lease_owner is not None and is_dead(known.lease_owner))


def _claim(one: Seen) -> Claim:
    assert one.provider, "what is wanted has a provider"
    assert one.renewal, "what is wanted can be renewed"
    return Claim(one, one.provider, *one.renewal)


def _lease(connection: Connection) -> Any:
    expiry, mark = moved_by(utc_now(), LEASE_SECONDS), utc_now()
    statement = upsert(connection, connections).values(lease_expires_at=expiry, intent_at=mark)
    taken = {name: statement.excluded[name] for name in ("lease_owner", "intent", "health")}
    return statement.on_conflict_do_update(index_elements=["integration_id"], set_={**taken, "lease_expires_at": expiry, "intent_at": mark})


def _intent(one: Claim, owner: str) -> dict[str, Any]:
    read, known = one.seen.read, one.seen.known
    mended = known.health == Health.NEEDS_CONSENT and not one.seen.lost  # somebody connected it anew, in the web app
    return {
        "integration_id": read.id,
        "user_id": read.user_id,
        "provider": read.provider,
        "lease_owner": owner,
        "intent": fingerprint(read),
        "health": Health.OK if mended else known.health,
    }
