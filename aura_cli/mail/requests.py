"""The request that an outbox row's mails go out in: made once, kept to the byte until its answer is noted, good for a day.

Whoever repeats it after a crash sends the same body under the same key, so Resend gives the first answer and sends nothing again. After
a day Resend has forgotten the key: then what is not known to have been sent is `expired`, and waits for a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from aura_cli.db.types import among, utc_now
from aura_cli.errors import UsageError
from aura_cli.mail import invites
from aura_cli.mail.addresses import is_address
from aura_cli.mail.rendering import render
from aura_cli.mail.resend import KEY_SECONDS, Request, Told
from aura_cli.mail.status import MAIL_TAG, note_sent
from aura_cli.mail.suppression import among_these
from aura_cli.mail.tables import mails
from aura_cli.mail.variables import clean
from aura_cli.outbox.queue import Effect
from aura_cli.outbox.tables import outbox

EXPIRED = "Resend has forgotten the key after a day: whether it was sent is not known here"
NOT_CONFIGURED = "RESEND_API_KEY is not set"
NO_ADDRESS = "No mail address"


@dataclass(frozen=True)
class Letterhead:
    """What every mail has: `sender` as a header takes it, and the web app's address."""

    sender: str
    app_url: str


@dataclass(frozen=True)
class Prepared:
    """A request to send now, and the ids of its mails in their order. `is_new`: it has never been sent before."""

    request: Request
    mails: tuple[str, ...]
    is_new: bool


@dataclass(frozen=True)
class Settled:
    """There is nothing to send: all is as it should be, or `error` says what keeps it, for good."""

    error: str | None = None


def prepare(connection: Connection, effect: Effect, letterhead: Letterhead, *, configured: bool) -> Prepared | Settled:
    """What an outbox row asks for now; what is sent is stored with it before, in the caller's transaction.

    Where the claim has run out and somebody else goes on with it, there is nothing to send. Raises ConfigurationError where no mail can
    be made at all.
    """
    o = outbox.c
    mine = (o.id == effect.id) & (o.state == "sending") & (o.lease_owner == effect.owner)
    payload = connection.execute(select(o.payload).where(mine).with_for_update()).scalar()
    if payload is None:
        return Settled()
    effect = replace(effect, payload=payload)
    rows = _members(connection, effect)
    if kept := effect.payload.get("request"):
        return _repeated(connection, rows, kept)
    waiting = [row for row in rows if row.state == "queued" and row.effect == effect.key]
    if not configured:
        _close(connection, [row.id for row in waiting], "not_configured")
        return Settled(NOT_CONFIGURED)
    messages = _messages(connection, waiting, letterhead)
    if not messages:
        return Settled()
    request = Request.of(effect.key, list(messages.values()))
    payload = {**effect.payload, "mails": [row.id for row in rows], "request": {**asdict(request), "mails": list(messages)}}
    connection.execute(outbox.update().where(outbox.c.id == effect.id).values(payload=payload))
    return Prepared(request, tuple(messages), is_new=True)


def note_told(connection: Connection, effect: Effect, prepared: Prepared, told: Sequence[Told]) -> None:
    """Note what Resend told of each mail; the request, which holds what people get to read, is forgotten."""
    taken = {identifier: one.id for identifier, one in zip(prepared.mails, told, strict=True) if one.id}
    for identifier, one in zip(prepared.mails, told, strict=True):
        if identifier not in taken:
            _close(connection, [identifier], "failed", one.error)
    note_sent(connection, taken)
    forget(connection, effect)


def note_refused(connection: Connection, effect: Effect, prepared: Prepared, error: str, state: str = "failed") -> None:
    """Nothing of the request was taken, or with state `expired` nobody knows; it is not tried again by itself."""
    _close(connection, prepared.mails, state, error)
    forget(connection, effect)


def note_hindered(connection: Connection, effect: Effect, error: str, *, last: bool) -> None:
    """No request could be made of it; after the `last` try it is given up."""
    ids = [row.id for row in _members(connection, effect)]
    if last:
        _close(connection, ids, "failed", error)
    else:
        connection.execute(mails.update().where(among(mails.c.id, ids)).values(error=error))


def note_unsent(connection: Connection, effect: Effect, prepared: Prepared, error: str) -> None:
    """It is as if it had not been tried: the next try makes a request of its own, and a day begins anew."""
    connection.execute(mails.update().where(among(mails.c.id, prepared.mails)).values(first_try_at=None, error=error))
    forget(connection, effect)


def forget(connection: Connection, effect: Effect) -> None:
    """Drop the stored request."""
    ids = list(effect.payload.get("mails") or connection.execute(select(mails.c.id).where(mails.c.key == effect.key)).scalars())
    payload = {name: value for name, value in effect.payload.items() if name != "request"} | {"mails": ids}
    connection.execute(outbox.update().where(outbox.c.id == effect.id).values(payload=payload))


def _members(connection: Connection, effect: Effect) -> Sequence[Row[Any]]:
    """The mails of an outbox row in the order in which it names them."""
    m = mails.c
    ids = list(effect.payload.get("mails", ()))
    mine = among(m.id, ids) if ids else m.key == effect.key
    columns: tuple[Any, ...] = (m.id, m.key, m.template, m.address, m.data, m.state, m.resend_id, m.first_try_at, m.effect)
    rows = {row.id: row for row in connection.execute(select(*columns).where(mine))}
    return [rows[identifier] for identifier in ids if identifier in rows] if ids else list(rows.values())


def _repeated(connection: Connection, rows: Sequence[Row[Any]], kept: Mapping[str, Any]) -> Prepared | Settled:
    """A request that was tried before, as long as Resend knows its key, and its one mail may still be sent.

    One of many goes out as it was made: without a mail that was suppressed meanwhile it would be another request, and who got the
    others' before would get them twice.
    """
    prepared = Prepared(Request(kept["path"], kept["key"], kept["body"]), tuple(kept["mails"]), is_new=False)
    asked = [row for row in rows if row.id in prepared.mails]
    if all(row.resend_id for row in asked):  # Resend's webhooks have told of all of them
        return Settled()
    first = min((row.first_try_at for row in asked if row.first_try_at), default=None)
    now = connection.execute(select(utc_now())).scalar_one()
    if first is None or now - first > timedelta(seconds=KEY_SECONDS):
        _close(connection, [row.id for row in asked if not row.resend_id], "expired", EXPIRED)
        return Settled(EXPIRED)
    if len(asked) == 1 and (barred := _barred(connection, asked)):
        [(_, why)] = barred.values()
        said = f"{why}; whether it was sent before is not known here"
        _close(connection, list(barred), "expired", said)
        return Settled(said)
    return prepared


def _barred(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, tuple[str, str]]:
    """Of these mails those that nobody is to get, by id: the state that says so, and why."""
    suppressed = among_these(connection, [row.address for row in rows if row.address])
    closed = invites.closed(connection, [row.key for row in rows])
    refused = {row.id: ("failed", f"The invitation is {closed[row.key]}") for row in rows if row.key in closed}
    return refused | {
        row.id: ("suppressed", f"The address gets no mail: {suppressed[row.address.lower()]}")
        for row in rows
        if row.address and row.address.lower() in suppressed
    }


def _messages(connection: Connection, rows: Sequence[Row[Any]], letterhead: Letterhead) -> dict[str, dict[str, object]]:
    """A message for each mail that can be sent, by its id; the others' states say why not."""
    barred = _barred(connection, rows)
    messages: dict[str, dict[str, object]] = {}
    for row in rows:
        if row.id in barred:
            _close(connection, [row.id], *barred[row.id])
            continue
        try:
            messages[row.id] = _message(row, letterhead)
        except UsageError as error:
            _close(connection, [row.id], "failed", error.message)
    if messages:
        values = {"subject": bindparam("said"), "first_try_at": utc_now()}
        each = [{"mail": identifier, "said": message["subject"]} for identifier, message in messages.items()]
        connection.execute(mails.update().where(mails.c.id == bindparam("mail")).values(values), each)
    return messages


def _message(row: Row[Any], letterhead: Letterhead) -> dict[str, object]:
    """https://resend.com/docs/api-reference/emails/send-email. Raises UsageError for an address or variables that cannot be."""
    if not row.address or not is_address(row.address):
        raise UsageError(f"{NO_ADDRESS}: {row.address!a}" if row.address else NO_ADDRESS)
    rendered = render(row.template, row.data, app_url=letterhead.app_url)
    return {
        "from": letterhead.sender,
        "to": [row.address],
        "subject": clean(rendered.subject),
        "html": rendered.html,
        "text": rendered.text,
        "tags": [{"name": MAIL_TAG, "value": row.id}, {"name": "template", "value": row.template}],
    }


def _close(connection: Connection, ids: Sequence[str], state: str, error: str | None = None) -> None:
    """An end that is ours to say: of mails that wait, and of no others."""
    said = error.replace("\0", "") if error else None
    waiting = among(mails.c.id, ids) & (mails.c.state == "queued")
    connection.execute(mails.update().where(waiting).values(state=state, error=said, state_at=utc_now()))
