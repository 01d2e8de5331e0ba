"""The web app's general rate limit, taken by whoever chats: `chat:<user or operator>`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aura_cli.console import rfc3339
from aura_cli.errors import ServiceError
from aura_cli.ratelimit.limits import CONFIGURED_BY, RULES, Limit, Limits
from aura_cli.settings import Settings

AGAIN = 0.5  # seconds: a sliding window lets somebody through a while after it has ended


@dataclass(frozen=True)
class Turnstile:
    """What lets a turn through. `wait`: until the limit allows it, rather than not at all."""

    limits: Limits
    wait: bool
    say: Callable[[str], None]

    def take(self, who: str) -> None:
        """One turn of `who`'s. Raises ServiceError, saying until when, where the limit is used up and waiting is not wanted."""
        identifier = f"chat:{''.join(letter if letter.isprintable() else '?' for letter in who)}"
        rule, waited = RULES[Limit.GENERAL], False
        while not (verdict := self.limits.check(Limit.GENERAL, identifier)).allowed:
            until = verdict.reset_at or datetime.now(UTC)
            said = f"{identifier} has had its {rule.requests} turns in {rule.window_s} s, until {rfc3339(until.replace(microsecond=0))}"
            if not self.wait:
                raise ServiceError(said, "--wait waits for it", status=429)
            if not waited:
                self.say(f"{said}: waiting")
            time.sleep(AGAIN if waited else max(AGAIN, (until - datetime.now(UTC)).total_seconds()))
            waited = True


def limits(settings: Settings, say: Callable[[str], None]) -> Limits:
    """The limits, which say once why they do not hold where they should: not where nobody configured them. A context manager."""
    configured = any(settings.get(name) for name in CONFIGURED_BY)
    return Limits(settings, lambda reason: say(f"The rate limit is not held: {reason}") if configured else None)
