"""HTTP as every service needs it: time-outs, retries with Retry-After, a shared request rate, no secret in an error.

httpx does the wire. What is ours is the decision which failures may be tried again: a read always, a write only with
an idempotency key, because a cut connection does not say whether the request was carried out.

It is loaded when a service is first used: who only looks into the database may know of services and not wait for it.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, quote_plus

from aura_cli.errors import AccessRefused, ConfigurationError, NotFoundError, ServiceError, UnreachableError
from aura_cli.settings import is_loopback

if TYPE_CHECKING:
    import ssl

    import httpx

ATTEMPTS = 6
LONGEST_WAIT = 60.0
_CREDENTIAL = re.compile("secret|token|key", re.IGNORECASE)  # in the name of a parameter
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


def trust(scheme: str) -> ssl.SSLContext:
    """Whom a client of such addresses believes: nobody, where nothing is encrypted. Raises OSError for an SSL_CERT_FILE that is none."""
    import ssl

    return authorities() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def authorities() -> ssl.SSLContext:
    """Whom this environment believes: 20 ms of work, so once for all clients."""
    import httpx

    return httpx.create_ssl_context()


class Rate:
    """At most `per_second` requests a second over all threads, evenly spaced; 0 sets no limit."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._gap = 1 / per_second if per_second > 0 else 0.0
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
    timeout: float = 30.0  # seconds without a byte
    attempts: int = ATTEMPTS  # at what may be tried again
    observe: Callable[[httpx.Response], object] = lambda answer: None  # sees every answer of a call, good or not
    stop: threading.Event = field(default_factory=threading.Event)
    _client: httpx.Client | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        import httpx

        try:
            address = httpx.URL(self.base)
        except httpx.InvalidURL as error:
            raise self._misconfigured(str(error)) from error
        if address.scheme not in ("http", "https") or not address.host:
            raise self._misconfigured("It must begin with https://")
        try:
            headers = httpx.Headers(dict(self.headers))
        except UnicodeEncodeError:
            raise ConfigurationError(f"{self.name}: a credential holds characters that no HTTP header may carry") from None
        try:
            self._client = httpx.Client(
                base_url=address,
                headers=headers,
                timeout=httpx.Timeout(self.timeout, connect=min(self.timeout, 10)),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
                verify=trust(address.scheme),
                trust_env=not is_loopback(address.host),
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:  # a SOCKS proxy, no such SSL_CERT_FILE, …
            hint = "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            raise ConfigurationError(f"{self.name}: this environment's proxy or certificates cannot be used: {error}", hint) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if self._client:
            self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        """The body of a successful GET. Raises NotFoundError (404), ConfigurationError (401, 403), ServiceError, UnreachableError."""
        return self.call("GET", path, params=params)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> bytes:
        """The body of a successful answer, after retries where `repeatable` (default: a GET is, nothing else). Raises as `get` does.

        What is sent is `json`, `form` (form-encoded; a list's elements under one name each), `content` as it is, or nothing.
        """
        import httpx

        assert self._client is not None, "use the service as a context manager"
        attempts = self.attempts if repeatable or (repeatable is None and method == "GET") else 1
        for attempt in range(1, attempts + 1):
            self.rate.wait(self.stop)
            if self.stop.is_set():
                raise UnreachableError(f"{self.name}: stopped before {method} {path}")
            try:
                answer = self._client.request(method, path, params=params, json=json, data=form, content=content, headers=headers)
            except httpx.LocalProtocolError as error:
                raise ConfigurationError(f"{self.name}: a credential or address cannot be sent: {error}") from error
            except httpx.DecodingError as error:
                raise ServiceError(f"{self.name} answered {method} {path} with what cannot be unpacked: {error}") from error
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise self._unreachable(error, safe=attempts > 1) from error
                self.stop.wait(_backoff(attempt))
                continue
            self.observe(answer)
            if answer.is_success:
                return self._body(answer, method, path)
            if answer.status_code not in _AGAIN or attempt == attempts:
                raise self._failure(answer, method, path)
            self.stop.wait(_wait_for(answer, attempt))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def lines(
        self,
        path: str,
        json: object,
        *,
        attempts: int = ATTEMPTS,
        longest_wait: float = LONGEST_WAIT,
        final: Callable[[bytes], bool] = lambda body: False,
        waiting: Callable[[float, str], None] = lambda seconds, why: None,
    ) -> Iterator[Iterator[bytes]]:
        """POST `json` and give the lines of the answer, without their ends, as they come; leaving the block closes the connection.

        Tried again as `call` does until the answer begins, after a word to `waiting` (seconds, why); not where the service wants a
        longer wait than `longest_wait`, nor where `final` says of an error's body that trying again is of no use. Raises as `call`
        does; UnreachableError, too, from the lines of an answer that breaks off.
        """
        import httpx

        assert self._client is not None, "use the service as a context manager"
        for attempt in range(1, attempts + 1):
            self.rate.wait(self.stop)
            if self.stop.is_set():
                raise UnreachableError(f"{self.name}: stopped before POST {path}")
            wait = _backoff(attempt)
            try:
                with self._client.stream("POST", path, json=json) as answer:
                    if answer.is_success:
                        yield self._split(answer)
                        return
                    body = answer.read()
            except httpx.LocalProtocolError as error:
                raise ConfigurationError(f"{self.name}: a credential or address cannot be sent: {error}") from error
            except httpx.DecodingError as error:
                raise ServiceError(f"{self.name} answered POST {path} with what cannot be unpacked: {error}") from error
            except httpx.TransportError as error:
                failure: Exception = self._unreachable(error, safe=True)
                if attempt == attempts:
                    raise failure from error
            else:
                failure, wait = self._failure(answer, "POST", path), _wait_for(answer, attempt)
                if answer.status_code not in _AGAIN or attempt == attempts or wait > longest_wait or final(body):
                    raise failure
            waiting(wait, str(failure))
            self.stop.wait(wait)

    def _split(self, answer: httpx.Response) -> Iterator[bytes]:
        """Lines as server-sent events have them; httpx' own end at characters, too, that JSON may hold."""
        import httpx

        left = b""
        try:
            for part in answer.iter_bytes():
                *whole, left = (left + part).split(b"\n")
                yield from (line.removesuffix(b"\r") for line in whole)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self.name}: the answer broke off ({type(error).__name__} {error})".rstrip()) from error
        if left:
            yield left

    def _body(self, answer: httpx.Response, method: str, path: str) -> bytes:
        if answer.headers.get("content-type", "").startswith("text/html"):
            said = f"{self.name} answered {method} {path} with a web page"
            raise ServiceError(said, f"Is {self.base} its address, or a proxy's?", status=answer.status_code)
        return answer.content

    def _misconfigured(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self.name}: the base address {self.base!r} is malformed", why)

    def _unreachable(self, error: httpx.TransportError, *, safe: bool) -> UnreachableError:
        what = f"{type(error).__name__} {error}".rstrip()
        hint = "Trying again is safe" if safe else "It may have been carried out all the same: look before you try again"
        return UnreachableError(f"{self.name} could not be reached at {self.base}: {what}", hint)

    def _failure(self, answer: httpx.Response, method: str, path: str) -> Exception:
        said = _without_credentials(self.describe(answer.content), answer.request)[:300]
        message = f"{self.name} answered {answer.status_code} to {method} {path}" + (f": {said}" if said else "")
        if answer.is_redirect:  # following it would hand the credentials to whoever it names
            return ServiceError(message, "It sends us elsewhere; is the base address right?", status=answer.status_code)
        match answer.status_code:
            case 401 | 403:
                return AccessRefused(message, f"Check the credentials for {self.name}", status=answer.status_code, body=answer.content)
            case 404:
                return NotFoundError(message)
            case 429:
                hint = "It asks for a slower pace; wait, or lower --max-rps"
                return ServiceError(message, hint, status=429, body=answer.content, wait=_asked_for(answer))
        return ServiceError(message, status=answer.status_code, body=answer.content, wait=_asked_for(answer))


def _without_credentials(said: str, request: httpx.Request) -> str:
    """What a service said of a request, without the credentials in it: what repeats them is cut, stored and shown further on."""
    credentials = request.headers.get("authorization", "").split()[1:]
    for value in [*credentials, *(value for name, value in request.url.params.multi_items() if _CREDENTIAL.search(name))]:
        for written in (value, quote(value, safe=""), quote_plus(value)) if value else ():
            said = said.replace(written, "****")
    return said


def _backoff(attempt: int) -> float:
    """Seconds before the next try: doubling from a quarter second, with jitter so that many clients spread."""
    return float(min(LONGEST_WAIT, 0.25 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _wait_for(answer: httpx.Response, attempt: int) -> float:
    """What the answer asks for, as long as that is bearable, else the backoff."""
    asked = _asked_for(answer)
    return _backoff(attempt) if asked is None else min(LONGEST_WAIT, asked)


def _asked_for(answer: httpx.Response) -> float | None:
    """The answer's Retry-After (seconds or a date, RFC 9110 section 10.2.3), in seconds."""
    said = answer.headers.get("retry-after", "")
    try:
        seconds = float(said) if said.replace(".", "", 1).isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds)
