"""Upstash: the database that the web app counts its rate limits in."""

from collections.abc import Iterator

from aura_cli.errors import ServiceError
from aura_cli.insight.finding import Finding, System, absent, fail, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed
from aura_cli.ratelimit.limits import CONFIGURED_BY, lacking
from aura_cli.ratelimit.upstash import Upstash

KEYS = PAGES[System.UPSTASH].keys


def check(about: Surroundings) -> Iterator[Finding]:
    """PING it. Raises as `Upstash.execute` does."""
    if missing := lacking(about.settings):
        if all(about.settings.get(name) is None for name in CONFIGURED_BY):
            yield absent("database", f"{' and '.join(CONFIGURED_BY)}; nothing is limited", KEYS)
        else:
            yield fail("database", f"{missing}: nothing is limited", KEYS)
        return
    with Upstash(about.settings, about.patience()) as database:  # longer than a check of a limit waits
        answer, latency = timed(lambda: database.execute(["PING"]))
    if answer != "PONG":
        raise ServiceError("Upstash answered a PING with something else", "Is UPSTASH_REDIS_REST_URL its REST address?")
    yield ok("database", "answers", latency)
