"""The only reader of the environment and of `.env` files.

A setting is looked for in the options, the process environment and the files, in this order, and remembers where it
came from: a base address counts only from the source of its credential, so that a stray file cannot send a key elsewhere.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from aura_cli import dotenv
from aura_cli.errors import ConfigurationError

ENVIRONMENT = "the environment"
SANDBOX = "sandbox"
SANDBOX_KEYS = (  # in the sandbox these bear its name: a key of somewhere else is not used from there
    "STRIPE_SECRET_KEY",
    "PRIVY_APP_SECRET",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "RESEND_API_KEY",
    "UPSTASH_REDIS_REST_TOKEN",
    "GA_API_SECRET",
    "VERCEL_TOKEN",
)
TRY_IT = "To try aura with nothing set: aura sandbox -- bash"


@dataclass(frozen=True)
class Known:
    """What a setting is for. `secret` values are never shown; a base address counts only from the source of its `credential`."""

    purpose: str
    secret: bool = False
    credential: str | None = None


KNOWN: Mapping[str, Known] = {
    "DATABASE_URL": Known("The database: `postgresql://…` (or `postgres://`), or `sqlite:///path`.", secret=True),
    "NEXT_PUBLIC_PRIVY_APP_ID": Known("Privy's app id."),
    "PRIVY_APP_SECRET": Known("Privy's app secret.", secret=True),
    "STRIPE_SECRET_KEY": Known("Stripe's key; its prefix says live or test.", secret=True),
    "STRIPE_WEBHOOK_SECRET": Known("Signing secret of the webhook endpoint.", secret=True),
    "STRIPE_PRICE_ID": Known("The price that the web app sells."),
    "OPENAI_API_KEY": Known("OpenAI's key.", secret=True),
    "OPENROUTER_API_KEY": Known("OpenRouter's key; preferred where set.", secret=True),
    "RESEND_API_KEY": Known("Resend's key.", secret=True),
    "FROM_EMAIL": Known("Sender of mail."),
    "UPSTASH_REDIS_REST_URL": Known("Upstash's address.", credential="UPSTASH_REDIS_REST_TOKEN"),
    "UPSTASH_REDIS_REST_TOKEN": Known("Upstash's token.", secret=True),
    "INTEGRATION_ENCRYPTION_KEY": Known("The key that seals tokens, verbatim.", secret=True),
    "NEXT_PUBLIC_APP_URL": Known("The web app's public address."),
    "NEXT_PUBLIC_GA_MEASUREMENT_ID": Known("Google Analytics' measurement id."),
    "NEXT_PUBLIC_SENTRY_DSN": Known("Sentry's address."),
    "AURA_ENV": Known("`development`, `staging` or `production`."),
    "AURA_BILLING_OWNER": Known("Who grants balances: `web` or `aura`."),
    "AURA_STRIPE_WEBHOOK_SECRETS": Known("More signing secrets: a JSON object, label to secret.", secret=True),
    "AURA_RETIRED_ENCRYPTION_KEYS": Known("Keys that only open: a JSON object, label to key.", secret=True),
    "AURA_FORWARD_URL": Known("Where events that stop servers go on to, signed anew.", credential="STRIPE_WEBHOOK_SECRET"),
    "AURA_INVITE_URL": Known("The shape of an invitation's link."),
    "AURA_ALERT_TO": Known("Who is told when something changes for the worse."),
    "AURA_TRACES_SAMPLE_RATE": Known("The share of traces that goes to Sentry, from 0 to 1; default 1."),
    "AURA_PROVIDERS_DIR": Known("Provider files that add or override.", credential="INTEGRATION_ENCRYPTION_KEY"),
    "AURA_PUBLIC_URL": Known("The listener's public address; default `NEXT_PUBLIC_APP_URL`.", credential="INTEGRATION_ENCRYPTION_KEY"),
    "STRIPE_API_BASE": Known("Where Stripe lives.", credential="STRIPE_SECRET_KEY"),
    "PRIVY_API_BASE": Known("Where Privy lives.", credential="PRIVY_APP_SECRET"),
    "PRIVY_VERIFICATION_KEY": Known("Privy's public key (PEM); else its JWKS is asked.", credential="NEXT_PUBLIC_PRIVY_APP_ID"),
    "OPENAI_BASE_URL": Known("Where OpenAI lives.", credential="OPENAI_API_KEY"),
    "OPENROUTER_BASE_URL": Known("Where OpenRouter lives.", credential="OPENROUTER_API_KEY"),
    "RESEND_WEBHOOK_SECRET": Known("Signing secret of Resend's webhook endpoint.", secret=True),
    "RESEND_API_URL": Known("Where Resend lives.", credential="RESEND_API_KEY"),
    "GA_API_SECRET": Known("Measurement Protocol secret.", secret=True),
    "GA_API_BASE": Known("Where Google Analytics lives.", credential="GA_API_SECRET"),
    "VERCEL_TOKEN": Known("Vercel's token.", secret=True),
    "VERCEL_PROJECT_ID": Known("The Vercel project, by id or name; default what `vercel link` wrote into `.vercel/project.json`."),
    "VERCEL_ORG_ID": Known("The Vercel team that the project belongs to; default as for the project."),
    "VERCEL_API_BASE": Known("Where Vercel lives.", credential="VERCEL_TOKEN"),
    "MICROSOFT_TENANT_ID": Known("Microsoft's tenant for Teams and Outlook; default `common`."),
    "TRELLO_API_KEY": Known("Trello's API key, which is public."),
    "WORKDAY_TENANT": Known("Workday's tenant."),
}
SURROUNDINGS: Mapping[str, str] = {  # read from the process environment alone
    "AURA_HOME": "Data directory; default `~/.local/share/aura`.",
    "AURA_OPERATOR": "Your name in the operator log; default the login name.",
    "AURA_PAGER": "What shows long lists on a terminal, before `PAGER`; default `less`, `cat` for none.",
    "PGHOST": "libpq's: where a `DATABASE_URL` without a host leads.",
    "PGHOSTADDR": "libpq's: the address behind any host that `DATABASE_URL` names.",
    "PGSERVICE": "libpq's: the service that fills in what `DATABASE_URL` leaves out.",
}
_SCREEN = "BROWSER DISPLAY WAYLAND_DISPLAY SSH_CONNECTION SSH_CLIENT SSH_TTY WSL_DISTRO_NAME WSL_INTEROP container".split()
_FOLDERS = "SHELL HOME USERPROFILE XDG_DATA_HOME XDG_CONFIG_HOME ZDOTDIR".split()


class Environment(StrEnum):
    """The values of AURA_ENV."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    SANDBOX = SANDBOX


def screen() -> dict[str, str]:
    """What the process environment says of whether, and with what, a browser can be opened here."""
    return {name: os.environ[name] for name in _SCREEN if os.environ.get(name)}


def surroundings() -> Mapping[str, str]:
    """The process environment as it is: for a program that is to run in it."""
    return dict(os.environ)


def own_folders() -> dict[str, str]:
    """What the process environment says of the login shell, and of where a person keeps programs' data and configuration."""
    return {name: os.environ[name] for name in _FOLDERS if os.environ.get(name)}


def foreign_environment() -> dict[str, str]:
    """The process environment without any setting of the web app's or ours: what a command in the sandbox inherits."""
    ours = ("AURA_", *KNOWN)
    return {name: text for name, text in os.environ.items() if not name.startswith(ours) and not _is_provider_credential(name)}


class Secret:
    """A value that must not be shown: its text comes out through `reveal()` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    @property
    def fingerprint(self) -> str:
        """What tells it from others and may be shown: the first 16 digits of its SHA-256."""
        from hashlib import sha256

        return sha256(self._text.encode(errors="surrogatepass")).hexdigest()[:16]

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__


@dataclass(frozen=True)
class Setting:
    text: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Settings:
    """Everything configured, each value with its source; `looked_in` names the files that were looked for."""

    values: Mapping[str, Setting] = field(repr=False)
    looked_in: tuple[str, ...]
    home: Path
    operator: str
    ignored: tuple[str, ...] = ()
    libpq: Mapping[str, str] = field(default_factory=dict)  # what its own variables say of the place of a database

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        environment: str | None = None,
        env_file: Path | None = None,
    ) -> Self:
        """Read the process environment and the files that count for `environment` (`--env`) or only `env_file`.

        An empty value hides those of weaker sources and counts as none. Raises ConfigurationError for a file that is
        unreadable, writable by others or owned by somebody else, for a bad AURA_ENV, and in the sandbox for a key of somewhere else.
        """
        environ = os.environ if environ is None else environ
        _check_environment(environ.get("AURA_ENV"), environment)
        home = Path(environ["AURA_HOME"]) if environ.get("AURA_HOME") else _default_home(environ)
        operator = environ.get("AURA_OPERATOR") or environ.get("USER") or environ.get("LOGNAME") or f"uid {_uid()}"
        values = {name: Setting(text, ENVIRONMENT) for name, text in environ.items() if _is_setting(name)}
        paths = [] if environ.get("AURA_ENV") == SANDBOX else _files(cwd or _working_directory(), environment, env_file)
        outer = dict(environ)
        for path in filter(_is_file, paths):
            found = _read(path, outer)
            values = {name: Setting(text, str(path)) for name, text in found.items() if _is_setting(name)} | values
            outer = found | outer
        if environment:
            values["AURA_ENV"] = Setting(environment, "--env")
        elif (named := values.get("AURA_ENV")) and named.source != ENVIRONMENT:
            _check_environment(None, named.text)
        values = {name: setting for name, setting in values.items() if setting.text}
        if environ.get("AURA_ENV") == SANDBOX:
            _require_mark(values)
        ignored = tuple(sorted(name for name, known in KNOWN.items() if known.credential and _stray(values, name, known.credential)))
        known = {name: value for name, value in values.items() if name not in ignored}
        libpq = {name: environ[name] for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE") if environ.get(name)}
        return cls(known, tuple(map(str, paths)), home, operator, ignored, libpq)

    def get(self, name: str) -> str | None:
        """The value of a setting that is no secret, or None."""
        setting = self.values.get(name)
        return setting.text if setting else None

    def secret(self, name: str) -> Secret | None:
        """The value of a secret setting, or None."""
        setting = self.values.get(name)
        return Secret(setting.text) if setting else None

    def require(self, name: str, purpose: str) -> Secret:
        """The value of `name`; ConfigurationError names the setting, its `purpose` and where it was looked for."""
        found = self.secret(name)
        if found is None:
            places = ", ".join((ENVIRONMENT, *self.looked_in))
            raise ConfigurationError(f"{name} is not set: {purpose}", f"Set it in one of: {places}. {TRY_IT}")
        return found

    def secret_values(self) -> Iterator[str]:
        """All secret texts, for redaction; of those that have parts (the database's password, labelled keys) each part too."""
        return (text for _, text in self.named_secrets())

    def named_secrets(self) -> Iterator[tuple[str, str]]:
        """The same, each with the name of its setting."""
        for name, setting in self.values.items():
            if is_secret(name):
                yield name, setting.text
            yield from ((name, part) for part in secret_parts(name, setting.text))

    @property
    def environment(self) -> str | None:
        return self.get("AURA_ENV")

    @property
    def is_sandbox(self) -> bool:
        return self.environment == SANDBOX

    @property
    def stripe_mode(self) -> str | None:
        """`test` by the key's prefix, else `live` (a key whose mode does not show is treated with care); None without a key."""
        key = self.secret("STRIPE_SECRET_KEY")
        if key is None:
            return None
        return "test" if key.reveal().startswith(("sk_test_", "rk_test_")) else "live"


def _require_mark(values: Mapping[str, Setting]) -> None:
    """Raises ConfigurationError for a key that is not the sandbox's."""
    for name in SANDBOX_KEYS:
        if name in values and SANDBOX not in values[name].text:
            raise ConfigurationError(f"AURA_ENV is {SANDBOX}, and {name} is not the sandbox's", "Start it with: aura sandbox")


def is_secret(name: str) -> bool:
    """Whether a setting's value is never shown."""
    return name.endswith("_CLIENT_SECRET") or (name in KNOWN and KNOWN[name].secret)


def _is_provider_credential(name: str) -> bool:
    return name.endswith(("_CLIENT_ID", "_CLIENT_SECRET"))


def _is_setting(name: str) -> bool:
    return name in KNOWN or _is_provider_credential(name)


def secret_parts(name: str, text: str) -> Iterator[str]:
    """What in a value is a secret by itself: the database's password (as it stands there, and decoded), labelled keys, chats' URLs."""
    if name == "DATABASE_URL" and (password := re.search(r"://[^/:@]*:(.*)@", text)):
        yield from {password[1], unquote(password[1])}
    elif name == "AURA_ALERT_TO":  # whoever knows a chat's address may post there
        yield from (part.strip() for part in text.split(",") if "://" in part)
    elif is_secret(name) and text.startswith("{"):
        yield from re.findall(r':\s*"([^"\\]+)"', text)


def _stray(values: Mapping[str, Setting], base: str, credential: str) -> bool:
    setting, owner = values.get(base), values.get(credential)
    return setting is not None and setting.source != ENVIRONMENT and (owner is None or owner.source != setting.source)


def _check_environment(ambient: str | None, chosen: str | None) -> None:
    """Refuse environments that do not exist; the sandbox is entered through the process environment alone, and left by leaving it."""
    if unknown := {ambient, chosen} - {None, "", *Environment}:
        raise ConfigurationError(f"AURA_ENV is {unknown.pop()!r}", f"Use one of: {', '.join(Environment)}")
    if chosen and chosen != ambient and SANDBOX in (ambient, chosen):
        raise ConfigurationError(f"AURA_ENV cannot become {chosen!r}: only aura sandbox leads into the sandbox, and nothing out of it")


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError("The working directory does not exist any more", "Go to another one") from error


def _default_home(environ: Mapping[str, str]) -> Path:
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "aura"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".local" / "share" / "aura" if home else Path(tempfile.gettempdir()) / f"aura-{_uid()}"


def _files(cwd: Path, environment: str | None, env_file: Path | None) -> list[Path]:
    """The files that count, strongest first: those of the nearest directory, up to the repository's root, that has any."""
    if env_file:
        if not _is_file(env_file):
            raise ConfigurationError(f"--env-file {env_file}: no such file")
        return [env_file]
    names = (
        [f".env.{environment}.local", f".env.{environment}"]
        if environment
        else [".env.development.local", ".env.local", ".env.development", ".env"]
    )
    chain = [cwd, *cwd.parents]
    root = next((index for index, folder in enumerate(chain) if os.path.exists(folder / ".git")), 0)  # noqa: PTH110 (False where we may not look)
    for folder in chain[: root + 1]:
        if any(_is_file(folder / name) for name in names):
            return [folder / name for name in names]
    return [cwd / name for name in names]


def _is_file(path: Path) -> bool:
    """Whether something can be read there: a file, or the pipe of a process substitution."""
    return os.path.exists(path) and not path.is_dir()  # noqa: PTH110 (False where we may not look)


def _has_modes() -> bool:
    """Whether the mode of a file says who may write it: not on Windows, where there are no users' numbers either."""
    return hasattr(os, "getuid")


def _uid() -> int:
    return os.getuid() if _has_modes() else 0


def _read(path: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """What a file says; `outer` (environment, stronger files) counts where its values name others."""
    try:
        with path.open(encoding="utf-8") as file:
            facts = os.fstat(file.fileno())
            if _has_modes() and facts.st_uid not in (_uid(), 0):  # what root wrote needs no distrust
                raise ConfigurationError(f"{path} belongs to another user and is not read", f"chown {_uid()} {path}")
            if _has_modes() and facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ConfigurationError(f"{path} can be written by others and is not read", f"chmod 600 {path}")
            return dotenv.expand(dotenv.parse(file.read()), outer)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # no UTF-8, or a value that refers to itself
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address is this machine's own (RFC 6761, 6.3; RFC 1122, 3.2.1.3)."""
    from ipaddress import ip_address  # few need it, and every command imports this file

    try:
        if host is None or host.lower() == "localhost":
            return host is not None
        address = ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback  # before 3.13 Python takes a mapped one for another
    except ValueError:
        return False


def leads_here(url: str) -> bool:
    """Whether a web address is on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback(parts.hostname)
