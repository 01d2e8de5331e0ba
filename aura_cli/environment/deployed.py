"""What a Vercel project is set to, held against what is needed and against what is set here. No finding ever holds a value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aura_cli.environment.check import need_of
from aura_cli.environment.variables import VARIABLES, Need, wrong_with
from aura_cli.environment.vercel import OURS, Target, Variable
from aura_cli.settings import Settings


class State(StrEnum):
    """How a variable is at Vercel. `unreadable`: set, and Vercel does not give it back; `only_here`: set here, and not needed there."""

    OK = "ok"
    ABSENT = "absent"
    MISSING = "missing"
    DEGRADED = "degraded"
    MALFORMED = "malformed"
    INCONSISTENT = "inconsistent"
    DIFFERING = "differing"
    UNREADABLE = "unreadable"
    ONLY_HERE = "only_here"


BAD = frozenset({State.MISSING, State.MALFORMED, State.INCONSISTENT, State.DIFFERING})
QUIET = frozenset({State.OK, State.ABSENT})


@dataclass(frozen=True)
class Deployed:
    """One variable for one target. `compared`: it was held against the value that is set here."""

    target: Target
    name: str
    state: State
    need: str
    detail: str
    compared: bool


def compare(found: Sequence[Variable], settings: Settings, targets: Iterable[Target], clients: Mapping[str, str]) -> list[Deployed]:
    """Every variable of the web app's for each of `targets`, and the providers' `clients` (id → secret) that are set on either side.

    Values are compared where `settings` are of the environment that the target is (with no AURA_ENV: development).
    """
    return [one for target in targets for one in _of_target(target, found, settings, clients)]


def is_of(settings: Settings, target: Target) -> bool:
    """Whether these settings are of the environment that Vercel calls `target`."""
    return (settings.environment or "development") in OURS[target]


def _of_target(target: Target, found: Sequence[Variable], settings: Settings, clients: Mapping[str, str]) -> Iterator[Deployed]:
    there = {one.name: one for one in found if target in one.targets}
    here = settings.values if is_of(settings, target) else {}
    theirs = sorted(name for pair in clients.items() for name in pair if name in there or name in here)
    for name in dict.fromkeys([*VARIABLES, *theirs]):
        remote, local = there.get(name), here.get(name)
        state, detail = _judged(None if settings.is_sandbox else target, name, remote, local.text if local else None)
        yield Deployed(target, name, state, need_of(name), detail, bool(local and remote and remote.value))


def _judged(target: Target | None, name: str, remote: Variable | None, local: str | None) -> tuple[State, str]:
    if remote is None:
        without = VARIABLES[name].without if name in VARIABLES else ""
        why = f"is not set there: {without}" if without else "is not set there"
        if need_of(name) is Need.OPTIONAL:
            return (State.ONLY_HERE, "is set here, and not there") if local else (State.ABSENT, why)
        return State.MISSING if need_of(name) is Need.REQUIRED else State.DEGRADED, why
    if remote.value is None:
        return State.UNREADABLE, "is set, and Vercel does not give it back: whether it is right cannot be seen"
    text = remote.value.reveal()
    if wrong := wrong_with(name, text) if text else "is empty":
        return State.MALFORMED, wrong
    if contradiction := _contradiction(target, name, text):
        return State.INCONSISTENT, contradiction
    return (State.DIFFERING, "is not what is set here") if local is not None and local != text else (State.OK, "")


def _contradiction(target: Target | None, name: str, text: str) -> str | None:
    """What a value is that does not belong to `target` (None: the sandbox, which is no environment of anybody's)."""
    if target is None:
        return None
    live = text.startswith(("sk_live_", "rk_live_"))
    if name == "STRIPE_SECRET_KEY" and live is not (target is Target.PRODUCTION):
        return f"is a {'live' if live else 'test'} key, and this is {target}"
    if target is Target.PRODUCTION and name == "NEXT_PUBLIC_APP_URL" and text.startswith("http:"):
        return "begins with http://, and this is production"
    return None
