"""How much may be sent: requests a second, mails a day and a month (https://resend.com/docs/api-reference/rate-limit)."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aura_cli.sandbox.resend.errors import known


@dataclass
class Limits:
    """What a team may do, and what it has done; 0 is no limit. A team with a limit a day is on the free plan."""

    rate: int = 10  # requests a second
    daily: int = 0  # mails a day of UTC
    monthly: int = 50_000
    work: float = 0.0  # seconds that taking a mail takes, in which its idempotency key is in use
    _second: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)
    _day: str = field(default="", init=False)
    _today: int = field(default=0, init=False)
    _this_month: int = field(default=0, init=False)

    def admit(self) -> None:
        """Count a request. Raises ResendError 429 when there were too many in this second."""
        second = int(time.monotonic())
        self._second, self._asked = second, self._asked + 1 if second == self._second else 1
        if 0 < self.rate < self._asked:
            raise known("rate_limit_exceeded", {"retry-after": "1"})

    def take(self, mails: int, now: float) -> None:
        """Count mails that are about to be sent. Raises ResendError 429, and then counts none."""
        day = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
        self._today = self._today if day == self._day else 0
        self._this_month = self._this_month if day[:7] == self._day[:7] else 0
        self._day = day
        if 0 < self.daily < self._today + mails:
            raise known("daily_quota_exceeded")
        if 0 < self.monthly < self._this_month + mails:
            raise known("monthly_quota_exceeded")
        self._today += mails
        self._this_month += mails

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of them."""
        found = {"x-resend-monthly-quota": str(self._this_month)}
        if self.rate:
            left = str(max(0, self.rate - self._asked))
            found |= {"ratelimit-limit": str(self.rate), "ratelimit-remaining": left, "ratelimit-reset": "1"}
        return found | ({"x-resend-daily-quota": str(self._today)} if self.daily else {})
