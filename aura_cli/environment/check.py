"""Whether everything is set that is needed, well-formed, and all of one environment; no finding ever holds a value."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aura_cli import dotenv
from aura_cli.db.location import database_url, is_here
from aura_cli.environment.variables import OURS, VARIABLES, Need, address, wrong_with
from aura_cli.errors import ConfigurationError
from aura_cli.reporting import rate
from aura_cli.settings import KNOWN, Environment, Setting, Settings, leads_here
from aura_cli.subscriptions import billing_owner
from aura_cli.vault.keyring import KeyRing
from aura_cli.webhooks.signature import secrets_of

_NONE = Setting("", "")
_NEAR = 0.85  # how much alike two names are, of 1


class State(StrEnum):
    """How a variable is. `degraded`: not set, and the web app does less; `absent`: not set, and nobody minds."""

    OK = "ok"
    ABSENT = "absent"
    MISSING = "missing"
    DEGRADED = "degraded"
    MALFORMED = "malformed"
    INCONSISTENT = "inconsistent"
    IGNORED = "ignored"


QUIET = frozenset({State.OK, State.ABSENT})
BAD = frozenset({State.MISSING, State.MALFORMED, State.INCONSISTENT})


@dataclass(frozen=True)
class Finding:
    """One variable: its state, why, where it comes from (a file, the environment; None: not set)."""

    name: str
    state: State
    need: str
    detail: str
    source: str | None = None


def check(settings: Settings, clients: Mapping[str, str]) -> list[Finding]:
    """Every variable of the web app's, every one of ours that is set, and the `clients` of providers (id → secret) that are.

    A variable has one finding: what is wrong with its value, else what contradicts the rest.
    """
    wrong = dict(_malformed(settings))
    contradicting = dict([*_contradictions(settings), *_halves(settings, clients)])
    ours = [name for name in KNOWN if name not in VARIABLES and name in (settings.values.keys() | contradicting.keys())]
    theirs = sorted(name for pair in clients.items() if settings.values.keys() & {*pair} for name in pair)
    names = dict.fromkeys([*VARIABLES, *ours, *theirs, *settings.ignored])
    misspelt = _misspelt(settings, [name for name in VARIABLES if name not in settings.values])
    return [_finding(settings, name, wrong.get(name), contradicting.get(name), misspelt.get(name, "")) for name in names]


def need_of(name: str) -> Need:
    return VARIABLES[name].need if name in VARIABLES else Need.OPTIONAL


def _finding(settings: Settings, name: str, wrong: str | None, contradiction: str | None, misspelt: str) -> Finding:
    need, setting = need_of(name), settings.values.get(name)
    source = setting.source if setting else None
    if wrong:
        return Finding(name, State.MALFORMED, need, wrong, source)
    if contradiction:
        return Finding(name, State.INCONSISTENT, need, contradiction, source)
    if setting:
        return Finding(name, State.OK, need, "", source)
    if name in settings.ignored:
        return Finding(name, State.IGNORED, need, "does not come from where its credential comes from")
    without = VARIABLES[name].without
    state = {Need.REQUIRED: State.MISSING, Need.DEGRADES: State.DEGRADED}.get(need, State.ABSENT)
    return Finding(name, state, need, f"is not set{misspelt}{f': {without}' if without else ''}")


def _misspelt(settings: Settings, missing: Sequence[str]) -> dict[str, str]:
    """What in the files may be meant by a variable that is not set: names there that nobody reads and that are nearly its own."""
    from difflib import get_close_matches

    found: dict[str, str] = {}
    for path in filter(Path.is_file, map(Path, settings.looked_in)):
        for name in dotenv.parse(path.read_text(encoding="utf-8")):  # settings have read it: it can be
            near = get_close_matches(name.upper(), missing, 1, _NEAR)
            if near and name not in settings.values and name not in KNOWN and name not in VARIABLES:
                found.setdefault(near[0], f", and {path.name} has {name}, which nobody reads")
    return found


def _malformed(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong with values, by what reads them; then by their looks, which say more."""
    readers: Mapping[str, Callable[[Settings], object]] = {
        "DATABASE_URL": database_url,
        "AURA_RETIRED_ENCRYPTION_KEYS": KeyRing.of,
        "AURA_STRIPE_WEBHOOK_SECRETS": secrets_of,
        billing_owner.SETTING: billing_owner.configured,
        "AURA_TRACES_SAMPLE_RATE": lambda settings: rate(settings.get("AURA_TRACES_SAMPLE_RATE")),
    }
    for name, read in readers.items():
        if name in settings.values:
            try:
                read(settings)
            except ConfigurationError as error:
                yield name, f"cannot be used: {error.message}"
    for name, setting in settings.values.items():
        if why := wrong_with(name, setting.text):
            yield name, why


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _of_environment(settings)
    names = settings.values
    for name, known in KNOWN.items():
        if name in names and known.credential and known.credential not in names and name not in ("AURA_PROVIDERS_DIR", "AURA_PUBLIC_URL"):
            yield name, f"leads somewhere, and {known.credential}, which is for there, is not set"


def _halves(settings: Settings, clients: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Clients of which only the id or only the secret is set."""
    for pair in clients.items():
        for name, other in (pair, pair[::-1]):
            if name not in settings.values and other in settings.values:
                yield name, f"is not set, though {other} is"


def _of_environment(settings: Settings) -> Iterator[tuple[str, str]]:
    """What does not belong to the environment that is named."""
    environment, mode = settings.environment, settings.stripe_mode
    if environment == Environment.SANDBOX:
        return
    production = environment == Environment.PRODUCTION
    if production and mode == "test":
        yield "STRIPE_SECRET_KEY", "is a test key, and this is production: nobody's money moves"
    if environment and not production and mode == "live":
        yield "STRIPE_SECRET_KEY", f"is a live key, and this is {environment}: real cards are charged"
    if production:
        yield from _local(settings)
        if settings.values.get("DATABASE_URL", _NONE).text.startswith("sqlite"):
            yield "DATABASE_URL", "is a file on this machine, and this is production"
        if (settings.get("NEXT_PUBLIC_APP_URL") or "").startswith("http:"):
            yield "NEXT_PUBLIC_APP_URL", "begins with http://, and this is production"
    if environment is None and _remote(settings):
        yield "AURA_ENV", "is not set, and the database is on another machine: this counts as production"


def _local(settings: Settings) -> Iterator[tuple[str, str]]:
    """What leads to this machine, though somebody else's service is meant, or everybody's links."""
    addresses = [name for name, look in OURS.items() if look is address and name != "AURA_FORWARD_URL"]
    for name in (*addresses, "UPSTASH_REDIS_REST_URL", "NEXT_PUBLIC_APP_URL"):
        text = settings.get(name)
        if text and not wrong_with(name, text) and leads_here(text):
            yield name, "leads to this machine, and this is production"


def _remote(settings: Settings) -> bool:
    try:
        url, _ = database_url(settings, make=False)
    except ConfigurationError:  # told of already
        return False
    return not is_here(url, settings.libpq)
