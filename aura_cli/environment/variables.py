"""The web app's variables as data: which it needs, what happens without one, and how each value has to look."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from aura_cli.errors import ConfigurationError
from aura_cli.mail.addresses import is_address, sender
from aura_cli.settings import KNOWN, Secret, is_loopback, leads_here
from aura_cli.vault.keyring import problem

Look = Callable[[str], str | None]  # a value → what is wrong with it, in words that follow its name; never the value itself


class Need(StrEnum):
    """What the web app makes of a variable that is not set: it does not work, it does less, it does not mind."""

    REQUIRED = "required"
    DEGRADES = "degrades"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class Variable:
    """One of the web app's. `without` says what happens where it is not set."""

    need: Need
    without: str = ""
    look: Look = lambda text: None


def shaped(pattern: str, shape: str, mistakes: Mapping[str, str] | None = None) -> Look:
    """Values that match `pattern` whole; `shape` says how they look, `mistakes` what it is that begins with something else."""
    expected = re.compile(pattern)

    def look(text: str) -> str | None:
        if expected.fullmatch(text):
            return None
        found = next((what for begin, what in (mistakes or {}).items() if text.startswith(begin)), None)
        return f"is {found}: it has to {shape}" if found else f"does not {shape}"

    return look


def address(text: str) -> str | None:
    """What is wrong with the base address of a service: only this machine is spoken to without TLS."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        return "is no address that begins with https://"
    if parts.username or parts.password:
        return "has credentials in it"
    return "begins with http://: what is sent there can be read on the way" if parts.scheme == "http" and not is_loopback(host) else None


def _public_address(text: str) -> str | None:
    wrong = address(text)
    return wrong or ("ends with a slash, which doubles in every link" if text.endswith("/") else None)


def _sender(text: str) -> str | None:
    try:
        sender(text)
    except ConfigurationError:
        return "is no sender: neither an address nor a name and <an address>"
    return None


def _upstash(text: str) -> str | None:
    if text.startswith(("redis://", "rediss://")):
        return "is the address of Redis' own protocol: the REST one begins with https://"
    return address(text)


def _recipients(text: str) -> str | None:
    """Who is alerted: mail addresses and a chat's URLs, with commas between; such a URL is a credential, so none goes in the clear."""
    told = [part.strip() for part in text.split(",") if part.strip()]
    return next((wrong for to in told if (wrong := _recipient(to))), None if told else "names nobody")


def _recipient(to: str) -> str | None:
    if "://" not in to:
        return None if is_address(to) else "has a part that is neither a mail address nor begins with https://"
    try:
        parts = urlsplit(to)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "has a part that is no address"
    there = leads_here(to) or (parts.scheme == "https" and host)
    return None if there else "has an address that does not begin with https:// and name a host"


_NO_MAIL = "nothing is sent, with a warning"
_NO_LIMITS = "nobody is limited"
_NO_ANSWERS = "the chat gives canned answers"
VARIABLES: Mapping[str, Variable] = {
    "DATABASE_URL": Variable(
        Need.REQUIRED, "nothing works", shaped(r"(?:postgres(?:ql)?(?:\+psycopg)?|sqlite)://\S+", "begin with postgresql://")
    ),
    "OPENAI_API_KEY": Variable(Need.DEGRADES, _NO_ANSWERS, shaped(r"sk-[\w-]{16,}", "begin with sk-")),
    "PRIVY_APP_SECRET": Variable(Need.REQUIRED, "nobody signs in", shaped(r"\S{20,}", "be 20 characters or more")),
    "NEXT_PUBLIC_PRIVY_APP_ID": Variable(Need.REQUIRED, "nobody signs in", shaped(r"[a-z0-9]{25}", "be 25 small letters and digits")),
    "STRIPE_SECRET_KEY": Variable(
        Need.REQUIRED, "nobody can pay",
        shaped(r"(?:sk|rk)_(?:test|live)_\w{10,}", "begin with sk_ or rk_", {"pk_": "the publishable key", "whsec_": "a signing secret"}),
    ),
    "STRIPE_WEBHOOK_SECRET": Variable(
        Need.REQUIRED, "every payment goes unnoticed",
        shaped(r"whsec_[\w+/=-]{8,}", "begin with whsec_", {"sk_": "an API key", "rk_": "an API key", "we_": "the endpoint's id"}),
    ),
    "RESEND_API_KEY": Variable(Need.DEGRADES, _NO_MAIL, shaped(r"re_\w{8,}", "begin with re_")),
    "UPSTASH_REDIS_REST_URL": Variable(Need.DEGRADES, _NO_LIMITS, _upstash),
    "UPSTASH_REDIS_REST_TOKEN": Variable(Need.DEGRADES, _NO_LIMITS, shaped(r"\S{16,}", "be 16 characters or more")),
    "INTEGRATION_ENCRYPTION_KEY": Variable(
        Need.REQUIRED, "tokens are sealed under a key that everybody knows", lambda text: problem(Secret(text))
    ),
    "NEXT_PUBLIC_APP_URL": Variable(Need.REQUIRED, "links and redirects lead nowhere", _public_address),
    "FROM_EMAIL": Variable(Need.OPTIONAL, "mail comes from noreply@moreaura.ai", _sender),
    "STRIPE_PRICE_ID": Variable(
        Need.OPTIONAL, "", shaped(r"price_\w{4,}", "begin with price_", {"prod_": "a product", "plan_": "a plan of the old kind"})
    ),
    "NEXT_PUBLIC_GA_MEASUREMENT_ID": Variable(
        Need.OPTIONAL, "",
        shaped(r"G-[A-Z0-9]{4,}", "begin with G-", {"UA-": "an id of the Analytics that ended in 2023", "GTM-": "Tag Manager's"}),
    ),
    "NEXT_PUBLIC_SENTRY_DSN": Variable(
        Need.OPTIONAL, "", shaped(r"https?://\w+@[\w.:\[\]-]+/(?:[\w./-]+/)?\d+", "look like https://KEY@HOST/PROJECT")
    ),
    "OPENROUTER_API_KEY": Variable(Need.OPTIONAL, "", shaped(r"sk-or-[\w-]{8,}|sk-[\w-]{16,}", "begin with sk-or-")),
    "CI": Variable(Need.OPTIONAL),
}  # fmt: skip
OURS: Mapping[str, Look] = {  # of ours, and of services only we ask
    **{name: address for name, known in KNOWN.items() if known.credential and name.endswith(("_BASE", "_API_URL", "_BASE_URL"))},
    "AURA_ENV": shaped(r"development|staging|production|sandbox", "say development, staging or production"),
    "RESEND_WEBHOOK_SECRET": shaped(r"whsec_[\w+/=-]{8,}", "begin with whsec_", {"re_": "an API key"}),
    "AURA_ALERT_TO": _recipients,
    "AURA_FORWARD_URL": address,
    "AURA_PUBLIC_URL": address,
}
_LINES = ("PRIVY_VERIFICATION_KEY", "AURA_STRIPE_WEBHOOK_SECRETS", "AURA_RETIRED_ENCRYPTION_KEYS")  # PEM and JSON, of several lines
_PLACEHOLDER = re.compile(
    r"(?:[srp]k_(?:live|test)_|sk-(?:or-|proj-)?|whsec_|re_)?"
    r"(?:your[-_ ].*|(?:your|my|the|insert|replace|change|enter|put)[-_ ]?\w*[-_ ](?:key|secret|token|id|url|here|me|this|value)\b.*"
    r"|change-?me|todo|tbd|none|null|undefined|x{3,}|\*{3,}|\.{3,}|…|<.*>|\[.*\]|\{\{.*\}\})",
    re.IGNORECASE,
)


def is_placeholder(text: str) -> bool:
    """Whether a text stands for a value that somebody is to put there, with or without the beginning that such a value has."""
    return bool(_PLACEHOLDER.fullmatch(text))


def wrong_with(name: str, text: str) -> str | None:
    """What is wrong with a value as such, in words that follow its name; None where nothing is."""
    if name in _LINES:
        text = " ".join(text.split())
    if text != text.strip():
        return "has white space around it"
    if len(text) > 1 and text[0] in "\"'`" and text[-1] == text[0]:
        return "has quotes around it, which are taken as part of it"
    if is_placeholder(text):
        return "is a placeholder"
    if not text.isprintable():
        return "holds a line break or another character that nobody sees"
    look = VARIABLES[name].look if name in VARIABLES else OURS.get(name)
    return look(text) if look else None
