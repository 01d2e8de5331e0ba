"""Google Analytics: the settings, and an event that its validation server is shown; it is not counted."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aura_cli.analytics.collecting import ID, SECRET, Collector, client_id, request_body
from aura_cli.analytics.effects import Money, purchase
from aura_cli.insight.finding import Finding, System, absent, fail, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed

KEYS = PAGES[System.ANALYTICS].keys


def check(about: Surroundings) -> Iterator[Finding]:
    """Let an event be validated. Google looks at neither the id nor the secret then, and nowhere says that one is wrong.

    Raises as `Service.call` does, ConfigurationError for an id that is none.
    """
    missing = [name for name in (ID, SECRET) if not about.settings.get(name)]
    if missing:
        browsers = "; browsers count alone" if missing == [SECRET] else ""
        yield absent("property", f"{' and '.join(missing)}{browsers}", KEYS)
        return
    made = Collector.of(about.settings)
    with replace(made, service=about.asked(made.service)) as collector:
        problems, latency = timed(lambda: collector.validate(_example()))
    if problems:
        yield fail("event", f"Google refuses an event: {problems[0].what}", "aura analytics validate purchase")
    else:
        yield ok("event", f"{about.settings.get(ID)}: an event is valid; id and secret are not judged", latency)


def _example() -> dict[str, Any]:
    """A purchase as the listener tells of it."""
    _, asked = purchase(Money("doctor", "doctor", 1.0, "usd", 0), "doctor")
    return request_body(client_id("doctor"), asked["event"], asked["params"])
