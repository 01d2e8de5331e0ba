"""How hard the limits are pressed just now: whom the web app has counted in the windows that run, and who has used them up."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from aura_cli.ratelimit.limits import RULES, Limit, Rule, escaped
from aura_cli.settings import Settings

PAGE, PAGES = 1_000, 5  # what is looked through: a glance, no census


@dataclass(frozen=True)
class Pressure:
    """One limit: its rule in words, how many identifiers are counted in this window and the last, how many have used this one up."""

    limit: Limit
    rule: str
    identifiers: int
    exhausted: int


def pressures(settings: Settings) -> list[Pressure]:
    """Each limit. Raises ConfigurationError where nothing is configured, and as `Upstash.execute`."""
    from aura_cli.ratelimit.upstash import Upstash

    with Upstash(settings) as redis:
        return [_pressure(redis, limit, rule) for limit, rule in RULES.items()]


def _pressure(redis: Any, limit: Limit, rule: Rule) -> Pressure:
    window = int(time.time()) // rule.window_s
    found = {key: match for key in _keys(redis, rule) if (match := re.fullmatch(r"(.+):(\d+)", key.removeprefix(f"{rule.prefix}:")))}
    running = {key: match for key, match in found.items() if int(match[2]) in (window - 1, window, window + 1)}
    used = cast("list[Any]", redis.mget(*running)) if running else []
    full = {
        match[1]
        for match, count in zip(running.values(), used, strict=True)
        if str(count or 0).isdigit() and int(count or 0) >= rule.requests
    }
    return Pressure(limit, rule.text, len({match[1] for match in running.values()}), len(full))


def _keys(redis: Any, rule: Rule) -> Iterator[str]:
    cursor = 0
    for _ in range(PAGES):
        cursor, found = redis.scan(cursor, match=f"{escaped(rule.prefix)}:*", count=PAGE)
        yield from found
        if int(cursor) == 0:
            return
