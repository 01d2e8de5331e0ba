"""Processes of the real program that need not import anything: they are forked off one that has done so.

A run has a process, an environment, a directory, streams, signals and an exit code of its own, as a fresh one has; nothing has
run before the fork but imports, which read no settings. They are most of what a start costs, and a test run makes thousands.
Whole runs (AURA_TEST_WHOLE=1) start each process anew. Run as a program: the number of a socket, on which runs are asked for.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

OTHERS = (  # what commands import of others; whatever is not here is imported by the run that needs it
    "asyncio sqlite3 sqlalchemy sqlalchemy.dialects.sqlite sqlalchemy.dialects.postgresql.psycopg psycopg typer httpx httpcore h11 "
    "aiohttp aiohttp.web msgspec cryptography.hazmat.primitives.ciphers.aead cryptography.hazmat.primitives.kdf.scrypt "
    "alembic.command alembic.config authlib.oauth2.client authlib.oauth2.auth authlib.oauth2.rfc8628 jwt "
    "jinja2 upstash_ratelimit upstash_redis"
).split()
AT_START = ("PYTHON", "LANG", "LC_", "TZ", "LD_")  # how names begin that an interpreter, or its C library, reads only when it starts
ROOM = 100_000  # bytes of a request


class Warm:
    """A process that forks runs off itself for as long as this one lives; `environment` is what it starts in."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=self.environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
        self._lock = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        with self._process:
            self._asked.close()

    def takes(self, arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether such a run differs in nothing from one that starts anew."""
        names = [name for name in {*environment, *self.environment} if name.startswith(AT_START)]
        alike = all(environment.get(name) == self.environment.get(name) for name in names)
        return alike and sum(map(len, (*arguments, *environment.values()))) < ROOM

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: str, streams: Sequence[int]) -> tuple[int, socket.socket]:
        """Begin a run on these three streams. Returns its process id, and the socket on which its exit code will arrive."""
        request = json.dumps({"arguments": arguments, "environment": dict(environment), "cwd": cwd}).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            socket.send_fds(self._asked, [request], [*streams, theirs.fileno()])
        return int(ours.recv(100)), ours


class Forked(subprocess.Popen[str]):
    """`python -m aura_cli`, forked off: to whoever holds it, what `subprocess.Popen` gives.

    Of subprocess's own only what begins a process and what hears of its end is another.
    """

    def __init__(self, warm: Warm, arguments: Sequence[str], **how: Any) -> None:
        self._warm = warm
        super().__init__(arguments, **how)

    def _execute_child(self, args: Sequence[str], *how: Any) -> None:
        cwd, env, descriptors = how[4], how[5], how[9:15]
        streams = descriptors[0], descriptors[3], descriptors[5]  # the others are our ends
        self.pid, self._ended = self._warm.fork(args, env, str(cwd), streams)
        self._child_created = True
        for descriptor in {*streams}:
            os.close(descriptor)

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self._wait(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._ended.settimeout(timeout)
            try:
                self.returncode = int(self._ended.recv(100))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._ended.close()
        return self.returncode


def _forked(asked: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each request. Returns the request in each such process, and None where nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}  # a descriptor of the process: its id, and where its end is told
    with selectors.DefaultSelector() as watched:
        watched.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in watched.select():
                if key.fileobj is not asked:
                    _tell(key.fd, *running.pop(key.fd))
                    watched.unregister(key.fd)
                    os.close(key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(asked, 2 * ROOM, 4)
                if not message:
                    return None
                *streams, reply = descriptors
                if not (pid := os.fork()):
                    for place, descriptor in enumerate(streams):
                        os.dup2(descriptor, place)
                    for descriptor in (*descriptors, *running, *(reply for _, reply in running.values())):
                        os.close(descriptor)
                    request: dict[str, Any] = json.loads(message)
                    return request
                for descriptor in streams:
                    os.close(descriptor)
                os.write(reply, str(pid).encode())
                watch = os.pidfd_open(pid)
                running[watch] = pid, reply
                watched.register(watch, selectors.EVENT_READ)


def _tell(watch: int, pid: int, reply: int) -> None:
    """The process has ended: say how."""
    del watch
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # nobody waits any more
        os.write(reply, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(reply)


def _main(descriptor: int) -> None:
    for name in (*OTHERS, *_ours()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as asked:
        request = _forked(asked)
    if request is None:
        return
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    code = 0
    try:
        runpy.run_module("aura_cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        code = ended.code
    _leave(code)


def _ours() -> Iterable[str]:
    """Every module of ours but the one that is run."""
    package = importlib.import_module("aura_cli")
    found = pkgutil.walk_packages(package.__path__, "aura_cli.", onerror=None)
    return (module.name for module in found if not module.name.endswith("__main__"))


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, but for taking its modules apart: that would copy each page shared with the process forked off."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:
        sys.exit(code)  # the interpreter tries once more, and says it by its own exit code
    os._exit(code)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
