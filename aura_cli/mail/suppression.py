"""Addresses that get no mail any more: they bounced, complained, or somebody said so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, case, func, select

from aura_cli.db.engine import reading, upsert
from aura_cli.db.types import among, utc_now
from aura_cli.mail.tables import suppressions

REASONS = BOUNCED, COMPLAINED, MANUAL, OPERATOR = "bounced", "complained", "manual", "operator"  # each outweighs those before it


@dataclass(frozen=True)
class Suppressed:
    """One address, in lower case, since when it gets no mail and why (bounced, complained, manual: on Resend's own list, operator: here).

    `mail` is the one that it was about.
    """

    address: str
    reason: str
    since: datetime
    mail: str | None


@dataclass(frozen=True)
class Ruling:
    """What somebody said of an address, and whether it was otherwise before."""

    address: str
    gets_mail: bool
    changed: bool


def suppress(connection: Connection, address: str, reason: str, mail: str | None = None, since: datetime | None = None) -> bool:
    """Send nothing to an address any more, `since` then or now; False where that is so already, for this reason or a weightier one."""
    s, address = suppressions.c, address.lower()
    known = among_these(connection, [address]).get(address)
    row = {"address": address, "reason": reason, "mail": mail, "since": since or utc_now()}
    statement = upsert(connection, suppressions).values(row)
    said, weight = statement.excluded, case({name: place for place, name in enumerate(REASONS)}, value=suppressions.c.reason, else_=0)
    weightier, later = weight < REASONS.index(reason), said.since > s.since
    values = {
        "reason": case((weightier, said.reason), else_=s.reason),
        "mail": case((weightier, said.mail), else_=s.mail),
        "since": case((later, said.since), else_=s.since),
    }
    connection.execute(statement.on_conflict_do_update(index_elements=["address"], set_=values))
    return known is None or REASONS.index(known) < REASONS.index(reason)


def release(connection: Connection, address: str) -> bool:
    """Let an address get mail again; False where it does."""
    return bool(connection.execute(suppressions.delete().where(suppressions.c.address == address.lower())).rowcount)


def release_at_resend(connection: Connection, address: str, moment: datetime) -> bool:
    """It left Resend's list then: what was said here, or heard of later, stays."""
    s = suppressions.c
    mine = (s.address == address.lower()) & (s.reason != OPERATOR) & (s.since <= moment)
    return bool(connection.execute(suppressions.delete().where(mine)).rowcount)


def among_these(connection: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Those of the addresses that get no mail (in lower case), with the reason."""
    s = suppressions.c
    wanted = sorted({address.lower() for address in addresses})
    return {row.address: row.reason for row in connection.execute(select(s.address, s.reason).where(among(s.address, wanted)))}


def everything(engine: Engine) -> Iterator[Suppressed]:
    """All of them, the last first, streamed."""
    s = suppressions.c
    statement = select(s.address, s.reason, s.since, s.mail).order_by(s.since.desc(), s.address)
    with reading(engine) as connection:
        for row in connection.execute(statement, execution_options={"yield_per": 1_000}):
            yield Suppressed(*row)


def count(engine: Engine) -> int:
    """How many there are."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(suppressions)).scalar_one()
