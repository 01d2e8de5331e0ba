"""A rotation that is killed again and again, while others write and read the same rows: nothing is lost, and nothing unreadable."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import load, reading, writing
from aura_cli.db.migrate import upgrade
from aura_cli.db.shared import integrations, users
from aura_cli.vault.rotating import Step
from tests.parts.migrated import engine_of
from tests.parts.program import REPOSITORY, Aura
from tests.parts.sampling import WHOLE
from tests.vault.world import NEW, OLD, environment, opened, under

Keys = tuple[str, ...]
KILLS = 3 if WHOLE else 2  # of each step
SMALL = 1_500 if WHOLE else 600
STEPS: tuple[tuple[Step, Keys, Keys], ...] = (  # with the keys of which one opens each value while it is under way, and at its end
    (Step.STAGE, (OLD,), (OLD,)),
    (Step.SWITCH, (OLD, NEW), (NEW,)),
    (Step.UNDO, (OLD, NEW), (OLD,)),
)
Start = Callable[[Step], "subprocess.Popen[str]"]


@dataclass
class Others:
    """A refresher, which writes tokens of its own under whichever key it has, and a web app that reads, each at random.

    `texts` is what each row has to say; `lock` holds the refresher still.
    """

    engine: Engine
    texts: dict[int, str]
    writes_under: Keys = (OLD,)
    reads_under: Keys = (OLD,)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    touched: set[int] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    writes: int = 0
    reads: int = 0

    def refresh(self) -> None:
        """One row after another gets a new pair, sometimes a new access token alone."""
        chance = random.Random(1)
        while not self.stop.wait(0.002):
            number = chance.randrange(0, len(self.texts), 3)
            with self.lock:
                key, text = chance.choice(self.writes_under), f"refreshed {self.writes} of {number}"
                with writing(self.engine) as connection:
                    row = integrations.update().where(integrations.c.provider == f"p{number:06}")
                    connection.execute(row.values(access_token=under(key, text), refresh_token=under(key, f"r {text}")))
                self.texts[number] = text
                self.touched.add(number)
                self.writes += 1

    def read(self) -> None:
        """What the web app asks for opens with one of the keys that are deployed."""
        chance = random.Random(2)
        while not self.stop.wait(0.002):
            number = chance.randrange(len(self.texts))
            keys = self.reads_under
            with reading(self.engine) as connection:
                found = connection.execute(
                    select(integrations.c.access_token, integrations.c.refresh_token).where(integrations.c.provider == f"p{number:06}")
                ).one()
            if keys is self.reads_under and any(all(opened(key, value) is None for key in keys) for value in found):
                self.unreadable.append(f"{number} under {keys}")
            self.reads += 1

    def check(self, *keys: str) -> None:
        """Every value of every row opens with one of `keys`, and says what was written last."""
        i = integrations.c
        with self.lock:
            with reading(self.engine) as connection:
                rows = connection.execute(select(i.access_token, i.refresh_token).order_by(i.provider)).all()
            expected = [self.texts[number] for number in sorted(self.texts)]
        for number, (row, text) in enumerate(zip(rows, expected, strict=True)):
            for value, says in zip(row, (text, f"r {text}"), strict=True):
                assert says in [opened(key, value) for key in keys], number
        assert self.unreadable == []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Both at once, for the block."""
        threads = [threading.Thread(target=work) for work in (self.refresh, self.read)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


def filled(engine: Engine, count: int) -> Others:
    """Connections under the old key."""
    texts = {number: f"first of {number}" for number in range(count)}
    with writing(engine) as connection:
        user = connection.execute(users.insert().values(privy_user_id="did:privy:1").returning(users.c.id)).scalar_one()
        rows = [
            {"user_id": user, "provider": f"p{n:06}", "access_token": under(OLD, text), "refresh_token": under(OLD, f"r {text}")}
            for n, text in texts.items()
        ]
        if engine.dialect.name == "sqlite":
            connection.execute(integrations.insert(), rows)
        else:
            load(connection, integrations, list(rows[0]), [tuple(row.values()) for row in rows])
    return Others(engine, texts)


def values(engine: Engine) -> list[tuple[str, str]]:
    i = integrations.c
    with reading(engine) as connection:
        return [(row[0], row[1]) for row in connection.execute(select(i.access_token, i.refresh_token).order_by(i.provider))]


def storm(others: Others, start: Start, longest: float) -> None:
    """Each step killed several times and then left to its end; after each kill and each end everybody reads what they should."""
    engine, chance, killed = others.engine, random.Random(3), 0
    first = values(engine)
    with others.at_work():
        for step, while_under_way, at_end in STEPS:
            others.reads_under = while_under_way
            with others.lock:  # whoever deploys leaves instances with the other key running for a while
                others.writes_under = (OLD,) if step is Step.STAGE else (OLD, NEW)
            for _ in range(KILLS):
                process = start(step)
                time.sleep(chance.uniform(0, longest))
                process.kill()
                killed += process.wait() != 0
                others.check(*while_under_way)
            assert start(step).wait(300) == 0
            with others.lock:  # the last instance with the other key is gone
                others.writes_under = at_end
            assert start(step).wait(300) == 0
            others.check(*at_end)
            others.reads_under = at_end
            others.check(*at_end)
    assert others.unreadable == []
    assert killed
    assert min(others.writes, others.reads) > 20
    untouched = [pair for number, pair in enumerate(first) if number not in others.touched]
    assert [pair for number, pair in enumerate(values(engine)) if number not in others.touched] == untouched
    assert untouched


def test_in_small_chunks(engine: Engine, database_url: str) -> None:
    """Kills fall between and within chunks of fifty rows."""
    processes: list[subprocess.Popen[str]] = []

    def start(step: Step) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.vault.turning", database_url, step]
        processes.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True))
        stdout = processes[-1].stdout
        assert stdout
        assert stdout.readline() == "begun\n"
        return processes[-1]

    try:
        storm(filled(engine, SMALL), start, 0.6)
    finally:
        for process in processes:
            with process:
                process.kill()


@pytest.mark.whole
def test_a_hundred_thousand(aura: Aura, postgres_database: str) -> None:
    """The same with the command itself, at its own chunks."""
    (aura.work / "new").write_text(NEW)
    before, after = environment(postgres_database, OLD), environment(postgres_database, NEW, first=OLD)

    def start(step: Step) -> "subprocess.Popen[str]":
        extra = ["--new-key-file", "new"] if step is Step.STAGE else []
        return aura.start("keys", "rotate", f"--{step}", "-q", *extra, env=before if step is Step.STAGE else after)

    with engine_of(postgres_database) as engine:
        upgrade(engine)
        storm(filled(engine, 100_000), start, 6)
