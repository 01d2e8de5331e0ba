"""Customers' connections: broken, about to end, not renewed; providers that are stopped; answers that are not stored yet."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Engine

from aura_cli.db.engine import reading
from aura_cli.insight.finding import Finding, fail, ok, warn
from aura_cli.insight.surroundings import Surroundings
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.spool import DRAFT, FOLDER
from aura_cli.integrations.state import Health, scan
from aura_cli.integrations.strikes import stopped
from aura_cli.vault.keyring import KeyRing
from aura_cli.words import counted

SOON, LATE = timedelta(days=7), timedelta(hours=1)
_SECONDS = 2.0  # that are left over when the look ends
REFRESH = "aura integrations refresh"
_ENDING, _OVERDUE = "ending", "overdue"
_BROKEN = {  # what is counted → in words, and what to do about it
    Health.NEEDS_CONSENT: ("without its owner's consent any more", "aura integrations list --health needs_consent"),
    Health.FAILING: ("that fails for now", "aura integrations list --health failing"),
    _ENDING: (f"that ends within {SOON.days} days unless its owner does something", f"aura integrations list --expiring {SOON.days}d"),
    _OVERDUE: ("that ran out an hour ago or more, and nobody refreshed", REFRESH),
}


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at every connection, as far as time allows. What no key opens is the vault's. Raises DatabaseAway, and as the catalogue does."""
    engine = about.database.ready()
    catalogue = about.catalogue()
    tally, whole = _counted(about, engine, catalogue)
    for kind, (what, fix) in _BROKEN.items():
        if number := tally[kind]:
            yield warn(str(kind), f"{counted(number, 'connection')} {what}", fix)
    with reading(engine) as connection:
        for provider, stop in stopped(connection, catalogue).items():
            why = f"{provider} is stopped for everybody: {stop.error or stop.failure}"
            yield fail("provider", why, f"aura integrations refresh --provider {provider} --force")
    if kept := _kept(about):
        yield fail("spool", f"{counted(kept, 'answer')} of providers not in the database yet", REFRESH)
    number = sum(tally[health] for health in Health)
    yield ok("connections", f"{counted(number, 'connection')} looked at" + ("" if whole else ", more than there was time for"))


def _counted(about: Surroundings, engine: Engine, catalogue: Catalogue) -> tuple[Counter[str], bool]:
    """Connections by health, and by what is about to happen to them; and whether those are all."""
    tally: Counter[str] = Counter()
    vault, now = KeyRing.of(about.settings), about.now()
    with reading(engine) as connection:
        for one in scan(connection, vault, catalogue):
            health = one.health(now)
            tally[health] += 1
            tally[_ENDING] += health is Health.OK and _within(one.ends_at, now + SOON)
            tally[_OVERDUE] += health is Health.EXPIRED and _within(one.read.expiry, now - LATE)
            if about.left < _SECONDS:
                return tally, False
    return tally, True


def _within(moment: datetime | None, end: datetime) -> bool:
    return moment is not None and moment <= end


def _kept(about: Surroundings) -> int:
    """Answers in the spool that have lain there for longer than a refresh takes."""
    folder = about.settings.home / FOLDER
    if not folder.is_dir():
        return 0
    old = time.time() - LATE.total_seconds()
    number = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # a refresh may take it away meanwhile
            number += path.suffix != DRAFT and path.stat().st_mtime < old
    return number
