"""A pager, as `gh` has it: what is longer than the screen goes through AURA_PAGER, PAGER or less; `cat` or nothing turns it off."""

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

LESS = {"LESS": "FRX", "LV": "-c"}  # less: leave at once what fits, keep colours and the screen; lv: colours


@dataclass(frozen=True)
class Pager:
    """A program that shows text screen by screen, and the environment that it runs in."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """The one that an environment chooses; None where it wants none, or has a terminal that can only go on."""
        import shlex

        named = next((environ[name] for name in ("AURA_PAGER", "PAGER") if name in environ), "less")
        try:
            command = tuple(shlex.split(named))
        except ValueError:  # a quotation without end
            return None
        if not command or command == ("cat",) or environ.get("TERM", "dumb") == "dumb":
            return None
        return cls(command, {**LESS, **environ})

    def show(self, text: str) -> bool:
        """Let a person read `text`; return when they have left. False, and nothing shown, where there is no such program."""
        import subprocess

        try:
            process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE)  # noqa: S603 (the person's own choice)
        except OSError:
            return False
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's until it ends
        try:
            with process, suppress(BrokenPipeError):  # they have read enough
                process.communicate(text.encode(errors="replace"))
        finally:
            signal.signal(signal.SIGINT, before)
        return True
