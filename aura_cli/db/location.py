"""Which database is meant, and whether it is production's."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from aura_cli.db.binding import Identity
from aura_cli.errors import ConfigurationError
from aura_cli.settings import ENVIRONMENT, KNOWN, SANDBOX, TRY_IT, Environment, Settings, is_loopback

EMBEDDED_NOTE = "Nothing is configured: using the embedded database in {home}"
_EXAMPLE = "postgresql://HOST/NAME (with USER and PASSWORD where it asks for them), or sqlite:///path/to/file.db"


def database_url(settings: Settings, *, make: bool = True) -> tuple[str, bool]:
    """The SQLAlchemy URL of the database (driver named), and whether it is the embedded one, which is made where it is missing (`make`).

    Raises ConfigurationError where DATABASE_URL is malformed, or missing although something else is configured, or
    not the sandbox's although AURA_ENV is sandbox. No message carries the URL: it holds a password.
    """
    secret = settings.secret("DATABASE_URL")
    if secret is None:
        # another program's SOMETHING_CLIENT_ID in the environment tells nothing about us
        configured = sorted(name for name, setting in settings.values.items() if name in KNOWN or setting.source != ENVIRONMENT)
        if configured:
            places = ", ".join((ENVIRONMENT, *settings.looked_in))
            raise ConfigurationError(
                f"DATABASE_URL is not set, though {', '.join(configured[:3])} {'are' if configured[1:] else 'is'}",
                f"Looked in: {places}. Example: {_EXAMPLE}. {TRY_IT}",
            )
        return _embedded(settings.home, make=make), True
    url = _normalised(secret.reveal())
    if settings.is_sandbox:
        _require_sandbox(settings, url)
    return url, False


def host_of(url: str, libpq: Mapping[str, str] = MappingProxyType({})) -> str:
    """The host that a database URL leads to, as libpq reads it; empty for SQLite and Unix sockets.

    `libpq` are its own variables, which fill in what the URL leaves out (PostgreSQL, "Environment Variables"). Of a service only
    the name is known.
    """
    if url.startswith("sqlite"):
        return ""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    asked = [parsed.query.get("service"), parsed.query.get("hostaddr"), libpq.get("PGHOSTADDR"), parsed.query.get("host"), parsed.host]
    hosts = next((value for value in (*asked, libpq.get("PGSERVICE"), libpq.get("PGHOST")) if value), "")
    listed = [host for value in ([hosts] if isinstance(hosts, str) else hosts) for host in value.split(",") if host and host[0] not in "/@"]
    return next((host for host in listed if not is_loopback(host)), listed[0] if listed else "")


def is_here(url: str, libpq: Mapping[str, str]) -> bool:
    """Whether a database is on this machine: a file, a Unix socket, or a port of its own."""
    host = host_of(url, libpq)
    return not host or is_loopback(host)


def is_production(settings: Settings, url: str) -> bool:
    """Production by name, by a live key, or by a remote database that nobody gave a name."""
    if settings.environment == Environment.PRODUCTION or settings.stripe_mode == "live":
        return True
    return settings.environment is None and not is_here(url, settings.libpq)


def target_line(settings: Settings, url: str, identity: Identity | None, rows: int | None) -> str:
    """One line that says where a write goes: environment, database host, Stripe account and mode, number of rows."""
    account = identity.stripe_account if identity else "account not asked"
    stripe = f"{account} ({settings.stripe_mode})" if settings.stripe_mode else "no key"
    place = host_of(url, settings.libpq) or Path(urlsplit(url).path).name
    changing = "" if rows is None else f" · {rows:,} rows to change"
    return f"{settings.environment or 'production (AURA_ENV is not set)'} · database {place} · Stripe {stripe}{changing}"


def _embedded(home: Path, *, make: bool) -> str:
    """The URL of the database file in `home`, which with `make` is made, for its owner alone."""
    path = home / "aura.db"
    if not make:
        return f"sqlite:///{path}"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise ConfigurationError(f"The data directory {home} cannot be used: {error.strerror}", "Set AURA_HOME to another") from error
    return f"sqlite:///{path}"


def _normalised(text: str) -> str:
    """The URL with the driver that we use; both of Neon's prefixes are taken."""
    scheme, _, rest = text.strip().partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest[1:].strip("/") not in ("", ":memory:"):
        return f"sqlite://{rest}"
    malformed = ConfigurationError("DATABASE_URL is malformed", f"It must look like {_EXAMPLE}")
    if scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise malformed
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    url = f"postgresql+psycopg://{rest}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a plain ValueError
        raise malformed from None
    if not parsed.database:
        raise ConfigurationError("DATABASE_URL names no database", f"It must look like {_EXAMPLE}")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise malformed
    return url


def _require_sandbox(settings: Settings, url: str) -> None:
    path = urlsplit(url).path
    inside = url.startswith("sqlite") and Path(path[1:]).is_relative_to(settings.home)
    if not inside and not is_loopback(host_of(url, settings.libpq)):
        raise ConfigurationError(f"AURA_ENV is {SANDBOX}, and DATABASE_URL is not the sandbox's", "Start it with: aura sandbox")
