"""Who grants what: the web app or `aura`, one at a time, each for what happened at Stripe in its time.

The owner of a cause is who owned the billing at the moment Stripe says it happened, whoever hears of it when. So a switch under load
neither loses nor doubles a grant: what was before it stays with the old owner, however late it is told. A switch is announced: it
holds from a minute after it was made, so that nothing was decided before about what comes after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Engine, func, select

from aura_cli.audit.log import record
from aura_cli.db.engine import is_sqlite, reading, writing
from aura_cli.db.tables import binding
from aura_cli.db.types import utc_now
from aura_cli.errors import ConfigurationError
from aura_cli.settings import Settings
from aura_cli.subscriptions.tables import billing_owners

SETTING = "AURA_BILLING_OWNER"
NOTICE_SECONDS = 60
_LOCK = 0x6F776E65  # any fixed number: it names the switch among PostgreSQL's advisory locks


class Owner(StrEnum):
    """The values of AURA_BILLING_OWNER."""

    WEB = "web"
    AURA = "aura"


@dataclass(frozen=True)
class Reigns:
    """Who owned the billing since when (epoch seconds), oldest first."""

    since: Sequence[tuple[int, Owner]]

    def at(self, moment: int) -> Owner:
        """The owner of what happened at `moment` (epoch seconds)."""
        return next((owner for begun, owner in reversed(self.since) if begun <= moment), self.since[0][1])

    def surely(self, owner: Owner, moment: int) -> bool:
        """Did `owner` own it at `moment` and for as long afterwards as a switch is announced before?"""
        return self.at(moment) == self.at(moment + NOTICE_SECONDS) == owner


def configured(settings: Settings) -> Owner | None:
    """What AURA_BILLING_OWNER says, None where it is not set. Raises ConfigurationError for anything else."""
    said = settings.get(SETTING)
    if said is None:
        return None
    try:
        return Owner(said)
    except ValueError:
        raise ConfigurationError(f"{SETTING} is {said!r}", "Set it to web or to aura") from None


def reigns(connection: Connection) -> Reigns:
    """The history; where nobody took the billing over yet, it is the web app's on its own database, and ours on one that we made."""
    o = billing_owners.c
    found = [(since, Owner(owner)) for since, owner in connection.execute(select(o.since, o.owner).order_by(o.since, o.id))]
    if found:
        return Reigns(found)
    adopted = connection.execute(select(binding.c.adopted)).scalar()
    return Reigns([(0, Owner.WEB if adopted else Owner.AURA)])


def take_over(engine: Engine, wanted: Owner | None, operator: str, *, notice: int = NOTICE_SECONDS) -> int | None:
    """Make `wanted` the owner, `notice` seconds from now on; None leaves it as it is.

    Returns from when on it will be so (epoch seconds, the database's clock), None where nothing changes.
    """
    with reading(engine) as connection:
        if wanted in (None, reigns(connection).since[-1][1]):
            return None
    with writing(engine) as connection:
        if not is_sqlite(connection):
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        before = reigns(connection).since[-1][1]
        if wanted == before:
            return None
        since = int(connection.execute(select(utc_now())).scalar_one().timestamp()) + 1 + notice
        if not connection.execute(select(billing_owners.c.id).limit(1)).first():
            connection.execute(billing_owners.insert().values(owner=before, since=0, operator=operator))
        connection.execute(billing_owners.insert().values(owner=wanted, since=since, operator=operator))
        record(connection, operator, "billing.owner", str(wanted), details={"before": before, "since": since})
        return since
