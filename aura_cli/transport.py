"""HTTP as every service needs it: time-outs, retries with Retry-After, a shared request rate, no secret in an error.

httpx does the wire. What is ours is the decision which failures may be tried again: a read always, a write only with
an idempotency key, because a cut connection does not say whether the request was carried out.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from aura_cli.errors import ConfigurationError, NotFoundError, ServiceError, UnreachableError

ATTEMPTS = 6
LONGEST_WAIT = 60.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class Rate:
    """At most `per_second` requests a second over all threads, evenly spaced; 0 sets no limit."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Block until the next request may start, or `stop` is set."""
        if not self._gap:
            return
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._gap
        stop.wait(max(0.0, start - time.monotonic()))


@dataclass
class Service:
    """One outside service: its name for messages, base address, headers and request rate. Safe to share by threads."""

    name: str
    base: str
    headers: Mapping[str, str] = field(repr=False)
    rate: Rate
    describe: Callable[[bytes], str] = lambda body: ""
    stop: threading.Event = field(default_factory=threading.Event)
    _client: httpx.Client | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        try:
            self._client = httpx.Client(
                base_url=self.base,
                headers=dict(self.headers),
                timeout=httpx.Timeout(30, connect=10),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
                trust_env=not _is_loopback(self.base),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigurationError(f"{self.name}: the base address {self.base!r} is malformed", str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if self._client:
            self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        """The body of a successful GET. Raises NotFoundError (404), ConfigurationError (401, 403), ServiceError, UnreachableError."""
        return self.call("GET", path, params=params)

    def call(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, json: object = None, repeatable: bool = True
    ) -> bytes:
        """The body of a successful answer, after retries where `repeatable`. Raises as `get` does."""
        assert self._client is not None, "use the service as a context manager"
        attempts = ATTEMPTS if repeatable else 1
        for attempt in range(1, attempts + 1):
            self.rate.wait(self.stop)
            if self.stop.is_set():
                raise UnreachableError(f"{self.name}: stopped before {method} {path}")
            try:
                answer = self._client.request(method, path, params=params, json=json)
            except httpx.InvalidURL as error:
                raise ConfigurationError(f"{self.name}: the base address {self.base!r} is malformed", str(error)) from error
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise UnreachableError(
                        f"{self.name} could not be reached at {self.base}: {type(error).__name__} {error}".rstrip(), "Trying again is safe"
                    ) from error
                self.stop.wait(_backoff(attempt))
                continue
            if answer.is_success:
                return answer.content
            if answer.status_code not in _AGAIN or attempt == attempts:
                raise self._failure(answer, method, path)
            self.stop.wait(_wait_for(answer, attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _failure(self, answer: httpx.Response, method: str, path: str) -> Exception:
        said = self.describe(answer.content)[:300]
        message = f"{self.name} answered {answer.status_code} to {method} {path}" + (f": {said}" if said else "")
        match answer.status_code:
            case 401 | 403:
                return ConfigurationError(message, f"Check the credentials for {self.name}")
            case 404:
                return NotFoundError(message)
            case 429:
                return ServiceError(message, "It asks for a slower pace; wait, or lower --max-rps", status=429)
        return ServiceError(message, status=answer.status_code)


def _backoff(attempt: int) -> float:
    """Seconds before the next try: doubling from a quarter second, with jitter so that many clients spread."""
    return float(min(LONGEST_WAIT, 0.25 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _wait_for(answer: httpx.Response, attempt: int) -> float:
    """The answer's Retry-After (seconds or a date, RFC 9110 section 10.2.3), else the backoff."""
    said = answer.headers.get("retry-after", "")
    try:
        seconds = float(said) if said.replace(".", "", 1).isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, TypeError):
        return _backoff(attempt)
    return min(LONGEST_WAIT, max(0.0, seconds))


def _is_loopback(base: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(base).hostname in ("127.0.0.1", "::1", "localhost")
