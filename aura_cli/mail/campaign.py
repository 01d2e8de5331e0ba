"""One template to many, each a mail of their own: planned, asked for, carried out; run again, it goes on where it was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among
from aura_cli.errors import ConflictError
from aura_cli.mail import asking
from aura_cli.mail.addresses import digest, is_address
from aura_cli.mail.asking import MAIL, Asked, Wanted, content
from aura_cli.mail.audience import Audience, Recipient
from aura_cli.mail.rendering import Template, checked
from aura_cli.mail.sending import fitting
from aura_cli.mail.suppression import among_these
from aura_cli.mail.tables import mails
from aura_cli.outbox.tables import outbox

MOST_RECIPIENTS = 1_000  # where nobody says otherwise
TO_SEND = "to send"
_RESUMED = ("not_configured",)  # states in which a mail goes out when the same is asked for again


@dataclass(frozen=True)
class Planned:
    """One recipient, and how the mail to them stands: `to send`, `no address`, `suppressed`, or the state of one they were sent before."""

    address: str
    user_id: str | None
    state: str


@dataclass(frozen=True)
class Plan:
    """Who would get what: the mails by how they stand, and how many people have no address at all."""

    template: str
    subject: str | None
    counts: dict[str, int]
    without_address: int
    recipients: tuple[Planned, ...]


@dataclass(frozen=True)
class Round:
    """What became of the mails to many: by state; `before` of them had been settled already. `batch` names them for `log` and `retry`."""

    template: str
    batch: str | None
    mails: int
    before: int
    states: dict[str, int]
    without_address: int


def wanted(template: Template, data: Mapping[str, Any], to: Recipient, about: str = "") -> Wanted:
    """A mail to one: the given variables, and their name where the template takes one. Raises UsageError as `checked` does.

    Whoever is called something else meanwhile is not sent the same again: what is not given does not tell mails apart.
    """
    known = fitting(template.name, {"name": to.name}) | dict(data)
    return Wanted(template.name, to.address, checked(template, known), to.user_id, about or content(dict(data)))


def plan(connection: Connection, template: Template, some: Sequence[Wanted], audience: Audience, subject: str | None) -> Plan:
    """How it stands with each recipient; an address that several have stands once."""
    unique = {one.key: one for one in some}
    m = mails.c
    known = dict(connection.execute(select(m.key, m.state).where(among(m.key, unique))).all())
    suppressed = among_these(connection, [one.address for one in unique.values()])

    def stands(one: Wanted) -> str:
        if one.key in known and known[one.key] not in ("queued", *_RESUMED):
            return str(known[one.key])
        if not is_address(one.address):
            return "no address"
        return "suppressed" if one.address.lower() in suppressed else TO_SEND

    planned = tuple(Planned(one.address, one.user_id, stands(one)) for one in unique.values())
    counts = dict(Counter(one.state for one in planned).most_common())
    return Plan(template.name, subject, counts, audience.without_address, planned)


def require_bearable(planned: Plan, most: int) -> None:
    """Raise ConflictError where more would get it than somebody said, or than is usual."""
    if (number := planned.counts.get(TO_SEND, 0)) > most:
        raise ConflictError(
            f"{number:,} people would get it; {most:,} is the limit. Nothing was sent",
            f"Look at them first (-n); if it is right, add --max-recipients {number}",
        )


def ask(
    engine: Engine, template: Template, some: Sequence[Wanted], operator: str, now: datetime, *, configured: bool, together: bool
) -> tuple[list[Asked], str | None]:
    """Make the rows of all, or find those that were made before; with `together` under a name, and up to a hundred in a request."""
    batch = f"{template.name}-{now:%Y%m%dT%H%M%SZ}-{token_hex(2)}" if together else None
    with writing(engine) as connection:
        asked = asking.ask(connection, some, batch=batch, state="queued" if configured else "not_configured")
        if configured and (resumed := [one.id for one in asked if not one.is_new and one.state in ("queued", *_RESUMED)]):
            asking.requeue(connection, resumed, _RESUMED)
        if new := [one for one in asked if one.is_new]:
            about = batch or new[0].id
            addresses = {"address": digest(some[0].address)} if not together else {}
            record(connection, operator, "email.send", about, details={"template": template.name, "mails": len(new), **addresses})
    return asked, batch if new else None


def effects(engine: Engine, ids: Sequence[str]) -> list[str]:
    """The outbox rows of those of the mails that wait."""
    m, o = mails.c, outbox.c
    joined = mails.join(outbox, (o.kind == MAIL) & (o.key == m.effect))
    waiting = (m.state == "queued") & o.state.in_(("pending", "sending"))
    with reading(engine) as connection:
        found = connection.execute(select(m.effect, func.min(o.id)).select_from(joined).where(among(m.id, ids), waiting).group_by(m.effect))
        return [key for key, _ in sorted(found, key=lambda row: row[1])]


def states(engine: Engine, ids: Sequence[str]) -> dict[str, int]:
    """How many of the mails are in which state."""
    with reading(engine) as connection:
        found = connection.execute(select(mails.c.state, func.count()).where(among(mails.c.id, ids)).group_by(mails.c.state))
        return dict(sorted(((state, number) for state, number in found), key=lambda pair: -pair[1]))
