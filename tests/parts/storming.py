"""A storm of webhooks: senders that insist, programs that are killed and come back, a database that restarts, and what is left of it."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from aura_cli.db.engine import reading
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.tables import webhook_attempts, webhook_events
from tests.parts import insisting
from tests.parts.program import REPOSITORY, Aura
from tests.webhooks.world import World

CLIENTS = 64
LOOK_SECONDS = 0.03
BEGINNING = 120.0  # seconds that a program may take to begin, its database being away for some of them
Act = Callable[[], None]


@dataclass
class Program:
    """One program of ours. It says a line once it has begun; as under systemd, one that ends before that is started anew."""

    aura: Aura
    command: Sequence[str]
    variables: Mapping[str, str]
    process: "subprocess.Popen[str] | None" = None
    kills: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start it, and return when it has begun. Raises AssertionError where it does not."""
        said = ""
        deadline = time.monotonic() + BEGINNING
        while time.monotonic() < deadline:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=self.aura.work,
                env={**self.aura.environment, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.aura.started.append(self.process)  # ended with the test, at the latest
            assert self.process.stdout
            if self.process.stdout.readline():
                return
            said = self.process.communicate(timeout=30)[1]
            time.sleep(0.2)
        raise AssertionError(f"{self.command} does not begin: {said}")

    def kill(self) -> None:
        """kill -9, and start it again at once."""
        with self._lock:
            assert self.process
            self.process.kill()
            self.process.communicate()
            self.kills += 1
            self.start()

    def stop(self) -> None:
        """End it as an operator does."""
        assert self.process
        self.process.terminate()
        self.process.communicate(timeout=60)


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """All of them run inside the block."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in programs:
            if program.process:
                program.stop()


@dataclass(frozen=True)
class Deed:
    """Something that happens at a moment of the storm: when that part of all is `acknowledged`, or `done` with."""

    act: Act
    measure: str
    part: float


@dataclass
class Storm:
    """The bodies of a world's events, some of them twice, in any order, and how they are delivered."""

    world: World
    bodies: Mapping[str, bytes]
    ports: Sequence[int]
    seed: int
    acknowledged: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def rage(self, folder: Path, deeds: Sequence[Deed], limit: float) -> None:
        """Send everything until it got its 200, let the deeds happen meanwhile, and wait until nothing is due any more.

        Raises AssertionError where that takes more than `limit` seconds.
        """
        chance = random.Random(self.seed)
        ids = [*self.bodies, *chance.sample(list(self.bodies), len(self.bodies) // 10)]
        chance.shuffle(ids)
        (folder / "bodies").write_bytes(b"\n".join(self.bodies[identifier] for identifier in ids))
        deadline = time.monotonic() + limit
        left, begun = list(deeds), list[Future[None]]()
        with self._sending(folder / "bodies") as sender, ThreadPoolExecutor(max(1, len(left))) as pool:
            while sender.poll() is None or left or not all(one.done() for one in begun) or self.due():
                assert time.monotonic() < deadline, (self.acknowledged, len(ids), self.statuses, self.world.states(), left)
                parts = {"acknowledged": self.acknowledged / len(ids), "done": self.done() / len(self.bodies)}
                for one in begun:
                    if one.done():
                        one.result()
                for deed in [deed for deed in left if parts[deed.measure] >= deed.part]:
                    left.remove(deed)
                    begun.append(pool.submit(deed.act))
                time.sleep(LOOK_SECONDS)
        for one in begun:
            one.result()
        assert self.acknowledged == len(ids)

    @contextmanager
    def _sending(self, file: Path) -> Iterator["subprocess.Popen[str]"]:
        ports = ",".join(map(str, self.ports))
        command = [sys.executable, "-m", insisting.__name__, str(file), ports, str(CLIENTS), STRIPE_WEBHOOK_SECRET]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as sender:
            listening = threading.Thread(target=self._listen, args=(sender,))
            listening.start()
            try:
                yield sender
            finally:
                sender.kill()
                listening.join()

    def _listen(self, sender: "subprocess.Popen[str]") -> None:
        assert sender.stdout
        for line in sender.stdout:
            said = json.loads(line)
            self.acknowledged = said["acknowledged"]
            self.statuses.update({int(status): number for status, number in said.get("statuses", {}).items()})

    def done(self) -> int:
        return self._count(webhook_events.c.finished_at.is_not(None))

    def due(self) -> int:
        """How many events are still to be looked at, now or later."""
        return self._count(webhook_events.c.due_at.is_not(None))

    def _count(self, condition: Any) -> int:
        while True:
            with suppress(DBAPIError), reading(self.world.books.engine) as connection:  # connections die with the server
                return int(connection.execute(select(func.count()).select_from(webhook_events).where(condition)).scalar_one())
            time.sleep(LOOK_SECONDS)


def finished(world: World) -> tuple[dict[str, str], Counter[str]]:
    """The state of each stored event, and how often each was finished by an attempt."""
    e, a = webhook_events.c, webhook_attempts.c
    ends = ("applied", "unchanged", "stale", "observed", "ignored", "dead")
    with reading(world.books.engine) as connection:
        states = {row.id: row.state for row in connection.execute(select(e.id, e.state))}
        return states, Counter(connection.execute(select(a.event).where(a.outcome.in_(ends))).scalars())


def differences(found: Mapping[str, Sequence[Any]], expected: Mapping[str, Sequence[Any]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """By name, what only `found` has, and what only `expected` has; empty where they are alike."""
    unlike = [name for name in expected if found[name] != expected[name]]
    return {name: (_without(found[name], expected[name]), _without(expected[name], found[name])) for name in unlike}


def _without(those: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    known = set(map(repr, others))
    return [one for one in those if repr(one) not in known]
