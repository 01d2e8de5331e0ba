"""TLS: whom this machine trusts, and how long the certificates of our own addresses last."""

import ssl
from collections.abc import Iterator
from dataclasses import replace

import httpx

from aura_cli.errors import AuraError, UnreachableError
from aura_cli.insight.finding import Finding, fail, ok, warn
from aura_cli.insight.surroundings import Surroundings
from aura_cli.transport import Rate, Service

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
    ends: list[float] = []

    def observe(answer: httpx.Response) -> None:
        if (stream := answer.extensions.get("network_stream")) and (wrapped := stream.get_extra_info("ssl_object")):
            ends.append(ssl.cert_time_to_seconds(wrapped.getpeercert()["notAfter"]))

    asked = replace(about.asked(Service(url, url, {}, Rate(0))), observe=observe)
    try:
        with asked:
            asked.get("/")
    except UnreachableError as error:
        return fail("certificate", error.message, f"curl -sSI {url}")
    except AuraError:  # whatever it answers, it showed its certificate
        pass
    days = (min(ends) - about.now().timestamp()) / 86_400 if ends else 0.0
    told = f"the certificate of {url} lasts {days:,.0f} more days"
    if not ends:
        return warn("certificate", f"{url} showed no certificate", f"curl -sSI {url}")
    if days < WARN_DAYS:
        return (fail if days < FAIL_DAYS else warn)("certificate", told)
    return ok("certificate", told)
