"""Upstash: the database that the web app counts its rate limits in."""

from collections.abc import Iterator

from aura_cli.errors import ServiceError
from aura_cli.insight.finding import Finding, absent, fail, ok
from aura_cli.insight.surroundings import Surroundings, Unseen, timed
from aura_cli.ratelimit.limits import CONFIGURED_BY, lacking
from aura_cli.ratelimit.upstash import Upstash

CONSOLE = "https://console.upstash.com"
_SECONDS = 6.0  # more than a check of a limit waits: it is looked whether it answers at all


def check(about: Surroundings) -> Iterator[Finding]:
    """PING it. Raises as `Upstash.execute` does."""
    if missing := lacking(about.settings):
        if all(about.settings.get(name) is None for name in CONFIGURED_BY):
            yield absent("database", f"{' and '.join(CONFIGURED_BY)}; nothing is limited", CONSOLE)
        else:
            yield fail("database", f"{missing}: nothing is limited", CONSOLE)
        return
    if about.offline:
        raise Unseen("offline")
    with Upstash(about.settings, min(_SECONDS, about.left)) as database:
        answer, latency = timed(lambda: database.execute(["PING"]))
    if answer != "PONG":
        raise ServiceError("Upstash answered a PING with something else", "Is UPSTASH_REDIS_REST_URL its REST address?")
    yield ok("database", "answers", latency)
