"""The stand-in's clock: starts at a given moment, runs on in real time, and can be moved forward."""

import calendar
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Epoch seconds (UTC) that begin at `start`; `tick` is a monotonic source of seconds."""

    def __init__(self, start: int, tick: Callable[[], float] = time.monotonic) -> None:
        self._start = float(start)
        self._tick = tick
        self._origin = tick()

    def now(self) -> int:
        return int(self._start + self._tick() - self._origin)

    def advance(self, seconds: int) -> int:
        """Move `seconds` forward and return the new moment."""
        self._start += seconds
        return self.now()


MONTHS = {"month": 1, "year": 12}
SECONDS = {"day": 86_400, "week": 604_800}


def _plus_months(anchor: int, months: int) -> int:
    moment = datetime.fromtimestamp(anchor, UTC)
    years, month0 = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    day = min(moment.day, calendar.monthrange(year, month0 + 1)[1])
    return int(moment.replace(year=year, month=month0 + 1, day=day).timestamp())


def period_after(anchor: int, start: int, interval: str, count: int) -> int:
    """The end of the billing period that begins at `start`.

    Periods are counted from the anchor, so that one that began on the 31st comes back to it after a shorter month
    (https://docs.stripe.com/billing/subscriptions/billing-cycle).
    """
    if interval in SECONDS:
        step = SECONDS[interval] * count
        return anchor + ((start - anchor) // step + 1) * step
    step = MONTHS[interval] * count
    begun, then = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(start, UTC)
    turns = ((then.year - begun.year) * 12 + then.month - begun.month) // step
    while (end := _plus_months(anchor, turns * step)) <= start:
        turns += 1
    return end
