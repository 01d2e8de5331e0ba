"""The catalogue: provider files, checked, merged with those of AURA_PROVIDERS_DIR, and found by id or by the web app's row.

The files that come with `aura` are read from one index, `catalogue.json`, which `make docs` builds from them: 64 TOML files
would cost every start 60 ms.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from aura_cli.errors import ConfigurationError, NotFoundError
from aura_cli.integrations import overview
from aura_cli.integrations.checking import faults
from aura_cli.integrations.provider import Provider

FOLDER = Path(__file__).parent / "catalogue"
INDEX = overview.INDEX


@dataclass(frozen=True)
class Catalogue:
    """Every provider by id, in the order of their categories and names."""

    providers: Mapping[str, Provider]

    def get(self, provider: str) -> Provider:
        """Raises NotFoundError with what it may have been meant to be."""
        if found := self.providers.get(provider.lower()):
            return found
        near = get_close_matches(provider.lower(), self.providers, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "aura integrations providers lists them"
        raise NotFoundError(f"There is no provider {provider[:80]!r}", hint)

    def of_row(self, provider: str) -> Provider | None:
        """Whose rows carry the web app's value `provider`; None for those that no file describes. Of several, the first."""
        return self._by_row.get(provider)

    @cached_property
    def _by_row(self) -> dict[str, Provider]:
        return {one.provider: one for one in reversed(list(self.providers.values()))}


def load(folder: Path | None = None) -> Catalogue:
    """The catalogue; `folder` (AURA_PROVIDERS_DIR) adds providers, or overrides single keys of them. Raises ConfigurationError,
    naming file, line and key, for a file that says what no provider file may say."""
    tables: dict[str, Any] = msgspec.json.decode(INDEX.read_bytes())
    if folder is None:
        return _ordered({name: msgspec.convert(table, Provider) for name, table in tables.items()})
    if not folder.is_dir():
        raise ConfigurationError(f"AURA_PROVIDERS_DIR: {folder} is no folder", "Unset it, or make the folder")
    overrides = {path: _parsed(path) for path in sorted(folder.glob("*.toml"))}
    for path, table in overrides.items():
        tables[path.stem] = merged(tables.get(path.stem, {"id": path.stem}), table)
    files = {path.stem: path for path in overrides}
    return _ordered(
        {
            name: checked(table, files[name], loopback=True) if name in files else msgspec.convert(table, Provider)
            for name, table in tables.items()
        }
    )


def index() -> bytes:
    """What `catalogue.json` must hold. Raises ConfigurationError for the first file that is wrong."""
    tables = {path.stem: _parsed(path) for path in sorted(FOLDER.glob("*.toml"))}
    for name, table in tables.items():
        checked(table, FOLDER / f"{name}.toml")
    return msgspec.json.format(msgspec.json.encode(tables), indent=1) + b"\n"


def checked(table: Mapping[str, Any], path: Path, *, loopback: bool = False) -> Provider:
    """One provider out of its file's table. `loopback`: its addresses may be http on this machine. Raises ConfigurationError."""
    try:
        provider = msgspec.convert(table, Provider)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise _wrong(path, what, _key(what, where)) from None
    if provider.id != path.stem:
        raise _wrong(path, f"its id is {provider.id!r}, its file's name says {path.stem!r}", "id")
    for key, what in faults(provider, loopback=loopback):
        raise _wrong(path, what, key)
    return provider


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` in their place, table by table."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:  # says line and column
        raise ConfigurationError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _ordered(providers: Mapping[str, Provider]) -> Catalogue:
    return Catalogue(dict(sorted(providers.items(), key=lambda item: (item[1].category, item[1].name.lower()))))


def _key(what: str, where: str) -> str:
    """The dotted key that msgspec's message is about: of an unknown one it names the table and, in its text, the key."""
    table = where.strip("`.").replace("[...]", "")
    unknown = re.search(r"unknown field `([^`]+)`", what)
    return ".".join(filter(None, (table, unknown[1] if unknown else "")))


def _wrong(path: Path, what: str, key: str) -> ConfigurationError:
    place = f"{path}:{line}" if (line := _line(path, key)) else str(path)
    return ConfigurationError(f"{place}: {f'{key}: ' if key else ''}{what}", "aura integrations providers PROVIDER --toml prints a start")


def _line(path: Path, key: str) -> int | None:
    """Where `key` stands in the file, counted from 1: the deepest of its parts that is written there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = max(_matches(lines, key.split(".")), default=None, key=lambda match: match[1])
    return found[0] if found else None


def _matches(lines: list[str], parts: list[str]) -> Iterator[tuple[int, int]]:
    table: list[str] = []
    for number, text in enumerate(lines, 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", text):
            table = header[1].split(".")
            written = table
        elif assigned := re.match(r"\s*([\w.\"-]+)\s*=", text):
            written = [*table, *assigned[1].replace('"', "").split(".")]
        else:
            continue
        if written == parts[: len(written)]:
            yield number, len(written)
