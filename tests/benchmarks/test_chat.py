"""How long the first word of an answer takes, against a script on OpenAI's library; and whether a conversation keeps up with a fast model.

Both sides ask the same stand-in on loopback, which answers at once: what is measured is the program, not the model.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import connect
from aura_cli.db.migrate import upgrade
from tests.benchmarks.figures import Figure, interleaved, show
from tests.chat.conversation import terminal
from tests.parts.openai import Assistant, assistant
from tests.parts.program import REPOSITORY, Aura

ROUNDS = 15
TOKENS, RATE = 3_000, 500
SCRIPT = """import sys
from openai import OpenAI
client = OpenAI()
stream = client.chat.completions.create(
    model="gpt-4o-mini", max_tokens=1000, temperature=0.7, stream=True, stream_options={"include_usage": True},
    messages=[{"role": "user", "content": "hello"}],
)
for chunk in stream:
    if chunk.choices:
        sys.stdout.write(chunk.choices[0].delta.content or "")
        sys.stdout.flush()
"""


@pytest.fixture
def model() -> Iterator[Assistant]:
    with assistant() as found:
        yield found


def first_word(command: list[str], env: Mapping[str, str]) -> Callable[[], None]:
    """Start the program and wait for its first byte; that it ends well, and how long that takes, is another matter."""

    def once() -> None:
        process = subprocess.Popen(command, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        assert process.stdout.read(1)
        running.append(process)

    return once


running: list["subprocess.Popen[bytes]"] = []


def test_first_word(tmp_path: Path, model: Assistant, database: tuple[str, Engine]) -> None:
    """From the key press to the first word, the question committed on the way, on both databases."""
    file = f"sqlite:///{tmp_path}/aura.db"
    engine = connect(file)
    upgrade(engine)
    engine.dispose()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    base = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), "TERM": "dumb", **model.env}
    ask = [sys.executable, "-m", "aura_cli", "chat", "ask", "hello"]

    works = {
        "script": first_word([sys.executable, str(script)], base),
        "aura chat ask (SQLite)": first_word(ask, {**base, "DATABASE_URL": file}),
        "aura chat ask (PostgreSQL)": first_word(ask, {**base, "DATABASE_URL": database[0]}),
    }
    for work in works.values():
        work()
        _end()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            taken[name].append(interleaved({name: work}, 1)[name])
            _end()
    middle = {name: sorted(found)[len(found) // 2] for name, found in taken.items()}
    limit = middle.pop("script")
    show(
        *(
            Figure(f"{name} to the first word", f"openai script {limit * 1000:.0f} ms", f"{took * 1000:.0f} ms", took / limit, "≤1.15")
            for name, took in middle.items()
        )
    )


def _end() -> None:
    """Let the processes end before the next one is timed."""
    while running:
        with running.pop() as process:
            assert process.wait(60) == 0


def test_keeping_up(tmp_path: Path, model: Assistant) -> None:
    """A conversation on a terminal shows what a model of 500 tokens a second says as fast as that says it, Markdown and all."""
    aura = Aura(tmp_path)
    for name in ("home", "data", "work"):
        (tmp_path / name).mkdir()
    file = f"sqlite:///{tmp_path}/aura.db"
    engine = connect(file)
    upgrade(engine)
    engine.dispose()
    words = "".join(f"word{number % 10}{'. ' if number % 9 else '.' + chr(10) * 2 + '- '}" for number in range(TOKENS - 1))
    model.says(words + "THE-END", rate=RATE)
    with terminal(aura, "chat", "repl", env={"DATABASE_URL": file, **model.env}) as talk:
        talk.wait("you>")
        talk.type("talk\r")
        talk.wait("word1")
        begun = time.perf_counter()
        talk.wait("THE-END", 120)
        took = time.perf_counter() - begun
    chunks = model.state.journal[0].chunks
    ideal = chunks / RATE
    show(Figure(f"repl: {chunks:,} tokens at {RATE} a second", f"{ideal:.2f} s", f"{took:.2f} s", took / ideal, "≤1.1"))
