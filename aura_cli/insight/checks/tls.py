"""TLS: whom this machine trusts, and how long the certificates of our own addresses last."""

import ssl
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

import httpx

from aura_cli.insight.finding import Finding, fail, ok, warn
from aura_cli.insight.surroundings import ATTEMPTS, Surroundings
from aura_cli.words import counted

ADDRESSES = ("NEXT_PUBLIC_APP_URL", "AURA_PUBLIC_URL")
WARN_DAYS, FAIL_DAYS = 14, 3  # what renews itself does so a month before


def check(about: Surroundings) -> Iterator[Finding]:
    """Load the authorities, and look at the certificate of each https address of ours."""
    try:
        httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        yield fail("trust", f"the trusted authorities cannot be loaded: {error}", "unset SSL_CERT_FILE SSL_CERT_DIR")
        return
    yield ok("trust", "the trusted authorities are there")
    for url in dict.fromkeys(filter(None, map(about.settings.get, ADDRESSES))):
        if url.startswith("https://"):
            yield _certificate(about, url)


def _certificate(about: Surroundings, url: str) -> Finding:
    look = f"curl -sSI {quote(url)}"
    try:
        ends = _end(about, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return fail("certificate", f"{url} could not be reached: {type(error).__name__} {error}".rstrip(), look)
    days = (ends - about.now().timestamp()) / 86_400
    told = f"the certificate of {url} ends in {counted(int(days), 'day')}"
    if days < WARN_DAYS:
        return (fail if days < FAIL_DAYS else warn)("certificate", told, look)
    return ok("certificate", told)


class _Shown(Exception):
    """The handshake is done: nothing more is asked."""


def _end(about: Surroundings, url: str) -> float:
    """When the certificate that is shown there ends, epoch seconds. Raises httpx.HTTPError when there was no handshake, tried twice."""
    host = httpx.URL(url).raw_host.decode()

    def look(event: str, facts: Mapping[str, Any]) -> None:
        """https://www.python-httpx.org/advanced/extensions/#trace; a proxy's own handshake is another host's."""
        if event.endswith("start_tls.complete"):
            stream = facts["return_value"]
            end = stream.get_extra_info("ssl_object")
            if end.server_hostname == host:
                ends = end.getpeercert()["notAfter"]
                stream.close()
                raise _Shown(ends)

    for attempt in range(ATTEMPTS):
        try:
            with httpx.Client(timeout=about.patience() / ATTEMPTS) as client:
                client.head(url, extensions={"trace": look})
        except _Shown as shown:
            return float(ssl.cert_time_to_seconds(str(shown)))
        except httpx.TransportError:
            if attempt + 1 == ATTEMPTS:
                raise
    raise httpx.ProtocolError("no handshake")
