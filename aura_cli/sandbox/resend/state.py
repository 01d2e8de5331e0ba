"""What the stand-in knows: the mails that it took, what became of each, who is told, and who asked what."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from aura_cli.sandbox.credentials import RESEND_API_KEY
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.resend.idempotency import IdempotencyKeys
from aura_cli.sandbox.resend.limits import Limits
from aura_cli.sandbox.resend.messages import Message

SENDING = "sandbox.test"  # the domain of the sandbox's FROM_EMAIL
VERIFIED = "verified"


@dataclass
class Mail:
    """One mail that was taken. `last_event` as Resend names it: queued, sent, delivered, bounced, complained, …"""

    id: str
    message: Message
    created: float
    key: str | None
    last_event: str = "queued"


@dataclass(frozen=True)
class Endpoint:
    """Who is told of events, signed with a secret; no events: of all."""

    url: str
    secret: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """One thing that became of a mail."""

    id: str
    type: str
    created: float
    mail: Mail
    more: dict[str, Any]


@dataclass
class Delivery:
    """One attempt to tell an endpoint of an event; `status` 0: it was not reached."""

    event: str
    type: str
    mail: str
    url: str
    attempt: int
    status: int


class Mishap(msgspec.Struct, forbid_unknown_fields=True):
    """Trouble for the next `times` sendings: see `mishaps.py`. `done`: the mails were taken all the same."""

    kind: str
    times: int = 1
    done: bool = False
    seconds: float = 0.0


@dataclass
class Entry:
    """One request as the journal has it."""

    at: float  # epoch seconds
    method: str
    path: str
    key: str | None
    status: int = 0
    error: str | None = None  # Resend's name of it
    mails: list[str] = field(default_factory=list)  # ids that the answer names
    replayed: bool = False


@dataclass
class ResendState:
    """One team. `clock` gives epoch seconds; `ahead` is how far the sandbox's time has been moved on."""

    api_key: str = RESEND_API_KEY
    clock: Callable[[], float] = time.time
    faults: Faults = field(default_factory=Faults)  # of webhooks: duplicates, disorder
    limits: Limits = field(default_factory=Limits)
    domains: tuple[str, ...] = ()  # that may send; none: all
    registered: dict[str, dict[str, str]] = field(default_factory=lambda: {SENDING: {"SPF": VERIFIED, "DKIM": VERIFIED}})  # see domains.py
    endpoints: list[Endpoint] = field(default_factory=list)
    bodies: int = 2_000  # of the newest mails that are kept; of older ones only who got what when
    ahead: float = 0.0
    mails: dict[str, Mail] = field(default_factory=dict, repr=False)  # oldest first
    keys: IdempotencyKeys = field(default_factory=IdempotencyKeys)
    mishaps: list[Mishap] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list, repr=False)
    deliveries: list[Delivery] = field(default_factory=list, repr=False)
    on_event: Callable[[Event], None] | None = None
    random: Random = field(default_factory=Random, repr=False)
    _whole: deque[Mail] = field(default_factory=deque, init=False, repr=False)

    def now(self) -> float:
        return self.clock() + self.ahead

    def new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def mishap(self) -> Mishap | None:
        """The trouble that was ordered for the next sending; one that has come as often as it was to is gone."""
        if not self.mishaps:
            return None
        found = self.mishaps[0]
        found.times -= 1
        if not found.times:
            self.mishaps.pop(0)
        return found

    def take(self, message: Message, key: str | None) -> Mail:
        """Keep a mail; the bodies of old ones make room."""
        mail = Mail(self.new_id(), message, self.now(), key)
        self.mails[mail.id] = mail
        self._whole.append(mail)
        if len(self._whole) > self.bodies:
            old = self._whole.popleft()
            old.message = replace(old.message, html=None, text=None)
        return mail
