"""Where a consent comes back to: on this machine, or on the public listener. What a person registers is what is sent, to the letter."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.integrations.provider import Provider, Redirect
from aura_cli.settings import leads_here

PORT = 8790  # where nothing else is prescribed: most providers compare the registered address to the letter, its port included
PATH = "/callback"
LINKS = "/connect"
_WEB_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Loopback:
    """An address of this machine. `port` 0: any free one, which the provider takes without its being registered."""

    host: str
    port: int
    path: str

    @property
    def uri(self) -> str:
        """As it is registered and sent; without the port where any is good."""
        return f"http://{self.netloc}{self.path}"

    @property
    def netloc(self) -> str:
        """What a browser says in `Host`."""
        return f"{self.host}:{self.port}" if self.port not in (0, _WEB_PORTS["http"]) else self.host


def loopback(redirect: Redirect, port: int | None = None) -> Loopback:
    """Where on this machine a provider's consent comes back to; `port` where a person chose one.

    Any port is good for a provider that follows RFC 8252, 7.3; else it is the provider's, or ours. Raises UsageError for a
    port that the provider does not take.
    """
    if port and redirect.port and port != redirect.port:
        raise UsageError(f"This provider prescribes port {redirect.port}", "Leave --port away")
    usual = redirect.port or (0 if redirect.rule == "any_port" else PORT)
    return Loopback(redirect.host, usual if port is None else port, redirect.path or PATH)


def public(base: str, provider: Provider) -> str:
    """The one https address of a provider's to register for `--link`: on the listener, which is reached at `base`.

    Raises ConfigurationError where that is this machine's own http, for a provider that takes https alone.
    """
    if provider.oauth and provider.oauth.redirect and provider.oauth.redirect.rule == "https_only" and not base.startswith("https:"):
        other = "; or give its --credentials -" if provider.credentials else ""
        raise ConfigurationError(
            f"{provider.name} takes https addresses alone, and {base} is none", f"Set AURA_PUBLIC_URL, or give --public-url{other}"
        )
    return f"{base}{LINKS}/callback/{provider.id}"


def public_base(address: str | None) -> str:
    """The listener's public address, without a slash at its end. Raises ConfigurationError where no browser can be sent there."""
    if not address:
        raise ConfigurationError(
            "Nothing says where the listener is reached from outside", "Set AURA_PUBLIC_URL (or NEXT_PUBLIC_APP_URL), or give --public-url"
        )
    parts = urlsplit(address)
    if not (parts.hostname and (parts.scheme == "https" or leads_here(address))) or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{address[:200]!r} is no https address: providers and browsers need one", "Example: https://hooks.example.com"
        )
    return address.rstrip("/")
