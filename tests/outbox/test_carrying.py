"""Carriers: what a deliverer says of an effect is noted with it; what halts, waits and died is told apart."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from sqlalchemy import Connection, Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import identity
from aura_cli.errors import ServiceError
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Carrier, Outcome
from aura_cli.outbox.queue import ATTEMPTS, Effect
from aura_cli.outbox.tables import outbox
from tests.outbox.test_delivery import make_due

QUOTA = ServiceError("The quota is used up")
Judge = Callable[[Effect], Outcome]


@dataclass
class Scripted:
    """Says of each effect what `judge` says."""

    judge: Judge
    most: int = 2
    delivered: list[str] = field(default_factory=list)
    kind: ClassVar[str] = "mail"
    to: ClassVar[str] = "somebody"

    def opened(self) -> AbstractContextManager[object]:
        return nullcontext()

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        del stop
        for effect in effects:
            self.delivered.append(effect.key)
            yield self.judge(effect)


def ask(engine: Engine, *keys: str, kind: str = "mail") -> None:
    with writing(engine) as connection:
        for key in keys:
            queue.enqueue(connection, kind, key, {})


def rows(engine: Engine) -> dict[str, tuple[str, int, str | None]]:
    """Key → state, attempts, error."""
    o = outbox.c
    with reading(engine) as connection:
        return {row.key: (row.state, row.attempts, row.error) for row in connection.execute(select(o.key, o.state, o.attempts, o.error))}


def test_all_that_is_due(engine: Engine) -> None:
    """In order, as many at a time as the deliverer takes, and nobody else's kind; what is done is done."""
    ask(engine, "a", "b", "c")
    ask(engine, "other", kind="forward")
    deliverer = Scripted(Outcome)
    assert [one.state for one in Carrier(engine, deliverer).once()] == ["done"] * 3
    assert deliverer.delivered == ["a", "b", "c"]
    assert rows(engine)["other"] == ("pending", 0, None)
    assert Carrier(engine, deliverer).once() == []


def test_only_those_named(engine: Engine) -> None:
    """A command carries its own and leaves the rest to the worker."""
    ask(engine, "a", "b", "c")
    deliverer = Scripted(Outcome)
    Carrier(engine, deliverer, ["c", "a"]).once()
    assert deliverer.delivered == ["a", "c"]


def test_a_halt_is_no_try(engine: Engine) -> None:
    """Nothing more is delivered in this round; however often it comes, nothing is given up."""
    ask(engine, "a", "b", "c")
    carrier = Carrier(engine, Scripted(lambda effect: Outcome(effect, "quota", halts=QUOTA, wait=900), most=1))
    for _ in range(ATTEMPTS + 1):
        (halted,) = carrier.once()
        assert (halted.key, halted.state, halted.halts, halted.wait) == ("a", "pending", QUOTA, 900)
        make_due(engine)
    assert rows(engine) == {"a": ("pending", 0, "quota"), "b": ("pending", 0, None), "c": ("pending", 0, None)}


def test_what_fails_waits_and_ends(engine: Engine) -> None:
    """As long as it asks for, or as the outbox does; a final one is dead at once, the last try's too."""
    ask(engine, "again", "final")
    carrier = Carrier(engine, Scripted(lambda effect: Outcome(effect, "no", final=effect.key == "final")))
    assert {one.key: one.state for one in carrier.once()} == {"again": "pending", "final": "dead"}
    assert carrier.once() == []
    for _ in range(ATTEMPTS - 1):
        make_due(engine)
        (last,) = carrier.once()
    assert (last.state, rows(engine)["again"]) == ("dead", ("dead", ATTEMPTS, "no"))
    with writing(engine) as connection:
        assert queue.revive(connection, "mail", ["again", "final", "unknown"]) == 2
    assert Carrier(engine, Scripted(Outcome)).once() != []


def test_a_note_is_committed_with_it(engine: Engine) -> None:
    """Both or neither; a claim that was lost meanwhile notes nothing."""
    ask(engine, "a", "b")

    def note(connection: Connection) -> None:
        queue.enqueue(connection, "noted", "x", {})

    def bad(connection: Connection) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Carrier(engine, Scripted(lambda effect: Outcome(effect, note=bad)), ["a"]).once()
    assert rows(engine)["a"][0] == "sending"

    def lost(effect: Effect) -> Outcome:
        with writing(engine) as connection:
            connection.execute(outbox.update().where(outbox.c.id == effect.id).values(lease_owner="another:1:2:3:4"))
        return Outcome(effect, note=note)

    Carrier(engine, Scripted(lost), ["b"]).once()
    assert "x" not in rows(engine)
    make_due(engine)
    Carrier(engine, Scripted(lambda effect: Outcome(effect, note=note)), ["a"]).once()
    assert (rows(engine)["a"][0], rows(engine)["x"][0]) == ("done", "pending")


def test_claims_of_the_dead_are_free_at_once(engine: Engine) -> None:
    """Of a process of this machine that is gone; one that lives, or is elsewhere, keeps its claim until that ends."""
    ask(engine, "dead", "living", "elsewhere")
    host, _, _, machine, _ = identity().split(":")
    owners = {"dead": f"{host}:999999999:1:{machine}:x", "living": identity(), "elsewhere": "another:1:2:3:4"}
    with writing(engine) as connection:
        for effect in queue.claim(connection, "me"):
            connection.execute(outbox.update().where(outbox.c.id == effect.id).values(lease_owner=owners[effect.key]))
    deliverer = Scripted(Outcome)
    Carrier(engine, deliverer).once()
    assert deliverer.delivered == ["dead"]


def test_it_goes_on_until_it_is_stopped(engine: Engine) -> None:
    """Whatever a deliverer raises, it comes back to what is due."""
    ask(engine, "a")
    tries, done = list[str](), threading.Event()

    def judge(effect: Effect) -> Outcome:
        tries.append(effect.key)
        if len(tries) == 1:
            raise RuntimeError("no")
        done.set()
        return Outcome(effect)

    stop = threading.Event()
    thread = threading.Thread(target=Carrier(engine, Scripted(judge)).run, args=(stop,))
    thread.start()
    try:
        while len(tries) < 1:
            stop.wait(0.01)
        stop.wait(0.2)
        make_due(engine)
        assert done.wait(30)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_what_always_breaks_its_deliverer(engine: Engine) -> None:
    """A bug is raised, and its try counts: what is behind it gets its turn meanwhile, and at last it is given up."""

    def judge(effect: Effect) -> Outcome:
        if effect.key == "bad":
            raise ValueError("nobody foresaw it")
        return Outcome(effect)

    ask(engine, "bad", "good")
    for _ in range(ATTEMPTS):
        make_due(engine)
        with pytest.raises(ValueError, match="foresaw"):
            Carrier(engine, Scripted(judge, most=1)).once()
        Carrier(engine, Scripted(judge, most=1)).once()
    assert rows(engine) == {"bad": ("dead", ATTEMPTS, "It broke off (ValueError)"), "good": ("done", 1, None)}
