"""Stripe's list of events, read forwards: https://docs.stripe.com/webhooks/process-undelivered-events.

Stripe lists the newest first, for 30 days. Behind a known event it can be read on oldest first (`ending_before`); the first page is
found by halving the time until what is left of it fits on one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aura_cli.errors import ServiceError
from aura_cli.subscriptions.stripe import PAGE, Epoch, decoder
from aura_cli.transport import Service
from aura_cli.webhooks.events import HANDLED

KEPT = 30 * 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Listed:
    """An event as the list has it; `created` is epoch seconds, `body` its JSON as Stripe wrote it."""

    id: str
    created: int
    body: bytes = field(repr=False)


class _Head(msgspec.Struct):
    id: str
    created: Epoch


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False


_read_list, _read_head = decoder(_List), decoder(_Head)


@dataclass
class Feed:
    """The handled events that were made at `since` (epoch seconds) or later, page by page, the oldest first."""

    stripe: Service
    since: int
    types: Sequence[str] = HANDLED
    seen: int | None = None  # up to when, by Stripe's clock, everything has been read
    _last: Listed | None = None
    _horizon: int | None = None  # when the newest event of any type was made, as the reading began

    def latest(self, count: int) -> list[Listed]:
        """The newest handled events of any time, the newest first; at most a page. It is no step of the reading."""
        return self._ask({"limit": count})[0]

    def skip_to_now(self) -> None:
        """Leave out all that is there already."""
        found, _ = self._ask({"limit": 1}, handled=False)
        self._last = found[0] if found else None

    def following(self) -> list[Listed]:
        """The next events; none where we are up to date. Raises as `Service.get` does, and may then be asked again."""
        if self._last is None:
            self._horizon = self._newest()
            found = self._oldest(self._horizon + 1) if self._horizon is not None else []
        else:
            found = self._after(self._last)
        if found:
            self._last = found[-1]
        reached = found[-1].created if found else self._horizon
        self.seen = max((moment for moment in (self.seen, reached) if moment is not None), default=None)
        return found

    def _newest(self) -> int | None:
        """When the newest event, of whatever type, was made."""
        found, _ = self._ask({"limit": 1}, handled=False)
        return found[0].created if found else None

    def _oldest(self, end: int) -> list[Listed]:
        """The oldest events before `end`: as many as fit on a page, or a whole second's."""
        low, high = self.since, end
        while low < high:
            found, more = self._ask({"created[gte]": low, "created[lt]": high})
            if more and high - low > 1:
                high = (low + high) // 2
                continue
            while more:
                rest, more = self._ask({"created[gte]": low, "created[lt]": high, "starting_after": found[-1].id})
                found += rest
                more = more and bool(rest)
            if found:
                return found[::-1]
            low, high = high, end
        return []

    def _after(self, last: Listed) -> list[Listed]:
        found, _ = self._ask({"ending_before": last.id})
        found.reverse()
        if any(event.id == last.id or event.created < last.created for event in found):
            raise ServiceError("Stripe's list of events does not go on from where it was asked to", "Trying again is safe")
        return found

    def _ask(self, asked: Mapping[str, Any], *, handled: bool = True) -> tuple[list[Listed], bool]:
        types = {"types[]": self.types} if handled else {}
        answer = _read_list(self.stripe.get("/v1/events", {"limit": PAGE, **types, **asked}))
        heads = [(_read_head(bytes(raw)), bytes(raw)) for raw in answer.data]
        return [Listed(head.id, head.created, body) for head, body in heads], answer.has_more
