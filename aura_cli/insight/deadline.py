"""Asking several services at once, and waiting for none of them longer than one has."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from aura_cli.errors import AuraError, UnreachableError

T = TypeVar("T")
PATIENCE = 2.0  # seconds in which nobody asks what is going on


def answers(
    questions: Mapping[str, Callable[[], T]], seconds: float, waiting: Callable[[str], None] = lambda text: None
) -> dict[str, T | AuraError]:
    """What each question gives, by its name, or why there is no answer; all of it within `seconds`.

    Each is asked in a thread of its own, which is left behind where it hangs: it must not write anything. After two seconds `waiting`
    is told who is waited for.
    """
    found: dict[str, T | AuraError] = {}
    bugs: list[Exception] = []

    def ask(name: str, question: Callable[[], T]) -> None:
        try:
            found[name] = question()
        except AuraError as error:
            found[name] = error
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            bugs.append(error)

    threads = {name: threading.Thread(target=ask, args=(name, question), name=name, daemon=True) for name, question in questions.items()}
    begun = time.monotonic()
    for thread in threads.values():
        thread.start()
    for limit in (min(PATIENCE, seconds), seconds):
        for thread in threads.values():
            thread.join(max(0.0, begun + limit - time.monotonic()))
        if limit < seconds and (late_ones := [name for name, thread in threads.items() if thread.is_alive()]):
            waiting(f"Waiting for {' and '.join(late_ones)}, {seconds - limit:g} s at most")
    if bugs:
        raise bugs[0]
    late = {name: UnreachableError(f"{name} gave no answer within {seconds:g} s") for name in questions}
    return {name: found.get(name, late[name]) for name in questions}
