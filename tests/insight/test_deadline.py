"""Asking several at once."""

import threading
import time

import pytest

from aura_cli.errors import NotFoundError, UnreachableError
from aura_cli.insight.deadline import answers


def test_each_gives_its_answer_its_error_or_none() -> None:
    """Whoever hangs is named, once while they are waited for and once in the end; the others are as they are."""
    never, heard = threading.Event(), list[str]()

    def missing() -> str:
        raise NotFoundError("no such thing")

    begun = time.monotonic()
    found = answers({"good": lambda: "yes", "bad": missing, "mute": lambda: str(never.wait(30))}, 2.2, heard.append)
    assert time.monotonic() - begun < 10
    never.set()
    assert found["good"] == "yes"
    assert isinstance(found["bad"], NotFoundError)
    assert isinstance(found["mute"], UnreachableError)
    assert str(found["mute"]) == "mute gave no answer within 2.2 s"
    assert heard == ["Waiting for mute, 0.2 s at most"]


def test_a_bug_stays_one() -> None:
    """What is no answer of a service is raised."""
    with pytest.raises(ZeroDivisionError):
        answers({"bad": lambda: 1 / 0}, 5)
