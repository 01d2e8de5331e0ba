"""Requests a second, for the account and for each endpoint, as Stripe counts them (https://docs.stripe.com/rate-limits)."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from aura_cli.sandbox.stripe.errors import rate_limited


@dataclass(frozen=True)
class RateLimit:
    """Requests a second that are let through: of the whole account, and to one endpoint."""

    account: float
    endpoint: float


LIMITS = {"test": RateLimit(25, 25), "live": RateLimit(100, 25)}


class Limiter:
    """Token buckets that hold one second's worth; `tick` is a monotonic source of seconds."""

    def __init__(self, limit: RateLimit | None, tick: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._tick = tick
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, as of when

    def admit(self, endpoint: str) -> None:
        """Count one request to an endpoint (method and path pattern). Raises ApiError 429 when there were too many."""
        if self.limit is None:
            return
        self._take("", self.limit.account, "global-rate")
        self._take(endpoint, self.limit.endpoint, "endpoint-rate")

    def _take(self, bucket: str, rate: float, reason: str) -> None:
        now = self._tick()
        left, seen = self._buckets.get(bucket, (max(rate, 1.0), now))
        left = min(max(rate, 1.0), left + (now - seen) * rate)
        if left < 1:
            self._buckets[bucket] = (left, now)
            raise rate_limited(reason, math.ceil((1 - left) / rate))
        self._buckets[bucket] = (left - 1, now)
