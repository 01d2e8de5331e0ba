"""What mail keeps about one person: what was sent to them or waits to be, and whether their addresses get none."""

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, or_, select

from aura_cli.db.types import among, json_field, utc_now
from aura_cli.errors import ConflictError
from aura_cli.mail.asking import MAIL
from aura_cli.mail.invites import TEMPLATE
from aura_cli.mail.tables import mails, resend_events, suppressions
from aura_cli.outbox.tables import outbox
from aura_cli.users.holdings import KEPT_BACK, Holding, Row, addresses, erased, taken
from aura_cli.users.holdings import ids as ids_of
from aura_cli.users.who import Person


def _theirs(connection: Connection, person: Person) -> ColumnElement[bool]:
    return or_(mails.c.user_id == person.id, among(func.lower(mails.c.address), addresses(connection, person)))


def _told(connection: Connection, person: Person) -> ColumnElement[bool]:
    return resend_events.c.resend_id.in_(select(mails.c.resend_id).where(_theirs(connection, person)))


def _suppressed(connection: Connection, person: Person) -> ColumnElement[bool]:
    return among(suppressions.c.address, addresses(connection, person))


HOLDINGS = (Holding(resend_events, _told), Holding(mails, _theirs), Holding(suppressions, _suppressed))


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """Their mails, what Resend told of those, and whether their addresses get mail; no invitation's link: who has it is in."""
    for name, row in taken(connection, person, HOLDINGS):
        yield name, {**row, "data": {**row["data"], "link": KEPT_BACK}} if row.get("template") == TEMPLATE else row


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Delete those, and what waits in the outbox. Raises ConflictError for a mail that is on its way with those of others."""
    waiting = _forget_effects(connection, person)
    return {**({"outbox": waiting} if waiting else {}), **erased(connection, person, HOLDINGS)}


def _forget_effects(connection: Connection, person: Person) -> int:
    """A request that was made keeps what its mails say until it is answered: one of theirs alone goes, one of many is waited for."""
    o = outbox.c
    found = connection.execute(select(mails.c.id, mails.c.key, mails.c.effect).where(_theirs(connection, person))).all()
    ids = {row.id for row in found}
    keys = {key for row in found for key in (row.key, row.effect) if key}
    asked = json_field(o.payload, literal_column("'user_id'")).in_(ids_of(connection, person))  # not made into a mail yet
    claimed = and_(o.state == "sending", o.lease_expires_at > utc_now()).label("claimed")
    effects = connection.execute(
        select(o.id, o.payload, claimed).where(o.kind == MAIL, or_(among(o.key, keys), asked)).with_for_update()
    ).all()
    own = []
    for effect in effects:
        alone = ids.issuperset(effect.payload.get("mails", ()))
        if effect.claimed or ("request" in effect.payload and not alone):
            raise ConflictError("A mail to this person is on its way at this moment", "Nothing was erased; run it again in a minute")
        if alone:
            own.append(effect.id)
    return connection.execute(outbox.delete().where(among(o.id, own))).rowcount if own else 0
