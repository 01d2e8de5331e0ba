"""The vault: a key that is good, and no value under another; as many as can be opened in time."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading
from aura_cli.insight.finding import Finding, absent, fail, ok, warn
from aura_cli.insight.surroundings import Surroundings
from aura_cli.vault.keyring import CURRENT, FALLBACK, NAME, KeyRing
from aura_cli.vault.rotation import latest
from aura_cli.vault.walk import PLAINTEXT, UNREADABLE, Tally, read, state_of
from aura_cli.words import counted

_BATCH = 1_000
_SECONDS = 2.0  # that are left over when the walk ends
STATUS = "aura keys status"


def check(about: Surroundings) -> Iterator[Finding]:
    """Look at the key, a rotation under way, and what is sealed. Raises DatabaseAway, ConfigurationError for retired keys that are none."""
    ring = KeyRing.of(about.settings)
    if ring.current is None:
        yield absent("key", f"{NAME}; nothing can be sealed", "aura keys generate")
    elif ring.problem:
        yield fail("key", f"{NAME} {ring.problem}", "aura keys generate")
    engine = about.database.ready()
    with reading(engine) as connection:
        rotation = latest(connection)
    under_way = rotation is not None and rotation.next_step is not None
    if rotation and rotation.next_step:
        yield warn("rotation", f"a rotation to key {rotation.new} is {rotation.state}: {rotation.next_step}", STATUS)
    tally, seen, whole = _walked(about, engine, ring)
    yield from _judged(tally, under_way=under_way)
    if ring.current is not None:
        values = tally.values[CURRENT] + tally.own[CURRENT]
        yield ok(
            "values", f"{counted(values, 'value')} under the current key" + ("" if whole else f"; looked at the first {seen:,} connections")
        )


def _judged(tally: Tally, *, under_way: bool) -> Iterator[Finding]:
    """What is not under the current key; during a rotation some of it must be under another."""
    found = tally.values + tally.own
    retired = sum(number for label, number in found.items() if label not in (CURRENT, FALLBACK, UNREADABLE, PLAINTEXT))
    rotate = "aura keys rotate --switch"
    if retired and not under_way:
        yield fail("values", f"{counted(retired, 'value')} under a retired key, dead to the web app", rotate)
    if found[FALLBACK]:
        yield fail("values", f"{counted(found[FALLBACK], 'value')} under the web app's public fallback key", rotate)
    if found[UNREADABLE]:
        yield fail("values", f"{counted(found[UNREADABLE], 'value')} damaged, or under a key that is not configured", STATUS)
    if found[PLAINTEXT]:
        yield warn("values", f"{counted(found[PLAINTEXT], 'value')} not sealed at all", "aura keys rotate --switch --seal-plaintext")


def _walked(about: Surroundings, engine: Engine, ring: KeyRing) -> tuple[Tally, int, bool]:
    """The values by what opens them, of how many connections, and whether those are all."""
    tally, after, seen = Tally(), None, 0
    while True:
        with reading(engine) as connection:
            rows = read(connection, after, _BATCH)
        for row in rows:
            tally.add(row, [(place, state_of(ring, text)) for place, text in row.values()])
        seen += len(rows)
        if len(rows) < _BATCH or about.left < _SECONDS:
            break
        after = rows[-1].id
    _add_own(about, engine, ring, tally)
    return tally, seen, len(rows) < _BATCH


def _add_own(about: Surroundings, engine: Engine, ring: KeyRing, tally: Tally) -> None:
    with reading(engine) as connection:
        for column in about.sealed_columns():
            values: Sequence[str] = connection.execute(select(column).where(column.is_not(None))).scalars().all()
            tally.own.update(state_of(ring, text) for text in values)
