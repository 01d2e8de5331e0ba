"""Which database is meant, and whether it is production's."""

from pathlib import Path
from urllib.parse import urlsplit

from aura_cli.db.binding import Identity
from aura_cli.errors import ConfigurationError
from aura_cli.settings import LOOPBACK_HOSTS, SANDBOX, Environment, Settings

EMBEDDED_NOTE = "Nothing is configured: using the embedded database in {home}"
_EXAMPLE = "postgresql://USER:PASSWORD@HOST/NAME, or sqlite:///path/to/file.db"


def database_url(settings: Settings) -> tuple[str, bool]:
    """The SQLAlchemy URL of the database (driver named), and whether it is the embedded one.

    Raises ConfigurationError where DATABASE_URL is malformed, or missing although something else is configured, or
    not the sandbox's although AURA_ENV is sandbox. No message carries the URL: it holds a password.
    """
    secret = settings.secret("DATABASE_URL")
    if secret is None:
        configured = sorted(name for name in settings.values if name != "AURA_ENV")
        if configured or settings.environment:
            places = ", ".join(("the environment", *settings.looked_in))
            raise ConfigurationError(
                f"DATABASE_URL is not set, though {', '.join(configured[:3] or ['AURA_ENV'])} is",
                f"Looked in: {places}. Example: {_EXAMPLE}",
            )
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return f"sqlite:///{settings.home / 'aura.db'}", True
    url = _normalised(secret.reveal())
    if settings.is_sandbox:
        _require_sandbox(settings, url)
    return url, False


def host_of(url: str) -> str:
    """The host part of a database URL; empty for SQLite and Unix sockets."""
    return "" if url.startswith("sqlite") else (urlsplit(url).hostname or "")


def is_production(settings: Settings, url: str) -> bool:
    """Production by name, by a live key, or by a remote database that nobody gave a name."""
    if settings.environment == Environment.PRODUCTION or settings.stripe_mode == "live":
        return True
    return settings.environment is None and host_of(url) not in LOOPBACK_HOSTS


def target_line(settings: Settings, url: str, identity: Identity | None, rows: int | None) -> str:
    """One line that says where a write goes: environment, database host, Stripe account and mode, number of rows."""
    account = identity.stripe_account if identity else "account not asked"
    stripe = f"{account} ({settings.stripe_mode})" if settings.stripe_mode else "no key"
    place = host_of(url) or Path(urlsplit(url).path).name
    changing = "" if rows is None else f" · {rows:,} rows to change"
    return f"{settings.environment or 'production (by its database host)'} · database {place} · Stripe {stripe}{changing}"


def _normalised(text: str) -> str:
    """The URL with the driver that we use; both of Neon's prefixes are taken."""
    scheme, separator, rest = text.strip().partition("://")
    if separator and scheme in ("postgres", "postgresql", "postgresql+psycopg") and rest:
        url = f"postgresql+psycopg://{rest}"
    elif separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return f"sqlite://{rest}"
    else:
        raise ConfigurationError("DATABASE_URL is malformed", f"It must look like {_EXAMPLE}")
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        if not parsed.database:
            raise ConfigurationError("DATABASE_URL names no database", f"It must look like {_EXAMPLE}")
    except (ArgumentError, ValueError):  # a port that is no number is a plain ValueError
        raise ConfigurationError("DATABASE_URL is malformed", f"It must look like {_EXAMPLE}") from None
    return url


def _require_sandbox(settings: Settings, url: str) -> None:
    path = urlsplit(url).path
    inside = url.startswith("sqlite") and Path(path[1:]).is_relative_to(settings.home)
    if not inside and host_of(url) not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigurationError(f"AURA_ENV is {SANDBOX}, and DATABASE_URL is not the sandbox's", "Start it with: aura sandbox")
    for name in ("STRIPE_SECRET_KEY", "PRIVY_APP_SECRET"):
        key = settings.secret(name)
        if key and SANDBOX not in key.reveal():
            raise ConfigurationError(f"AURA_ENV is {SANDBOX}, and {name} is not the sandbox's", "Start it with: aura sandbox")
