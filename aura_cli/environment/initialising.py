"""Writing a file of settings: which file it is, what it holds already, and what is put into it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aura_cli import dotenv
from aura_cli.environment.tracked import is_safe_from_git
from aura_cli.environment.variables import VARIABLES, Need, wrong_with
from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.settings import KNOWN, Settings
from aura_cli.users.export import private_file

LARGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class Question:
    """A variable to ask for. `current` is what the file holds; a secret is typed unseen."""

    name: str
    purpose: str
    without: str
    secret: bool
    current: str | None


@dataclass(frozen=True)
class Initialised:
    """What became of the file: the names that are new in it, those with another value, and what the web app needs and it lacks."""

    file: str
    added: list[str]
    changed: list[str]
    missing: list[str]
    ignored_by_git: bool
    dry_run: bool


def place(settings: Settings, named: str | None) -> Path:
    """The file: as `named`, else `.env.local` (with --env NAME `.env.NAME.local`) where settings are looked for.

    Raises ConfigurationError in the sandbox, where no file counts.
    """
    if settings.is_sandbox:
        raise ConfigurationError("This is the sandbox, where no file of settings is read", "Leave it first")
    if named:
        return Path(named)
    environment = settings.values.get("AURA_ENV")
    name = f".env.{environment.text}.local" if environment and environment.source == "--env" else ".env.local"
    return next((Path(path) for path in settings.looked_in if Path(path).name == name), Path.cwd() / name)


def text_of(path: Path) -> str:
    """What the file holds; nothing where there is none. Raises ConfigurationError where it cannot be read."""
    try:
        if path.exists() and path.stat().st_size > LARGEST:
            raise ConfigurationError(f"{path} is too large to be a file of settings")
        return path.read_bytes().decode() if path.exists() else ""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def questions(text: str, *, everything: bool = False) -> list[Question]:
    """What to ask for: the environment's name, what the web app needs or does less without, and with `everything` the rest."""
    held = values_of(text)
    asked = ["AURA_ENV", *(name for name, one in VARIABLES.items() if everything or one.need is not Need.OPTIONAL)]
    more = [name for name in KNOWN if everything and name not in VARIABLES and name != "AURA_ENV"]
    return [
        Question(name, KNOWN[name].purpose, VARIABLES[name].without if name in VARIABLES else "", KNOWN[name].secret, held.get(name))
        for name in [*asked, *more]
        if name in KNOWN
    ]


def values_of(text: str) -> dict[str, str]:
    """The settings in a file's text. Raises UsageError where it cannot be read."""
    try:
        return dotenv.expand(dotenv.parse(text), {})
    except ValueError as error:
        raise UsageError(f"The settings cannot be read: {error}") from error


@dataclass(frozen=True)
class Given:
    """The settings in a text; the names in it that nobody here knows; and those of values whose `$NAME` was taken as it stands."""

    values: dict[str, str]
    unknown: list[str]
    literal: list[str]


def given(text: str, clients: Collection[str]) -> Given:
    """The settings in a text that somebody hands over.

    Raises UsageError for values that cannot be right; none is told.
    """
    try:
        read, literal = dotenv.handed_over(dotenv.parse(text))
    except ValueError as error:
        raise UsageError(f"The settings cannot be read: {error}") from error
    found = {name: value for name, value in read.items() if value}
    known = {name: value for name, value in found.items() if name in KNOWN or name in clients}
    if wrong := {name: why for name, value in known.items() if (why := wrong_with(name, value))}:
        told = "; ".join(f"{name} {why}" for name, why in wrong.items())
        raise UsageError(f"{len(wrong)} of the settings cannot be right: {told}", "Nothing was written")
    return Given(known, sorted(found.keys() - known.keys()), [name for name in literal if name in known])


def write(path: Path, values: Mapping[str, str], *, dry_run: bool = False) -> Initialised:
    """Merge `values` into the file, which keeps everything else that stands in it and becomes its owner's alone (0600).

    It appears whole or not at all; where it is a link, what it leads to is written. Raises UsageError for a value that no file can
    hold, and where it cannot be written.
    """
    before = text_of(path)
    held = values_of(before)
    try:
        after = dotenv.merged(before, values)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not dry_run and (after or path.exists()):
        with private_file(path.resolve()) as file:
            file.write(after)
    changed = [name for name, value in values.items() if name in held and held[name] != value]
    lacking = _lacking(values_of(after))
    return Initialised(str(path), [name for name in values if name not in held], changed, lacking, is_safe_from_git(path), dry_run)


def _lacking(names: Iterable[str]) -> list[str]:
    return [name for name, one in VARIABLES.items() if one.need is Need.REQUIRED and name not in {*names}]
