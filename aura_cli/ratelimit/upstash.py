"""Upstash's Redis over REST (https://upstash.com/docs/redis/features/restapi), for its own Python libraries to run on.

Their HTTP layer has no time-out, tries everything twice, three seconds apart, a take included, and reports what it runs on. Here
a command is sent once, and is over after two seconds, whatever the network does.
"""

import json
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from upstash_redis.commands import Commands
from upstash_redis.format import cast_response

from aura_cli.errors import ServiceError, UnreachableError
from aura_cli.settings import Settings
from aura_cli.transport import Rate, Service

SECONDS = 2.0
T = TypeVar("T")


class Upstash(Commands):
    """The database as the libraries' `Redis`, one command a request. Use as a context manager."""

    def __init__(self, settings: Settings, seconds: float = SECONDS) -> None:
        """Raises ConfigurationError where no database is configured."""
        base = settings.require("UPSTASH_REDIS_REST_URL", "it is where the web app counts").reveal()
        token = settings.require("UPSTASH_REDIS_REST_TOKEN", "it is what Upstash is asked with").reveal()
        self._service = Service("Upstash", base, {"Authorization": f"Bearer {token}"}, Rate(0), _said, timeout=seconds)
        self._seconds = seconds

    def __enter__(self) -> Self:
        """Raises ConfigurationError for an address or token that cannot be one."""
        self._service.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._service.__exit__()

    def execute(self, command: list[Any]) -> Any:
        """What Redis answers. Raises UnreachableError, ConfigurationError (401, 403), ServiceError (also for an error of Redis')."""
        try:
            body = _within(self._seconds, lambda: self._service.call("POST", "/", json=command))
        except UnreachableError as error:
            raise UnreachableError(error.message, "Is UPSTASH_REDIS_REST_URL right, and the database there?") from error
        try:
            result = json.loads(body)["result"]
        except (ValueError, TypeError, KeyError) as error:
            raise ServiceError("Upstash's answer is none of Redis'", f"Is {self._service.base} its REST address?") from error
        return cast_response(command, result, self)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; UnreachableError after so many seconds, in which a name is looked up and every byte arrives."""
    done: SimpleQueue[T | Exception] = SimpleQueue()

    def run() -> None:
        try:
            done.put(call())
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            done.put(error)

    threading.Thread(target=run, name="upstash", daemon=True).start()
    try:
        outcome = done.get(timeout=seconds)
    except Empty:
        raise UnreachableError(f"Upstash did not answer within {seconds:g} seconds") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _said(body: bytes) -> str:
    """The message of an answer like `{"error": "…"}`."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return ""
