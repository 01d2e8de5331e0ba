"""Stripe's own CLI as a helper: `stripe listen` forwards the events of an account to a listener on this machine.

See https://docs.stripe.com/cli/listen. The key goes to it in its environment, not on its command line, where others could read it.
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Self

from aura_cli.errors import ConfigurationError, ServiceError
from aura_cli.settings import Settings, foreign_environment
from aura_cli.webhooks.events import HANDLED

_SECRET = re.compile(r"whsec_\w+")
_ANSWERS_WITHIN = 30.0  # seconds, for the secret


@dataclass(frozen=True)
class StripeCli:
    """The installed Stripe CLI, and the environment in which it knows its key."""

    program: str
    environment: Mapping[str, str] = field(repr=False)
    events: Sequence[str] = HANDLED
    grace: float = 5.0  # seconds in which it ends by itself when it is told to

    @classmethod
    def find(cls, settings: Settings) -> Self:
        """Raises ConfigurationError where it is not installed, and where the key is missing or a live one."""
        if settings.stripe_mode == "live":
            raise ConfigurationError("The Stripe CLI is for test mode, and STRIPE_SECRET_KEY is a live key", "Register an endpoint instead")
        key = settings.require("STRIPE_SECRET_KEY", "it is what the Stripe CLI listens with").reveal()
        program = shutil.which("stripe")
        if program is None:
            hint = "Install it: https://docs.stripe.com/stripe-cli; or do without: aura webhooks tail"
            raise ConfigurationError("The Stripe CLI is not installed", hint)
        return cls(program, {**foreign_environment(), "STRIPE_API_KEY": key})

    def secret(self) -> str:
        """What it signs with; the same in every run. Raises ConfigurationError where Stripe refuses the key, ServiceError for silence."""
        try:
            done = subprocess.run(  # noqa: S603 (found on the PATH by its name)
                [self.program, "listen", "--print-secret"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_ANSWERS_WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError("The Stripe CLI did not say its signing secret", "Try: stripe listen --print-secret") from error
        except OSError as error:
            raise ConfigurationError(f"The Stripe CLI cannot be run: {error.strerror}") from error
        found = _SECRET.search(done.stdout)
        if done.returncode or found is None:
            lines = done.stderr.strip().splitlines()
            raise ConfigurationError(f"The Stripe CLI did not say its signing secret: {lines[-1] if lines else 'it said nothing'}")
        return found[0]

    @contextmanager
    def forwarding(self, url: str, say: Callable[[str], None]) -> Iterator[None]:
        """Stripe's handled events arrive at `url` while the block lasts.

        What the CLI says, and its end if it comes before ours, goes to `say`, from another thread.
        """
        ending = threading.Event()
        with subprocess.Popen(  # noqa: S603 (the same program)
            [self.program, "listen", "--forward-to", url, "--events", ",".join(self.events)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            assert process.stderr
            reader = threading.Thread(target=_pass_on, args=(process, process.stderr, ending, say), daemon=True)
            reader.start()
            try:
                yield
            finally:
                ending.set()
                _end(process, self.grace)
                reader.join(self.grace)


def _pass_on(process: "subprocess.Popen[str]", lines: IO[str], ending: threading.Event, say: Callable[[str], None]) -> None:
    for line in lines:
        if text := line.strip():
            say(f"stripe: {text}")
    if not ending.is_set():
        say(f"stripe listen ended by itself with {process.wait()}: nothing is forwarded any more")


def _end(process: "subprocess.Popen[str]", grace: float) -> None:
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
