"""The only reader of the environment and of `.env` files.

A setting is looked for in the options, the process environment and the files, in this order, and remembers where it
came from: a base address counts only from the source of its credential, so that a stray file cannot send a key elsewhere.
"""

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from aura_cli import dotenv
from aura_cli.errors import ConfigurationError

ENVIRONMENT = "the environment"
SANDBOX = "sandbox"


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
    "UPSTASH_REDIS_REST_URL": Known("Upstash's address."),
    "UPSTASH_REDIS_REST_TOKEN": Known("Upstash's token.", secret=True),
    "INTEGRATION_ENCRYPTION_KEY": Known("The key that seals tokens, verbatim.", secret=True),
    "NEXT_PUBLIC_APP_URL": Known("The web app's public address."),
    "NEXT_PUBLIC_GA_MEASUREMENT_ID": Known("Google Analytics' measurement id."),
    "NEXT_PUBLIC_SENTRY_DSN": Known("Sentry's address."),
    "AURA_ENV": Known("`development`, `staging` or `production`."),
    "AURA_BILLING_OWNER": Known("Who grants balances: `web` or `aura`."),
    "AURA_STRIPE_WEBHOOK_SECRETS": Known("More signing secrets: a JSON object, label to secret.", secret=True),
    "AURA_RETIRED_ENCRYPTION_KEYS": Known("Keys that only open: a JSON object, label to key.", secret=True),
    "AURA_FORWARD_URL": Known("Where events that stop servers go on to."),
    "AURA_INVITE_URL": Known("The shape of an invitation's link."),
    "AURA_ALERT_TO": Known("Who is told when something changes for the worse."),
    "AURA_PROVIDERS_DIR": Known("Provider files that add or override.", credential="INTEGRATION_ENCRYPTION_KEY"),
    "STRIPE_API_BASE": Known("Where Stripe lives.", credential="STRIPE_SECRET_KEY"),
    "PRIVY_API_BASE": Known("Where Privy lives.", credential="PRIVY_APP_SECRET"),
    "PRIVY_VERIFICATION_KEY": Known("Privy's public key (PEM); else its JWKS is asked.", credential="NEXT_PUBLIC_PRIVY_APP_ID"),
    "OPENAI_BASE_URL": Known("Where OpenAI lives.", credential="OPENAI_API_KEY"),
    "RESEND_API_URL": Known("Where Resend lives.", credential="RESEND_API_KEY"),
    "GA_API_SECRET": Known("Measurement Protocol secret.", secret=True),
    "GA_API_BASE": Known("Where Google Analytics lives.", credential="GA_API_SECRET"),
    "VERCEL_TOKEN": Known("Vercel's token.", secret=True),
    "VERCEL_API_BASE": Known("Where Vercel lives.", credential="VERCEL_TOKEN"),
}
SURROUNDINGS: Mapping[str, str] = {  # read from the process environment alone
    "AURA_HOME": "Data directory; default `~/.local/share/aura`.",
    "AURA_OPERATOR": "Your name in the operator log; default the login name.",
}
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost", "")


class Environment(StrEnum):
    """The values of AURA_ENV."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    SANDBOX = SANDBOX


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

        Raises ConfigurationError for a file that is unreadable, writable by others or owned by somebody else, and for a bad AURA_ENV.
        """
        environ = os.environ if environ is None else environ
        home = Path(environ["AURA_HOME"]) if environ.get("AURA_HOME") else _default_home(environ)
        operator = environ.get("AURA_OPERATOR") or environ.get("USER") or environ.get("LOGNAME") or f"uid {os.getuid()}"
        values = {name: Setting(text, ENVIRONMENT) for name, text in environ.items() if name in KNOWN and text}
        looked_in: list[str] = []
        if environ.get("AURA_ENV") != SANDBOX:
            for path in _files(cwd or Path.cwd(), environment, env_file):
                looked_in.append(str(path))
                for name, text in dotenv.expand(dotenv.parse(_read(path)), environ).items() if path.is_file() else ():
                    if text and (name in KNOWN or _is_provider_credential(name)):
                        values.setdefault(name, Setting(text, str(path)))
        if environment:
            values["AURA_ENV"] = Setting(environment, "--env")
        _check_environment(values.get("AURA_ENV"))
        ignored = tuple(sorted(name for name, known in KNOWN.items() if known.credential and _stray(values, name, known.credential)))
        return cls({name: value for name, value in values.items() if name not in ignored}, tuple(looked_in), home, operator, ignored)

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
            raise ConfigurationError(f"{name} is not set: {purpose}", f"Set it in one of: {', '.join((ENVIRONMENT, *self.looked_in))}")
        return found

    def secret_values(self) -> Iterable[str]:
        """All secret texts, for redaction."""
        return (s.text for name, s in self.values.items() if _is_provider_credential(name) or KNOWN[name].secret)

    @property
    def environment(self) -> str | None:
        return self.get("AURA_ENV")

    @property
    def is_sandbox(self) -> bool:
        return self.environment == SANDBOX

    @property
    def stripe_mode(self) -> str | None:
        """`live` or `test` by the key's prefix; None without a key."""
        key = self.secret("STRIPE_SECRET_KEY")
        if key is None:
            return None
        return "live" if key.reveal().startswith(("sk_live_", "rk_live_")) else "test"


def _is_provider_credential(name: str) -> bool:
    return name.endswith(("_CLIENT_ID", "_CLIENT_SECRET"))


def _stray(values: Mapping[str, Setting], base: str, credential: str) -> bool:
    setting, owner = values.get(base), values.get(credential)
    return setting is not None and setting.source != ENVIRONMENT and (owner is None or owner.source != setting.source)


def _check_environment(setting: Setting | None) -> None:
    if setting and setting.text not in list(Environment):
        raise ConfigurationError(f"AURA_ENV is {setting.text!r} ({setting.source})", f"Use one of: {', '.join(Environment)}")


def _default_home(environ: Mapping[str, str]) -> Path:
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "aura"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".local" / "share" / "aura" if home else Path(tempfile.gettempdir()) / f"aura-{os.getuid()}"


def _files(cwd: Path, environment: str | None, env_file: Path | None) -> list[Path]:
    """The files that count, strongest first: those of the nearest directory, up to the repository's root, that has any."""
    if env_file:
        if not env_file.is_file():
            raise ConfigurationError(f"--env-file {env_file}: no such file")
        return [env_file]
    names = (
        [f".env.{environment}.local", f".env.{environment}"]
        if environment
        else [".env.development.local", ".env.local", ".env.development", ".env"]
    )
    chain = [cwd, *cwd.parents]
    root = next((index for index, folder in enumerate(chain) if (folder / ".git").exists()), 0)
    for folder in chain[: root + 1]:
        if any((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    return [cwd / name for name in names]


def _read(path: Path) -> str:
    try:
        facts = path.stat()
        if facts.st_uid != os.getuid():
            raise ConfigurationError(f"{path} belongs to another user and is not read", f"chown {os.getuid()} {path}")
        if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"{path} can be written by others and is not read", f"chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
