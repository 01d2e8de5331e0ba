"""`aura sandbox`: stand-ins, a database to match, and the environment that leads to both."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aura_cli.console import Console, dump
from aura_cli.errors import UsageError
from aura_cli.integrations.catalogue import load
from aura_cli.sandbox.credentials import PROVIDER_FILES, Addresses, environment
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.providers.addresses import write
from aura_cli.sandbox.server import Ports, running
from aura_cli.sandbox.vercel import plant
from aura_cli.settings import foreign_environment

STAND_INS = {  # by their names in `Addresses`: what each stands in for
    "stripe": "Stripe",
    "privy": "Privy",
    "providers": "64 providers",
    "openai": "OpenAI",
    "resend": "Resend's inbox",
    "upstash": "Upstash",
    "analytics": "Google Analytics",
    "web_app": "the web app",
    "vercel": "Vercel",
}

_NOT_DEPLOYED = ("AURA_", "VERCEL_")  # how names begin that the web app knows nothing of


@dataclass(frozen=True)
class Sandbox:
    """What a sandbox is made of: so many people of a seed at a moment (epoch seconds), with drift or without."""

    users: int
    seed: int
    now: int
    drift: bool = True
    faults: Faults = field(default_factory=Faults)
    ports: Ports = field(default_factory=Ports)
    webhook_url: str = ""  # where Stripe's events are delivered to
    redis: str = ""  # the Redis behind Upstash's stand-in; none: a store in memory


@contextmanager
def opened(sandbox: Sandbox, *, fill: bool = True) -> Iterator[tuple[dict[str, str], Population, Addresses]]:
    """A running sandbox: its environment, its people, where it listens. Leaves nothing behind.

    Without `fill` the database is a file that does not exist yet.
    """
    population = build(sandbox.users, sandbox.seed, sandbox.now)
    with tempfile.TemporaryDirectory(prefix="aura-sandbox-") as folder:
        home = Path(folder)
        url = f"sqlite:///{home / 'aura.db'}"
        if fill:
            fill_database(url, population, drift=sandbox.drift)
        delivered, redis = sandbox.webhook_url, sandbox.redis
        with running(population, faults=sandbox.faults, ports=sandbox.ports, webhook_url=delivered, redis=redis) as addresses:
            write(load().providers, addresses.providers, home / PROVIDER_FILES)
            variables = environment(addresses, home, url)
            plant(addresses.vercel, {name: text for name, text in variables.items() if not name.startswith(_NOT_DEPLOYED)})
            yield variables, population, addresses


def fill_database(url: str, population: Population, *, people: bool = True, drift: bool = True) -> dict[str, int]:
    """Make the sandbox's database at `url` and fill it; returns how much of each kind of drift was planted."""
    from aura_cli.db.engine import connect, writing
    from aura_cli.sandbox.database import fill, prepare

    engine = connect(url)
    try:
        prepare(engine)
        with writing(engine) as connection:
            return fill(connection, population, people=people, drift=drift)
    finally:
        engine.dispose()


def run(sandbox: Sandbox, command: Sequence[str], console: Console) -> int:
    """Open a sandbox and run `command` in it, or print its environment and wait for a signal. Returns the exit code."""
    with opened(sandbox) as (variables, _, addresses):
        if command:
            if console.is_terminal:
                console.say(f"A sandbox of {sandbox.users:,} people. When {command[0]} ends, everything in it is gone.")
            return _inside(command, variables)
        if console.as_json:
            console.emit(dump({"env": variables, "stand_ins": asdict(addresses)}))
        else:
            for name, value in variables.items():
                console.emit(f"export {name}={shlex.quote(value)}")
            console.say(f"A sandbox of {sandbox.users:,} people is running; Ctrl-C ends it.")
            for name, base in asdict(addresses).items():
                console.say(f"  {STAND_INS[name]:<16}  {base}")
        try:
            signal.pause()
        except KeyboardInterrupt as stop:
            stop.args = ("The sandbox is closed; everything in it is gone.",)
            raise
    return 0


def _inside(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run `command` with the sandbox's environment alone; signals reach it, its exit code is ours (128 + n for signal n)."""
    try:
        process = subprocess.Popen(command, env={**foreign_environment(), **variables})  # noqa: S603 (the person's own command)
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error
    previous = {number: signal.signal(number, _pass_on(process)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _pass_on(process: "subprocess.Popen[bytes]") -> Callable[[int, object], None]:
    """Sends `process` a signal that came to us alone; Ctrl-C on a terminal comes to both."""

    def pass_on(number: int, frame: object) -> None:
        if number != signal.SIGINT or not _in_the_foreground():
            process.send_signal(number)

    return pass_on


def _in_the_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # standard input is no terminal
        return False
