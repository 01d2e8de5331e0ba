"""Mail that did not go out, again: what waits is tried now, what ended can be asked for anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.types import among, utc_now
from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.mail import asking
from aura_cli.mail.asking import MAIL
from aura_cli.mail.suppression import among_these
from aura_cli.mail.tables import mails
from aura_cli.mail.views import Filter, named
from aura_cli.outbox.tables import outbox
from aura_cli.words import counted

REVIVED = ("not_configured", "suppressed", "failed", "bounced", "expired")  # states out of which a person may ask again


@dataclass(frozen=True)
class Retried:
    """What became of mails that were tried again: by state."""

    mails: int
    states: dict[str, int]


def waiting(engine: Engine, *, due: bool = False) -> list[str]:
    """The mails that wait, the oldest first; of them those whose turn it is where only what is `due` is asked for."""
    statement = select(mails.c.id).where(mails.c.state == "queued").order_by(mails.c.created_at)
    if due:
        statement = statement.where(mails.c.effect.in_(select(outbox.c.key).where(_pending(due=True))))
    with reading(engine) as connection:
        return list(connection.execute(statement).scalars())


def unmade(engine: Engine, *, due: bool) -> int:
    """How many mails were asked for while events were handled, wait, and have no row yet."""
    statement = select(func.count()).where(
        _pending(due=due), outbox.c.key.not_in(select(mails.c.effect).where(mails.c.effect.is_not(None)))
    )
    with reading(engine) as connection:
        return connection.execute(statement).scalar_one()


def _pending(*, due: bool) -> ColumnElement[bool]:
    o = outbox.c
    pending = (o.kind == MAIL) & (o.state == "pending")
    return pending & (o.next_try_at <= utc_now()) if due else pending


def make_due(engine: Engine, ids: Sequence[str] | None = None) -> None:
    """Let waiting mails (all without `ids`, also those that nothing carries) be tried now and not when it is their turn."""
    o = outbox.c
    mine = (o.kind == MAIL) & (o.state == "pending")
    if ids is not None:
        mine &= o.key.in_(select(mails.c.effect).where(among(mails.c.id, ids)))
    stranded = waiting(engine) if ids is None else []
    with writing(engine) as connection:
        asking.requeue(connection, stranded, ())
        connection.execute(outbox.update().where(mine).values(next_try_at=utc_now()))


def chosen(connection: Connection, wanted: Filter, *, anew: bool) -> list[str]:
    """The ids of mails that are to go out again. Raises as `named` does, and AttentionNeeded for one that may have been sent.

    `anew`: also those whose key has expired. What bounced stays as it is while its address gets no mail: AttentionNeeded where it is named.
    """
    m = mails.c
    asked = (
        [(mail.id, mail.state, mail.address) for mail in named(connection, wanted.ids)]
        if wanted.ids
        else connection.execute(select(m.id, m.state, m.address).where(*wanted.conditions()).order_by(m.created_at)).all()
    )
    back = among_these(connection, [address for _, state, address in asked if state == "bounced" and address])
    if wanted.ids and back:
        address, reason = next(iter(back.items()))
        raise AttentionNeeded(f"{address} gets no mail: {reason}", f"If it may again: aura email suppress --remove {address}")
    found = [(identifier, state) for identifier, state, address in asked if state != "bounced" or (address or "").lower() not in back]
    if wanted.ids and (wrong := [state for _, state in found if state not in (*REVIVED, "queued")]):
        raise UsageError(f"That mail is {wrong[0]}", "aura email send … --again sends it once more")
    expired = [identifier for identifier, state in found if state == "expired"]
    if expired and not anew:
        raise AttentionNeeded(
            f"{counted(len(expired), 'mail')} with an expired key: nobody here knows whether Resend sent it, so it could arrive twice",
            f"Look at Resend for {expired[0]}; --anew sends them all the same",
        )
    return [identifier for identifier, state in found if state in (*REVIVED, "queued")]


def revive(engine: Engine, ids: Sequence[str], operator: str) -> None:
    """Let mails go out that had ended, and those that wait at once."""
    with writing(engine) as connection:
        rows = connection.execute(select(mails.c.id, mails.c.state).where(among(mails.c.id, ids))).all()
        asking.requeue(connection, ids, REVIVED)
        for row in rows:
            record(connection, operator, "email.retry", row.id, details={"was": row.state})
    make_due(engine, [row.id for row in rows if row.state == "queued"])


def carried_by(engine: Engine, effects: Sequence[str]) -> list[str]:
    """The mails of these outbox rows."""
    with reading(engine) as connection:
        return list(connection.execute(select(mails.c.id).where(among(mails.c.effect, effects))).scalars())
