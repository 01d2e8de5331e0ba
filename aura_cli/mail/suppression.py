"""Addresses that get no mail any more: they bounced, complained, or somebody said so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from aura_cli.db.engine import reading, upsert
from aura_cli.db.types import among
from aura_cli.mail.tables import suppressions

BOUNCED, COMPLAINED, OPERATOR = "bounced", "complained", "operator"


@dataclass(frozen=True)
class Suppressed:
    """One address, in lower case, since when it gets no mail and why (bounced, complained, operator), and which mail that was about."""

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


def suppress(connection: Connection, address: str, reason: str, mail: str | None = None) -> bool:
    """Send nothing to an address any more; False where that is so already."""
    row = {"address": address.lower(), "reason": reason, "mail": mail}
    statement = upsert(connection, suppressions).values(row).on_conflict_do_nothing(index_elements=["address"])
    return connection.execute(statement.returning(suppressions.c.address)).first() is not None


def release(connection: Connection, address: str, *, unless: str | None = None) -> bool:
    """Let an address get mail again, unless it gets none for that reason; False where nothing changed."""
    mine = suppressions.c.address == address.lower()
    if unless:
        mine &= suppressions.c.reason != unless
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
