"""The web app's two rate limits, on the counters that it uses itself.

Its library is `@upstash/ratelimit` 2.x; Upstash's Python library counts in the same keys, `<prefix>:<identifier>:<window's number>`, so
that whoever takes, there or here, takes from one allowance. Where nothing can be asked, everything is allowed, as there; a verdict says
so (`enforced`), and it is said and counted here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from aura_cli.errors import AuraError, ServiceError, UsageError
from aura_cli.settings import Settings

if TYPE_CHECKING:  # Upstash's libraries take a third of a second to import: not where nothing is configured
    from upstash_ratelimit import Ratelimit
    from upstash_redis import Redis

    from aura_cli.ratelimit.upstash import Upstash

CONFIGURED_BY = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")  # the web app limits nothing without both
AWAY_SECONDS = 30.0  # after a failure nothing is asked for so long: not every check waits for its time-out
LONGEST_IDENTIFIER = 512
_SCAN_PAGE = 1000


class Limit(StrEnum):
    """Which limit."""

    GENERAL = "general"
    AUTH = "auth"


@dataclass(frozen=True)
class Rule:
    """So many requests in a sliding window of so many seconds, counted under a prefix."""

    prefix: str
    requests: int
    window_s: int

    @property
    def text(self) -> str:
        return f"{self.requests} in {self.window_s} s"


RULES: Mapping[Limit, Rule] = {  # the web app's
    Limit.GENERAL: Rule("aura:ratelimit", 10, 10),
    Limit.AUTH: Rule("aura:auth:ratelimit", 5, 60),
}


@dataclass(frozen=True)
class Verdict:
    """May it be done? `limit` and `remaining` are requests; at `reset_at` the window ends.

    `enforced` is False where nobody could be asked, for the reason in `why`: then it is allowed, and what is left is not known.
    """

    allowed: bool
    limit: int
    remaining: int | None
    reset_at: datetime | None
    enforced: bool
    why: str | None = None


@dataclass(frozen=True)
class Usage:
    """How far an identifier has used a limit up: requests of the last `window_s` seconds, weighed as the library weighs them."""

    limit: Limit
    prefix: str
    requests: int
    window_s: int
    used: int
    remaining: int
    reset_at: datetime


@dataclass
class Limits:
    """The limits for as long as a program runs. Use as a context manager.

    The first time that something is allowed only because nobody could be asked, `tell` gets the reason; `unenforced` counts them all.
    """

    settings: Settings
    tell: Callable[[str], None] = lambda reason: None
    unenforced: int = 0
    _open: ExitStack = field(default_factory=ExitStack)
    _redis: Upstash | None = None
    _away: tuple[float, str] | None = None  # until when (monotonic) nobody is asked, and why

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def check(self, limit: Limit, identifier: str) -> Verdict:
        """Take one request. Never raises for a Redis that cannot be asked; UsageError for what is no identifier."""
        identify(identifier)
        rule = RULES[limit]
        if (why := self._unasked()) is None:
            try:
                taken = self._limiter(rule).limit(identifier)
                return Verdict(bool(taken.allowed), int(taken.limit), int(taken.remaining), _moment(taken.reset), enforced=True)
            except AuraError as error:
                why = error.message
            except (TypeError, ValueError):
                why = "Upstash's answer is none to a take"
            self._away = (time.monotonic() + AWAY_SECONDS, why)
        self.unenforced += 1
        if self.unenforced == 1:
            self.tell(why)
        return Verdict(allowed=True, limit=rule.requests, remaining=None, reset_at=None, enforced=False, why=why)

    def peek(self, limit: Limit, identifier: str) -> Usage:
        """How much is used, without taking any. Raises as `Upstash.execute`, ConfigurationError where nothing is configured."""
        identify(identifier)
        rule, limiter = RULES[limit], self._limiter(RULES[limit])
        try:
            remaining = limiter.get_remaining(identifier)
        except (TypeError, ValueError) as error:
            raise ServiceError(f"What is counted under {rule.prefix}:{identifier} is no number", "Is it somebody else's key?") from error
        reset = _moment(limiter.get_reset(identifier))
        return Usage(limit, rule.prefix, rule.requests, rule.window_s, rule.requests - remaining, remaining, reset)

    def keys(self, identifier: str, *, everywhere: bool = False) -> list[str]:
        """The keys that hold counters of exactly this identifier: of this window, the one before and the one after (clocks differ).

        `everywhere` looks through the whole database, for windows of other lengths. Raises as `peek`.
        """
        identify(identifier)
        possible = sorted({key for rule in RULES.values() for key in self._possible(rule, identifier, everywhere=everywhere)})
        held: list[str] = []
        for start in range(0, len(possible), _SCAN_PAGE):
            page = possible[start : start + _SCAN_PAGE]
            values = cast("list[Any]", self._asked().mget(*page))  # of a key that is no counter it says nil, too
            held += [key for key, value in zip(page, values, strict=True) if value is not None]
        return held

    def delete(self, keys: list[str]) -> int:
        """Forget these counters; returns how many there were still. Raises as `peek`."""
        return self._asked().delete(*keys) if keys else 0

    def _possible(self, rule: Rule, identifier: str, *, everywhere: bool) -> Iterator[str]:
        stem = f"{rule.prefix}:{identifier}:"
        if not everywhere:
            window = int(time.time()) // rule.window_s
            yield from (f"{stem}{number}" for number in (window - 1, window, window + 1))
            return
        cursor = 0
        while True:
            cursor, found = self._asked().scan(cursor, match=f"{escaped(stem)}*", count=_SCAN_PAGE)
            yield from (key for key in found if re.fullmatch(r"\d+", key.removeprefix(stem), re.ASCII))
            if int(cursor) == 0:
                return

    def _limiter(self, rule: Rule) -> Ratelimit:
        from upstash_ratelimit import Ratelimit, SlidingWindow

        return Ratelimit(cast("Redis", self._asked()), SlidingWindow(rule.requests, rule.window_s), rule.prefix)

    def _asked(self) -> Upstash:
        if self._redis is None:
            from aura_cli.ratelimit.upstash import Upstash

            self._redis = self._open.enter_context(Upstash(self.settings))
        return self._redis

    def _unasked(self) -> str | None:
        """Why nobody is to be asked now."""
        if why := lacking(self.settings):
            return why
        if self._away and time.monotonic() < self._away[0]:
            return self._away[1]
        return None


def check(settings: Settings, limit: Limit, identifier: str) -> Verdict:
    """Take one request of `limit` for `identifier`. Raises UsageError for what is no identifier, and nothing for a Redis that is away."""
    with Limits(settings) as limits:
        return limits.check(limit, identifier)


def lacking(settings: Settings) -> str | None:
    """Which settings are not there, in words; None where both are."""
    names = [name for name in CONFIGURED_BY if not settings.get(name)]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set" if names else None


def identify(identifier: str) -> None:
    """Raises UsageError for what cannot be whom a limit is about."""
    if not identifier.strip() or not identifier.isprintable() or len(identifier) > LONGEST_IDENTIFIER:
        raise UsageError(
            "An identifier is one line of text, 512 characters at most", "The web app's are like chat:203.0.113.7 or an address"
        )


def escaped(text: str) -> str:
    """`text` as a glob pattern of Redis' that matches it and nothing else."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
