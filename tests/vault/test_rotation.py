"""Rotation in its steps, on both databases: what the web app, which knows one key, can read at each of them, and nothing lost."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text

from aura_cli.audit.tables import operator_log
from aura_cli.db.binding import Identity, bound, check
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.db.tables import binding
from aura_cli.errors import ConfigurationError, ConflictError, NotFoundError
from aura_cli.integrations.tables import connect_links, revocations
from aura_cli.settings import Secret
from aura_cli.vault.keyring import FALLBACK_SECRET, Key, KeyRing
from aura_cli.vault.rotating import LEASE, Report, Step, foresee, ready, take
from aura_cli.vault.sealing import derive, seal
from aura_cli.vault.sealing import opened as unsealed
from aura_cli.vault.steps import Work
from aura_cli.vault.tables import reseals, rotations
from tests.vault.world import NEW, OLD, RETIRED, STRANGE, Stored, fill, opened, ring, stored, under, write

OWN = (connect_links.c.sealed, revocations.c.sealed)
BEFORE, AFTER = ring(OLD, RETIRED), ring(NEW, OLD, RETIRED)
PUBLIC = Key("fallback", Secret(FALLBACK_SECRET))


def identity(secret: str | None) -> Identity:
    return Identity("development", None, None, None, Secret(secret).fingerprint if secret else None)


def do(engine: Engine, step: Step, keys: KeyRing, new: str = NEW, *, plaintexts: bool = False) -> Report:
    """One step, as the command takes it."""
    key = Key("new", Secret(new)) if step is Step.STAGE else None
    work = Work(engine, keys.beside(key) if key else keys, "tester", OWN, batch=3)
    expected = foresee(work, ready(work, step, key), plaintexts=plaintexts)
    done = take(work, step, key, plaintexts=plaintexts)
    assert (expected.rows, expected.resealed) == (done.rows, done.resealed)
    return done


def connections(count: int = 10) -> list[dict[str, Any]]:
    """Rows of every shape: both tokens, one, metadata with one and with several values, a retired key, odd texts."""
    texts = ["token", "", "ünicode 🔑", "x" * 3_000]
    rows: list[dict[str, Any]] = [
        {"access_token": under(OLD, f"{texts[n % 4]}{n}"), "refresh_token": under(OLD, f"r{n}") if n % 2 else None, "metadata": {"n": n}}
        for n in range(count)
    ]
    rows[0]["metadata"] = {"apiKey": under(OLD, "key"), "more": [under(OLD, "second"), {"third": under(RETIRED, "third")}], "n": 0}
    rows[1]["metadata"] = None
    rows[2]["access_token"] = under(RETIRED, "was dead")
    rows[3] |= {"access_token": None, "refresh_token": None, "metadata": {"apiKey": under(OLD, "alone")}}
    rows[4]["access_token"] = under(OLD, "")
    return rows


def read(secret: str, rows: list[Stored]) -> list[tuple[Any, ...]]:
    """What a web app with that key reads of everything."""

    def inside(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: inside(part) for name, part in value.items()}
        if isinstance(value, list):
            return [inside(part) for part in value]
        return opened(secret, value) if isinstance(value, str) else value

    return [(row.access and opened(secret, row.access), row.refresh and opened(secret, row.refresh), inside(row.metadata)) for row in rows]


def key_of(engine: Engine) -> tuple[str | None, str | None]:
    with reading(engine) as connection:
        key, other = connection.execute(select(binding.c.key_fingerprint, binding.c.other_key)).one()
        return key, other


def test_there_and_back(engine: Engine) -> None:
    """Staged: nothing has changed. Switched: all is under the new key, what was dead before too. Undone: every digit as it was."""
    check(engine, identity(OLD), store=True)
    fill(engine, connections())
    first, plain = stored(engine), read(OLD, stored(engine))
    staged = do(engine, Step.STAGE, BEFORE)
    assert (staged.rows, staged.resealed, staged.left, stored(engine)) == (10, 0, {}, first)
    switched = do(engine, Step.SWITCH, AFTER)
    assert (switched.rows, switched.resealed, switched.left) == (10, 0, {})
    now = read(NEW, stored(engine))
    assert (now[2][0], now[0][2]["more"][1]["third"]) == ("was dead", "third")
    assert [(a, b) for n, (a, b, _) in enumerate(now) if n != 2] == [(a, b) for n, (a, b, _) in enumerate(plain) if n != 2]
    assert now[0][2]["apiKey"] == "key"
    assert read(OLD, stored(engine))[5][0] is None
    again = do(engine, Step.SWITCH, AFTER)
    assert (again.rows, again.resealed, read(NEW, stored(engine))) == (0, 0, now)
    undone = do(engine, Step.UNDO, AFTER)
    assert (undone.rows, undone.resealed, undone.left, stored(engine)) == (10, 0, {}, first)
    assert do(engine, Step.UNDO, AFTER).rows == 0
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(reseals)).scalar_one() == 0


def test_what_was_written_meanwhile_is_kept(engine: Engine) -> None:
    """Between any two steps, under either key, a row added, changed, half changed, deleted: the newest text is what is read."""
    fill(engine, connections())
    do(engine, Step.STAGE, BEFORE)
    write(engine, "provider-005", access_token=under(OLD, "refreshed, old key"), refresh_token=under(OLD, "r, old key"))
    write(engine, "provider-006", access_token=under(NEW, "refreshed, new key"))
    write(engine, "provider-007", access_token=under(OLD, "half"))
    write(engine, "provider-003", metadata={"apiKey": stored(engine)[3].metadata["apiKey"], "label": "changed beside it"})
    write(engine, "provider-004", access_token=None)
    fill(engine, [{"provider": "provider-100", "access_token": under(OLD, "added")}])
    switched = do(engine, Step.SWITCH, AFTER)
    assert (switched.rows, switched.resealed) == (7, 3)  # of 4, 5 and 6 nothing staged stands any more
    found = {row.provider: row for row in stored(engine)}
    expected = {"005": "refreshed, old key", "006": "refreshed, new key", "007": "half"}
    assert {n: opened(NEW, found[f"provider-{n}"].access) for n in expected} == expected
    assert opened(NEW, found["provider-005"].refresh) == "r, old key"
    assert opened(NEW, found["provider-007"].refresh) == "r7"
    assert opened(NEW, found["provider-100"].access) == "added"
    assert found["provider-004"].access is None
    assert found["provider-003"].metadata["label"] == "changed beside it"
    assert opened(NEW, found["provider-003"].metadata["apiKey"]) == "alone"
    write(engine, "provider-008", access_token=under(OLD, "by an instance with the old key"))
    assert do(engine, Step.SWITCH, AFTER).resealed == 1
    write(engine, "provider-009", access_token=under(NEW, "refreshed since"), refresh_token=under(NEW, "r since"))
    undone = do(engine, Step.UNDO, AFTER)
    assert undone.left == {}
    back = {row.provider: row for row in stored(engine)}
    expected |= {"008": "by an instance with the old key", "009": "refreshed since", "100": "added"}
    assert {n: opened(OLD, back[f"provider-{n}"].access) for n in expected} == expected
    write(engine, "provider-001", access_token=under(NEW, "by an instance that still has the new key"))
    assert do(engine, Step.UNDO, AFTER).resealed == 1
    assert opened(OLD, stored(engine)[1].access) == "by an instance that still has the new key"


def test_staging_again_takes_in_what_changed(engine: Engine) -> None:
    """And only that; then the switch finds nothing to seal anew."""
    fill(engine, connections())
    do(engine, Step.STAGE, BEFORE)
    write(engine, "provider-005", access_token=under(OLD, "refreshed"))
    fill(engine, [{"provider": "provider-100", "access_token": under(OLD, "added")}])
    assert do(engine, Step.STAGE, BEFORE).rows == 2
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(rotations)).scalar_one() == 1
    switched = do(engine, Step.SWITCH, AFTER)
    assert (switched.rows, switched.resealed) == (11, 0)
    assert opened(NEW, stored(engine)[5].access) == "refreshed"


def test_garbage_stays_and_is_counted(engine: Engine) -> None:
    """A corrupted row, one under an unknown key, a plaintext, duplicates: they stop nothing; plaintexts are sealed where that is asked."""
    row = under(OLD, "twice")
    garbage = [{"access_token": under(STRANGE, "?")}, {"access_token": row[:-1]}, {"access_token": "plain", "refresh_token": row}]
    fill(engine, [{"provider": "slack", "access_token": row}, {"provider": "slack", "access_token": row}, *garbage])
    before = stored(engine)
    assert do(engine, Step.STAGE, BEFORE).left == {"plaintext": 1, "unreadable": 2}
    switched = do(engine, Step.SWITCH, AFTER)
    assert (switched.rows, switched.left, switched.lost) == (3, {"plaintext": 1, "unreadable": 2}, 2)
    found = stored(engine)
    assert [row.access for row in found[:3]] == [row.access for row in before[:3]]
    assert [opened(NEW, row.access) for row in found[3:]] == ["twice", "twice"]
    assert do(engine, Step.SWITCH, AFTER, plaintexts=True).left == {"unreadable": 2}
    assert opened(NEW, stored(engine)[2].access) == "plain"
    do(engine, Step.UNDO, AFTER)
    assert opened(OLD, stored(engine)[2].access) == "plain"


def test_the_binding_moves_with_the_rows(engine: Engine) -> None:
    """Both keys write while it is under way, afterwards the one that the rows are under; a third never."""
    fill(engine, connections())

    def who_may_write() -> set[str]:
        found = set()
        for secret in (OLD, NEW, STRANGE):
            with suppress(ConfigurationError):
                check(engine, identity(secret), store=True)
                found.add(secret)
        return found

    check(engine, identity(OLD), store=True)
    assert who_may_write() == {OLD}
    do(engine, Step.STAGE, BEFORE)
    assert who_may_write() == {OLD, NEW}
    do(engine, Step.SWITCH, AFTER)
    assert who_may_write() == {NEW}
    assert ready(Work(engine, ring(OLD, NEW), "tester"), Step.UNDO, None).keys == (
        identity(OLD).key_fingerprint,
        identity(NEW).key_fingerprint,
    )
    check(engine, identity(OLD), store=False, keys=(Secret(OLD).fingerprint, Secret(NEW).fingerprint))
    with pytest.raises(ConfigurationError):
        check(engine, identity(STRANGE), store=False, keys=(Secret(OLD).fingerprint, Secret(NEW).fingerprint))
    do(engine, Step.UNDO, ring(OLD, NEW))
    assert who_may_write() == {OLD}
    assert key_of(engine) == (Secret(OLD).fingerprint, None)


def test_each_step_waits_for_its_turn(engine: Engine) -> None:
    """A step out of order, with keys that are not as they have to be, or to another key meanwhile, is refused and writes nothing."""
    fill(engine, connections())
    with pytest.raises(NotFoundError):
        do(engine, Step.UNDO, BEFORE)
    with pytest.raises(ConfigurationError, match=r"new key is the one in INTEGRATION_ENCRYPTION_KEY"):
        do(engine, Step.STAGE, BEFORE, OLD)
    for bad in ("short", " " + NEW, FALLBACK_SECRET, f"'{NEW}'"):
        with pytest.raises(ConfigurationError, match="The new key"):
            do(engine, Step.STAGE, BEFORE, bad)
    do(engine, Step.STAGE, BEFORE)
    first = stored(engine)
    with pytest.raises(ConflictError, match="is staged"):
        do(engine, Step.STAGE, BEFORE, STRANGE)
    with pytest.raises(ConfigurationError, match="still is the old key"):
        do(engine, Step.SWITCH, BEFORE)
    with pytest.raises(ConfigurationError, match="is key"):
        do(engine, Step.SWITCH, ring(STRANGE, OLD))
    with pytest.raises(ConfigurationError, match="The old key"):
        do(engine, Step.SWITCH, ring(NEW))
    with pytest.raises(ConfigurationError, match="new key is the one"):
        do(engine, Step.STAGE, AFTER)
    with lease(engine, LEASE), pytest.raises(ConflictError, match="is being done by"):
        take(Work(engine, AFTER, "tester"), Step.SWITCH)
    assert stored(engine) == first
    do(engine, Step.UNDO, BEFORE)  # nobody ever deployed the new key
    assert stored(engine) == first
    do(engine, Step.STAGE, BEFORE, STRANGE)


def test_from_no_key_to_a_first_one(engine: Engine) -> None:
    """A web app that never had a key sealed under its public fallback: staged and switched; undone, it is not sealed under again."""
    public = derive(FALLBACK_SECRET)
    fill(engine, [{"access_token": seal(public, "first")}, {"access_token": seal(public, "second")}])
    first = stored(engine)
    do(engine, Step.STAGE, ring(None).beside(PUBLIC))
    do(engine, Step.SWITCH, ring(NEW).beside(PUBLIC))
    assert [opened(NEW, row.access) for row in stored(engine)] == ["first", "second"]
    write(engine, "provider-001", access_token=under(NEW, "since"))
    undone = do(engine, Step.UNDO, ring(NEW).beside(PUBLIC))
    assert (undone.rows, undone.left, undone.lost) == (1, {"current": 1}, 1)
    assert stored(engine)[0] == first[0]
    assert unsealed(public, stored(engine)[0].access or "") == "first"
    assert key_of(engine) == (None, None)


def test_without_a_staged_rotation_the_switch_sweeps(engine: Engine) -> None:
    """After a key that was changed by hand: what the retired one opens comes under the current one."""
    fill(engine, connections())
    swept = do(engine, Step.SWITCH, AFTER)
    assert (swept.rotation, swept.rows, swept.resealed, swept.left) == (None, 0, 10, {})
    assert opened(NEW, stored(engine)[5].access) is not None
    with pytest.raises(ConfigurationError, match="Nothing can be sealed"):
        do(engine, Step.SWITCH, ring(None, OLD))


def test_values_of_ours_change_with_them(engine: Engine) -> None:
    """Links being used and revocations under way open with the key that is deployed, there and back."""
    user = "00000000-0000-4000-8000-000000000001"
    with writing(engine) as connection:
        gone = {"integration_id": user, "user_id": user, "provider": "slack"}
        connection.execute(revocations.insert().values(sealed=under(OLD, "{}"), **gone))

    def sealed() -> str:
        with reading(engine) as connection:
            return str(connection.execute(select(revocations.c.sealed)).scalar_one())

    do(engine, Step.STAGE, BEFORE)
    assert do(engine, Step.SWITCH, AFTER).own == 1
    assert opened(NEW, sealed()) == "{}"
    assert do(engine, Step.UNDO, AFTER).own == 1
    assert opened(OLD, sealed()) == "{}"


def test_what_is_kept_is_not_kept_for_ever(engine: Engine) -> None:
    """A month after the switch, or with the next rotation; undo then seals anew under the old key what it cannot put back."""
    fill(engine, connections())
    do(engine, Step.STAGE, BEFORE)
    do(engine, Step.SWITCH, AFTER)
    do(engine, Step.SWITCH, AFTER)

    def kept() -> int:
        with reading(engine) as connection:
            return connection.execute(select(func.count()).select_from(reseals)).scalar_one()

    assert kept() == 12
    with writing(engine) as connection:
        connection.execute(rotations.update().values(switched_at=text("'2026-01-01T00:00:00.000000Z'")))
    do(engine, Step.SWITCH, AFTER)
    assert kept() == 0
    undone = do(engine, Step.UNDO, AFTER)
    assert (undone.rows, undone.resealed, undone.left) == (0, 10, {})
    assert opened(OLD, stored(engine)[5].access) is not None


def test_every_step_is_in_the_operator_log(engine: Engine) -> None:
    """Who, which rotation, how many; ids, numbers and fingerprints alone."""
    fill(engine, connections())
    do(engine, Step.STAGE, BEFORE)
    do(engine, Step.SWITCH, AFTER)
    do(engine, Step.UNDO, AFTER)
    with reading(engine) as connection:
        deeds = connection.execute(operator_log.select().order_by(operator_log.c.id)).all()
    whats = [deed.what for deed in deeds]
    assert list(dict.fromkeys(whats)) == ["keys.begin", "keys.stage", "keys.switching", "keys.switch", "keys.undoing", "keys.undo"]
    assert {deed.operator for deed in deeds} == {"tester"}
    assert {deed.key for deed in deeds} == {"1"}
    assert ":" not in "".join(str(value) for deed in deeds for value in deed.details.values() if isinstance(value, str))


def test_nobody_known(engine: Engine) -> None:
    """A database without connections, which nobody has written to: all steps go through it."""
    assert do(engine, Step.STAGE, BEFORE).rows == 0
    assert do(engine, Step.SWITCH, AFTER).rows == 0
    assert do(engine, Step.UNDO, AFTER).rows == 0
    with reading(engine) as connection:
        assert bound(connection) is not None
