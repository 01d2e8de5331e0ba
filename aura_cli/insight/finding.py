"""What a look at one system brings: findings, each with a state and, where something is wrong, the way to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class System(StrEnum):
    """What can be looked at, in the order in which it is told."""

    DATABASE = "database"
    STRIPE = "stripe"
    WEBHOOKS = "webhooks"
    PRIVY = "privy"
    OPENAI = "openai"
    RESEND = "resend"
    UPSTASH = "upstash"
    SENTRY = "sentry"
    ANALYTICS = "analytics"
    VERCEL = "vercel"
    VAULT = "vault"
    CONNECTIONS = "connections"
    FILES = "files"
    DISK = "disk"
    TLS = "tls"
    CLOCK = "clock"


class State(StrEnum):
    """How it is. `skipped`: it was not looked at, for the reason that the finding gives."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CONFIGURED = "not_configured"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix`: a command or an address to paste; `latency_ms`: how long the answer took, where one came.

    A check leaves `system` empty: whoever runs it puts its name there.
    """

    name: str
    state: State
    detail: str
    fix: str | None = None
    latency_ms: int | None = None
    system: str = ""


SETTINGS_FIRST = "look first whether these settings are the ones that are meant"  # whose database it is seldom changes


def ok(name: str, detail: str, latency_ms: int | None = None) -> Finding:
    """It is as it should be."""
    return Finding(name, State.OK, detail, latency_ms=latency_ms)


def warn(name: str, detail: str, fix: str | None = None) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(name, State.WARN, detail, fix)


def fail(name: str, detail: str, fix: str | None = None) -> Finding:
    """It does not work."""
    return Finding(name, State.FAIL, detail, fix)


def absent(name: str, detail: str, fix: str | None = None) -> Finding:
    """It is not configured."""
    return Finding(name, State.NOT_CONFIGURED, detail, fix)
