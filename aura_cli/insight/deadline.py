"""Asking several services at once, and waiting for none of them longer than one has."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from aura_cli.errors import AuraError, UnreachableError

T = TypeVar("T")


def answers(questions: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T | AuraError]:
    """What each question gives, by its name, or why there is no answer; all of it within `seconds`.

    Each is asked in a thread of its own, which is left behind where it hangs: it must not write anything.
    """
    found: dict[str, T | AuraError] = {}

    def ask(name: str, question: Callable[[], T]) -> None:
        try:
            found[name] = question()
        except AuraError as error:
            found[name] = error

    threads = {name: threading.Thread(target=ask, args=(name, question), name=name, daemon=True) for name, question in questions.items()}
    until = time.monotonic() + seconds
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    late = {name: UnreachableError(f"{name} gave no answer within {seconds:g} s") for name in questions}
    return {name: found.get(name, late[name]) for name in questions}
