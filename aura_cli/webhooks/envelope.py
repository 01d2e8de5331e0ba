"""What an event says about itself, read out of its body without building anything more.

Shapes: https://docs.stripe.com/api/events/object (snapshot events) and https://docs.stripe.com/api/v2/core/events (thin ones).
"""

import re
from datetime import datetime
from typing import NamedTuple

import msgspec

from aura_cli.errors import UsageError
from aura_cli.subscriptions.stripe import Epoch

BACKFILL = "backfill"  # the source of what was read from Stripe's list instead of delivered
LONGEST = 255  # characters of an id, a type, a version
_ID = re.compile(r"\w+", re.ASCII)


class BadEvent(UsageError):
    """A body that is no event of Stripe's."""


class Arrival(NamedTuple):
    """An event as it arrived. `created` is Stripe's time (epoch seconds); `object` and `customer` are ids.

    `source`: the label of the secret that its signature matched, or how else it came.
    """

    id: str
    type: str
    created: int
    api_version: str | None
    livemode: bool
    account: str | None
    object: str | None
    customer: str | None
    thin: bool
    payload: bytes
    source: str


class _Expanded(msgspec.Struct):
    id: str | None = None


class _Object(msgspec.Struct):
    id: str | None = None
    object: str | None = None
    customer: str | _Expanded | None = None


class _Data(msgspec.Struct):
    object: _Object


class _Related(msgspec.Struct):
    id: str | None = None


class _Event(msgspec.Struct):
    id: str
    type: str
    created: Epoch | datetime
    object: str = "event"
    livemode: bool = False
    api_version: str | None = None
    account: str | None = None
    data: _Data | None = None
    related_object: _Related | None = None


_read = msgspec.json.Decoder(_Event).decode


def read(payload: bytes, source: str) -> Arrival:
    """The envelope of an event's body. Raises BadEvent, saying what is wrong, for a body that is none."""
    try:
        payload.decode()  # what is skipped below is text too
        event = _read(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent(f"The body is no event of Stripe's: {error}") from error
    said = event.data.object if event.data else _Object()
    thin = event.object == "v2.core.event"
    if event.object != "event" and not thin:
        raise BadEvent(f"The body is no event of Stripe's: its object is {event.object[:40]!r}")
    if not thin and event.data is None:
        raise BadEvent("The body is no event of Stripe's: it has no data")
    subject = event.related_object.id if thin and event.related_object else said.id
    customer = said.customer.id if isinstance(said.customer, _Expanded) else said.customer
    if said.object == "customer":
        customer = said.id
    texts = (event.id, event.type, event.api_version, event.account, subject, customer)
    together = "".join(filter(None, texts))
    too_long = len(together) > LONGEST and any(len(text) > LONGEST for text in texts if text)
    if too_long or "\0" in together or not _ID.fullmatch(event.id) or not event.type:
        raise BadEvent("The body is no event of Stripe's: an id, type or version in it cannot be one")
    moment = int(event.created.timestamp()) if isinstance(event.created, datetime) else event.created
    return Arrival(event.id, event.type, moment, event.api_version, event.livemode, event.account, subject, customer, thin, payload, source)
