"""The outbox gives each effect to one worker at a time, and never loses one."""

import threading
from contextlib import suppress

from sqlalchemy import Engine, select, update

from aura_cli.db.engine import reading, writing
from aura_cli.outbox.queue import ATTEMPTS, Effect, claim, enqueue, settle, wait_after
from aura_cli.outbox.tables import outbox


def ask(engine: Engine, *keys: str) -> list[bool]:
    with writing(engine) as connection:
        return [enqueue(connection, "mail", key, {"to": key}) for key in keys]


def take(engine: Engine, owner: str, limit: int = 50) -> list[Effect]:
    with writing(engine) as connection:
        return claim(connection, owner, limit=limit)


def state_of(engine: Engine, key: str) -> str:
    with reading(engine) as connection:
        return str(connection.execute(select(outbox.c.state).where(outbox.c.key == key)).scalar_one())


def make_due(engine: Engine) -> None:
    """Let all waiting and all claims run out."""
    past = {"next_try_at": outbox.c.created_at, "lease_expires_at": outbox.c.created_at}
    with writing(engine) as connection:
        connection.execute(update(outbox).values(past))


def test_an_effect_is_asked_for_once(engine: Engine) -> None:
    """The same kind and key a second time is no second effect."""
    assert ask(engine, "a", "b", "a") == [True, True, False]
    assert [effect.key for effect in take(engine, "one")] == ["a", "b"]


def test_what_is_claimed_is_nobody_elses(engine: Engine) -> None:
    """A claimed effect is not given out again until its claim runs out; then it is, as a further attempt."""
    ask(engine, "a")
    assert [effect.attempt for effect in take(engine, "one")] == [1]
    assert take(engine, "two") == []
    make_due(engine)
    assert [effect.attempt for effect in take(engine, "two")] == [2]


def test_a_late_worker_settles_nothing(engine: Engine) -> None:
    """Whoever lost the claim cannot say that it is done, or failed."""
    ask(engine, "a")
    (late,) = take(engine, "one")
    make_due(engine)
    (current,) = take(engine, "two")
    with writing(engine) as connection:
        assert not settle(connection, "one", late)
        assert settle(connection, "two", current)
        assert not settle(connection, "two", current)
    assert state_of(engine, "a") == "done"


def test_failures_wait_and_end(engine: Engine) -> None:
    """A failed effect is tried again later, at most so many times; a final failure is not."""
    ask(engine, "a", "b")
    for attempt in range(1, ATTEMPTS + 1):
        effects = take(engine, "one")
        assert [effect.attempt for effect in effects if effect.key == "a"] == [attempt]
        with writing(engine) as connection:
            for effect in effects:
                assert settle(connection, "one", effect, "refused", final=effect.key == "b")
        assert take(engine, "one") == []
        make_due(engine)
    assert (state_of(engine, "a"), state_of(engine, "b")) == ("dead", "dead")


def test_how_long_it_is_tried() -> None:
    """A little over a day, in which a receiver that is away for a night has come back."""
    assert 24 < sum(wait_after(attempt) for attempt in range(1, ATTEMPTS)) / 3600 < 25


def test_an_effect_lives_and_dies_with_its_transaction(engine: Engine) -> None:
    """What is rolled back asks for nothing."""
    with suppress(ZeroDivisionError), writing(engine) as connection:
        enqueue(connection, "mail", "never", {})
        raise ZeroDivisionError
    assert take(engine, "one") == []


def test_many_workers_share_the_work(engine: Engine) -> None:
    """Eight workers at once claim a hundred effects, each exactly once."""
    ask(engine, *(str(number) for number in range(100)))
    claimed: list[int] = []

    def work(owner: str) -> None:
        while effects := take(engine, owner, limit=7):
            claimed.extend(effect.id for effect in effects)

    workers = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(claimed) == len(set(claimed)) == 100
