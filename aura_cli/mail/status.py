"""What becomes of a mail after it was sent: Resend's events, each noted once, a state that never goes back, addresses that get no more.

https://resend.com/docs/webhooks/event-types. Events come in any order, more than once, and now and then before the answer to the
request that they are about.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, or_, select

from aura_cli.db.engine import upsert
from aura_cli.db.types import UUID, among, utc_now
from aura_cli.errors import AuraError
from aura_cli.mail import suppression
from aura_cli.mail.tables import mails, resend_events

# A state is followed by those behind it alone. What was not sent by our reckoning may turn out to have been.
ORDER = (
    ("queued", "not_configured", "expired"),
    ("sent",),
    ("delayed",),
    ("delivered",),
    ("bounced", "failed", "suppressed"),
    ("complained",),
)
STATES = tuple(state for group in ORDER for state in group)
MAIL_TAG = "mail"  # each message bears the id of its row
_RANK = {state: rank for rank, group in enumerate(ORDER) for state in group}
_STATE_OF = {
    "email.sent": "sent",
    "email.delivery_delayed": "delayed",
    "email.delivered": "delivered",
    "email.opened": "delivered",
    "email.clicked": "delivered",
    "email.bounced": "bounced",
    "email.failed": "failed",
    "email.suppressed": "suppressed",
    "email.complained": "complained",
}
_ORIGINS = {"bounce": suppression.BOUNCED, "complaint": suppression.COMPLAINED, "manual": suppression.MANUAL}
_UUID = re.compile(UUID)
_PASSING = ("Transient", "Undetermined")  # bounces after which the address may well be good
_CLOCKS = timedelta(seconds=5)  # by which Resend's may be behind the database's


class BadEvent(AuraError):
    """A body that is signed and no event."""


class _Bounce(msgspec.Struct):
    type: str = ""
    subType: str = ""  # noqa: N815 (Resend's name)
    message: str = ""


class _Reason(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Data(msgspec.Struct):
    email_id: str | None = None
    to: list[str] | str = []
    tags: Any = None
    bounce: _Bounce | None = None
    failed: _Reason | None = None
    suppressed: _Reason | None = None
    email: str | None = None
    origin: str | None = None


class _Event(msgspec.Struct):
    type: str
    created_at: str
    data: _Data


@dataclass(frozen=True)
class Event:
    """One event: Resend's id of the delivery, what it is, when it happened, which mail it is about (Resend's id, ours), and why."""

    id: str
    type: str
    created: datetime
    resend_id: str | None
    mail: str | None
    address: str | None
    why: str | None
    suppresses: str | None  # the reason for which its address gets no more


def read(identifier: str, body: bytes) -> Event:
    """The event of a verified body. Raises BadEvent."""
    try:
        event = msgspec.json.decode(body, type=_Event)
        created = datetime.fromisoformat(event.created_at)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadEvent(f"The body is no event: {error}") from error
    data = event.data
    to = [data.to] if isinstance(data.to, str) else data.to
    address = data.email or (to[0] if len(to) == 1 else None)
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    kind = event.type.replace("\0", "")
    return Event(identifier, kind, created, _text(data.email_id), _tagged(data.tags), _text(address), _why(data), _suppresses(kind, data))


def note(connection: Connection, event: Event) -> bool:
    """Note an event, and what it says of its mail and address; False where it was noted before."""
    row = {"id": event.id, "type": event.type, "created": event.created, "resend_id": event.resend_id}
    statement = upsert(connection, resend_events).values(row).on_conflict_do_nothing(index_elements=["id"])
    if connection.execute(statement.returning(resend_events.c.id)).first() is None:
        return False
    mail, address = _its_mail(connection, event)
    if mail and (state := _STATE_OF.get(event.type)):
        advance(connection, [mail], state, error=event.why, resend_id=event.resend_id)
    if event.suppresses and (address or event.address):
        suppression.suppress(connection, address or event.address or "", event.suppresses, mail, event.created)
    if event.type == "suppression.removed" and event.address:
        suppression.release_at_resend(connection, event.address, event.created)
    return True


def note_sent(connection: Connection, taken: Mapping[str, str]) -> None:
    """Note Resend's ids of mails (ours → its), and events about them that came before."""
    if not taken:
        return
    m, e = mails.c, resend_events.c
    known = mails.update().where(m.id == bindparam("mail")).values(resend_id=bindparam("theirs"), sent_at=utc_now())
    connection.execute(known, [{"mail": ours, "theirs": theirs} for ours, theirs in taken.items()])
    advance(connection, taken, "sent")
    found = connection.execute(select(e.type, e.resend_id).where(among(e.resend_id, taken.values())).order_by(e.created)).all()
    for kind, resend_id in found:
        if state := _STATE_OF.get(kind):
            advance(connection, [], state, resend_id=resend_id)


def advance(connection: Connection, ids: Iterable[str], state: str, *, error: str | None = None, resend_id: str | None = None) -> int:
    """Bring mails (by id, else by their id at Resend) to a state, where it lies ahead of theirs; returns how many moved."""
    m = mails.c
    ids = list(ids)
    mine = among(m.id, ids) if ids else m.resend_id == resend_id
    if resend_id and ids:
        unknown = mails.update().where(mine, m.resend_id.is_(None))
        connection.execute(unknown.values(resend_id=resend_id, sent_at=utc_now()))
    behind = [name for name, rank in _RANK.items() if rank < _RANK[state]]
    values: dict[str, Any] = {"state": state, "state_at": utc_now(), "error": error.replace("\0", "") if error else None}
    moved: int = connection.execute(mails.update().where(mine, m.state.in_(behind)).values(values)).rowcount
    return moved


def _its_mail(connection: Connection, event: Event) -> tuple[str | None, str | None]:
    """Our id and the address of the mail that an event is about: by Resend's id, or by the tag that it bears.

    The tag tells of the first sending as of the second: it counts only as long as the id of the last one is not known, and for what
    happened after that was tried.
    """
    m = mails.c
    by = [m.resend_id == event.resend_id] if event.resend_id else []
    if event.mail:
        by.append(and_(m.id == event.mail, m.resend_id.is_(None), m.first_try_at <= event.created + _CLOCKS))
    if not by:
        return None, None
    row = connection.execute(select(m.id, m.address).where(or_(*by)).order_by(m.resend_id.is_(None)).limit(1)).first()
    return (row.id, row.address) if row else (None, None)


def _suppresses(kind: str, data: _Data) -> str | None:
    match kind:
        case "email.bounced":
            return None if data.bounce and data.bounce.type in _PASSING else suppression.BOUNCED
        case "email.complained":
            return suppression.COMPLAINED
        case "email.suppressed":
            return suppression.BOUNCED
        case "suppression.added":
            return _ORIGINS.get(data.origin or "", suppression.MANUAL)
    return None


def _why(data: _Data) -> str | None:
    if data.bounce:
        kind = " ".join(filter(None, (data.bounce.type, data.bounce.subType)))
        return ": ".join(filter(None, (kind, data.bounce.message))) or None
    reason = data.failed or data.suppressed
    return (reason.reason or reason.message or None) if reason else None


def _tagged(tags: Any) -> str | None:
    """The id of our row among a message's tags, in either of the shapes that Resend gives them."""
    if isinstance(tags, list):
        tags = {one.get("name"): one.get("value") for one in tags if isinstance(one, dict)}
    value = tags.get(MAIL_TAG) if isinstance(tags, dict) else None
    return value if isinstance(value, str) and _UUID.fullmatch(value) else None


def _text(text: str | None) -> str | None:
    return text.replace("\0", "")[:500] if text else None
