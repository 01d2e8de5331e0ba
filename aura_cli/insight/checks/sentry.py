"""Sentry: the address, and whether somebody there takes envelopes for that project."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aura_cli.errors import ConfigurationError
from aura_cli.insight.finding import Finding, System, absent, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed
from aura_cli.transport import Rate, Service

DSN = "NEXT_PUBLIC_SENTRY_DSN"
KEYS = PAGES[System.SENTRY].keys


@dataclass(frozen=True)
class Address:
    """What a DSN says (https://develop.sentry.dev/sdk/foundations/transport/authentication/): where, for which project, with which key."""

    base: str
    project: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, dsn: str) -> "Address":
        """Raises ConfigurationError for what is no DSN."""
        try:
            parts = urlsplit(dsn)
            folder, _, project = parts.path.rstrip("/").rpartition("/")
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise ConfigurationError(f"{DSN} is no address") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username or not project:
            raise ConfigurationError(f"{DSN} is no DSN: https://KEY@HOST/PROJECT")
        return cls(f"{parts.scheme}://{parts.hostname}{port}{folder}", project, parts.username)


def check(about: Surroundings) -> Iterator[Finding]:
    """Send an empty report of the client's own, which makes no event and counts nowhere. Raises as `Service.call` does."""
    dsn = about.settings.get(DSN)
    if dsn is None:
        yield absent("project", f"{DSN}; errors are told to nobody", KEYS)
        return
    address = Address.of(dsn)
    authorisation = f"Sentry sentry_version=7, sentry_client=aura/1, sentry_key={address.key}"
    headers = {"X-Sentry-Auth": authorisation, "Content-Type": "application/x-sentry-envelope"}
    with about.asked(Service("Sentry", address.base, headers, Rate(0))) as sentry:
        path = f"/api/{address.project}/envelope/"
        _, latency = timed(lambda: sentry.call("POST", path, content=_empty_report(), repeatable=True))
    yield ok("project", f"project {address.project} takes envelopes", latency)


def _empty_report() -> bytes:
    """An envelope with a client report that reports nothing: https://develop.sentry.dev/sdk/telemetry/client-reports/."""
    report = json.dumps({"discarded_events": []})
    return "\n".join(["{}", json.dumps({"type": "client_report", "length": len(report)}), report, ""]).encode()
