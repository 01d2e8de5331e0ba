"""What is configured, as it may be shown: secrets by what is no secret about them, and each value with where it comes from."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from aura_cli.console import Console
from aura_cli.settings import KNOWN, SURROUNDINGS, Settings, is_secret

MASK = "****"
_PREFIX = re.compile(r"(?:sk|rk)_(?:live|test)_|sk-(?:or-)?|whsec_|re_|pk_(?:live|test)_")


@dataclass(frozen=True)
class Shown:
    """One setting: `value` is masked where it is secret, None where it is not set; `source` a file, the environment, `--env`."""

    name: str
    value: str | None
    source: str | None
    purpose: str


def shown(settings: Settings, clients: Collection[str], *, everything: bool = False) -> Iterator[Shown]:
    """All settings that count, in the order of the reference; of the providers' `clients` those that are set; with `everything` all."""
    for name in (*KNOWN, *sorted(clients)):
        setting = settings.values.get(name)
        if setting or everything:
            purpose = KNOWN[name].purpose if name in KNOWN else "A provider's client."
            yield Shown(name, masked(name, setting.text) if setting else None, setting.source if setting else None, purpose)
    yield Shown("AURA_HOME", str(settings.home), None, SURROUNDINGS["AURA_HOME"])
    yield Shown("AURA_OPERATOR", settings.operator, None, SURROUNDINGS["AURA_OPERATOR"])


def masked(name: str, text: str) -> str:
    """A value as it may be shown: of a secret the kind (`sk_test_****`), of a database where it is, of anything else the whole."""
    if name == "AURA_ALERT_TO":  # whoever knows a chat's address may post there
        return ",".join(f"{part.partition('://')[0]}://{MASK}" if "://" in part else part for part in text.split(","))
    if not is_secret(name):
        return Console().redact(text)  # what stands in the wrong place keeps its shape
    if name == "DATABASE_URL":
        return _place(text)
    prefix = _PREFIX.match(text)
    return f"{prefix[0] if prefix else ''}{MASK}"


def _place(url: str) -> str:
    """A database's address without user, password and parameters; nothing of one whose password may reach beyond its host's place."""
    if url.startswith("sqlite:"):
        return url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    torn = "@" in parts.path + parts.query + parts.fragment  # `/`, `?` and `#` end what holds the password, wherever they stand
    return f"{parts.scheme}://{MASK}@{host}{port}{parts.path}" if parts.scheme and host and not torn else MASK
