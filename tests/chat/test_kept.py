"""What came of an answer is kept, however its asking ends."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from aura_cli.chat.asking import Assistant, Question
from aura_cli.chat.model import Wish, model_of
from tests.chat.conftest import Desk
from tests.parts.upstash import settings


def test_the_output_is_full(light: Desk) -> None:
    """A full disk under standard output ends it, after what came is stored."""
    light.model.says("one two three " * 50, rate=200)
    environment = {**light.aura.environment, **light.env}
    command = [sys.executable, "-m", "aura_cli", "chat", "ask", "count"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, env=environment, cwd=light.aura.work, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, b"no room to write" in done.stderr) == (8, True)
    [_, answer] = light.messages()
    assert (answer.state, answer.content[:3]) == ("interrupted", "one")
    assert os.strerror(28) in answer.error


def test_stopped_while_it_is_stored(light: Desk) -> None:
    """Ctrl-C once in the answer and once more while that is stored: what came is kept, and the session is known."""
    begun: list[str] = []
    stops = iter([True])

    @event.listens_for(light.engine, "before_cursor_execute")
    def stop(*told: object) -> None:
        if "duration_ms" in str(told[2]).split("WHERE")[0] and str(told[2]).startswith("UPDATE") and next(stops, False):
            raise KeyboardInterrupt

    def show(piece: str) -> None:
        del piece
        raise KeyboardInterrupt

    model = model_of(settings(light.env))
    assert model
    assistant = Assistant(light.engine, "ada", model, lambda: datetime.now(UTC), print)
    with model.service, pytest.raises(KeyboardInterrupt):
        assistant.ask(Question("count", Wish()), show, begun.append)
    assert next(stops, None) is None
    [_, answer] = light.messages()
    assert (answer.state, answer.error, bool(answer.content)) == ("interrupted", "interrupted by the operator", True)
    assert begun == [light.sessions()[0].id]
