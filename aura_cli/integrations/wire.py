"""Requests of provider files, filled in and sent; answers as they came, for the caller to judge.

A request's address, headers and body may hold tokens. So errors and logs name the host alone, nothing is redirected, and no
request is repeated here: a cut connection does not say whether a refresh token was used up.
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from aura_cli import __version__
from aura_cli.errors import ConfigurationError, ServiceError, UnreachableError
from aura_cli.integrations.provider import Kind, Provider, Request
from aura_cli.integrations.template import filled, names
from aura_cli.settings import is_loopback
from aura_cli.transport import Rate, trust

LARGEST_ANSWER = 1_000_000  # bytes
LONGEST_ANSWER = 90.0  # seconds from the first byte to the last
AT_ONCE = 32  # requests to one host, where its provider says nothing
HEADERS = {"User-Agent": f"aura/{__version__}", "Accept": "application/json"}
_BASE = re.compile(r"\{(\w+)\}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FORM = re.compile(r"[\w.\[\]-]+=[^\s<>{}\"]*")


class Unsent(UnreachableError):
    """The request did not leave this machine: no connection, or stopped before."""


@dataclass(frozen=True)
class Reply:
    """An answer: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @cached_property
    def document(self) -> Any:
        """The body decoded: JSON, or form-encoded pairs as a table; None for what is neither."""
        try:
            return _storable(json.loads(self.body.decode("utf-8-sig")))
        except (ValueError, RecursionError):
            text = self.body.decode("utf-8", "replace").strip()
            return _storable(dict(parse_qsl(text, keep_blank_values=True))) if _FORM.fullmatch(text) else None

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, as proxies, maintenance and wrong addresses give."""
        return self.headers.get("content-type", "").startswith("text/html") or self.body.lstrip()[:9].lower() in (b"<!doctype", b"<html>")

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Wire:
    """The way to all providers, a context manager; shared by threads. `stop` keeps waiting requests from being sent."""

    timeout: float = 30.0  # seconds without a byte
    stop: threading.Event = field(default_factory=threading.Event)
    _gates: dict[str, "_Gate"] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _own: threading.local = field(default_factory=threading.local, repr=False)  # a thread's clients: httpx's pool is slow when it is shared
    _clients: list[httpx.Client] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for client in self._clients:
            client.close()

    def send(self, request: Request, values: Mapping[str, str], of: Provider | None = None) -> Reply:
        """Fill `request` in and send it, in the limits of the provider `of`. The answer is returned whatever its status.

        Raises ConfigurationError for a placeholder without a value and for values that cannot be sent, UnreachableError where
        no answer came (Unsent where nothing was sent), ServiceError for an answer that cannot be read. None holds a secret.
        """
        try:
            url = address(request.url, values, any_http=of is not None and of.kind is Kind.LOCAL_BRIDGE)
            content = {name: filled(getattr(request, name), values) for name in ("form", "json", "basic")}
            content |= {name: _given(getattr(request, name), values) for name in ("headers", "query")}
        except KeyError as missing:
            raise ConfigurationError(f"{_whose(of)}nothing says its {missing.args[0]!r}", "Connect it again") from None
        return self.deliver(request.method, url, **content, of=of)

    def deliver(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        form: Mapping[str, Any] | None = None,
        json: Any = None,
        basic: Any = None,
        of: Provider | None = None,
    ) -> Reply:
        """Send what is filled in already. Raises as `send` does."""
        where = urlsplit(url)
        host = where.netloc.rpartition("@")[2]
        texts = {name: part if isinstance(part, str) else _text(part) for name, part in (form or {}).items()}
        with self._gate(host, of).passed(self.stop):
            if self.stop.is_set():
                raise Unsent(f"Stopped before {host} was asked")
            try:
                built = self._client(host, where.scheme).build_request(
                    method, url, params=query or None, headers={**HEADERS, **headers}, data=texts or None, json=json
                )
                return self._answer(built, host, tuple(basic) if basic else None)
            except (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError, TypeError):
                said = f"{_whose(of)}a credential or an address holds what cannot be sent"  # the library's words would show it
                raise ConfigurationError(said, "Connect it again, with its credentials as they are") from None

    def _answer(self, built: httpx.Request, host: str, basic: tuple[str, str] | None) -> Reply:
        begun = time.monotonic()
        try:
            answer = self._client(host, built.url.scheme).send(built, auth=basic, stream=True, follow_redirects=False)
            try:
                body = bytearray()
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > LARGEST_ANSWER or time.monotonic() - begun > LONGEST_ANSWER:
                        raise ServiceError(f"{host} answered with more than can be meant", status=answer.status_code)
                return Reply(answer.status_code, dict(answer.headers), bytes(body))
            finally:
                answer.close()
        except httpx.DecodingError:
            raise ServiceError(f"{host} answered with what cannot be unpacked") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise Unsent(f"{host} could not be reached: {error or type(error).__name__}", "Trying again is safe") from None
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            raise
        except httpx.TransportError as error:
            raise UnreachableError(f"{host} broke off without an answer ({type(error).__name__})") from None

    def _client(self, host: str, scheme: str) -> httpx.Client:
        """This thread's client for this host; proxies of the environment are not asked the way to this machine."""
        local = is_loopback(host.rpartition(":")[0].strip("[]") or host)
        name = f"{'local' if local else 'outer'}_{scheme}"
        if not hasattr(self._own, name):
            setattr(self._own, name, self._made(scheme, trust_env=not local))
        client: httpx.Client = getattr(self._own, name)
        return client

    def _made(self, scheme: str, *, trust_env: bool) -> httpx.Client:
        timeout = httpx.Timeout(self.timeout, connect=min(self.timeout, 10), pool=None)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
        with self._lock:
            try:
                client = httpx.Client(verify=trust(scheme), timeout=timeout, limits=limits, trust_env=trust_env)
            except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:  # a SOCKS proxy, no such SSL_CERT_FILE, …
                hint = "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
                raise ConfigurationError(f"This environment's proxy or certificates cannot be used: {error}", hint) from error
            self._clients.append(client)
            return client

    def _gate(self, host: str, of: Provider | None) -> "_Gate":
        with self._lock:
            if host not in self._gates:
                self._gates[host] = _Gate.of(of)
            return self._gates[host]


@dataclass
class _Gate:
    """How fast, and by how many at once, one host may be asked."""

    rate: Rate
    places: threading.BoundedSemaphore

    @classmethod
    def of(cls, provider: Provider | None) -> Self:
        limits = provider.limits if provider else None
        per_second = limits.per_second if limits and limits.per_second else 0.0
        return cls(Rate(per_second), threading.BoundedSemaphore((limits.at_once if limits else None) or AT_ONCE))

    @contextmanager
    def passed(self, stop: threading.Event) -> Iterator[None]:
        while not self.places.acquire(timeout=0.5):
            if stop.is_set():
                raise Unsent("Stopped before anything was sent")
        try:
            self.rate.wait(stop)
            yield
        finally:
            self.places.release()


def address(url: str, values: Mapping[str, str], *, any_http: bool = False) -> str:
    """An address out of its template: values are percent-encoded, in the host they are names, and one that begins the address is its base.

    Such a base is https, or http on this machine or where `any_http`. Raises KeyError for a placeholder without a value,
    ConfigurationError for a value that would lead elsewhere.
    """
    if base := _BASE.match(url):
        start, rest = based(values[base[1]], any_http=any_http), url[base.end() :]
    else:
        scheme, _, rest = url.partition("://")
        host, slash, rest = rest.partition("/")
        start, rest = f"{scheme}://{filled(host, values, _as_host)}", slash + rest
    return start + str(filled(rest, values, _as_part))


def based(base: str, *, any_http: bool = False) -> str:
    """A whole address that somebody gave, without the slash at its end. Raises ConfigurationError where it is none, or not safe."""
    try:
        parts = urlsplit(base.strip())
        fits = parts.hostname and parts.port != 0 and not (parts.username or parts.password or parts.fragment or parts.query)
    except ValueError:
        fits = None
    if not fits or any(letter.isspace() for letter in base.strip()):
        raise ConfigurationError("An address of this connection is none", "It is like https://example.com, without a user, query or #")
    if parts.scheme != "https" and not (parts.scheme == "http" and (any_http or is_loopback(parts.hostname))):
        raise ConfigurationError(f"The address of {parts.hostname} is not https", "http is for this machine alone")
    return base.strip().rstrip("/")


def _as_host(value: str) -> str:
    if not _HOST.fullmatch(value) or ".." in value:
        raise ConfigurationError("A part of this connection's host holds more than letters, digits, dots and hyphens", "Connect it again")
    return value


def _as_part(value: str) -> str:
    if value in (".", ".."):
        raise ConfigurationError("A part of this connection's address would lead elsewhere", "Connect it again")
    return quote(value, safe="")


def _given(parts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Headers or parameters filled in; those of optional fields that were left empty are not sent."""
    return {name: str(filled(part, values)) for name, part in parts.items() if all(values[one] for one in names(part))}


def _storable(part: Any) -> Any:
    """Without what JSON and forms can spell and no database keeps: NUL, and halves of characters."""
    match part:
        case str():
            return _UNSTORABLE.sub("\ufffd", part)
        case dict():
            return {_storable(name): _storable(value) for name, value in part.items()}
        case list():
            return [_storable(one) for one in part]
    return part


def _whose(provider: Provider | None) -> str:
    return f"{provider.name}: " if provider else ""


def _text(part: Any) -> str:
    """A form's value: tables and lists as JSON."""
    return json.dumps(part, separators=(",", ":"), ensure_ascii=False)
