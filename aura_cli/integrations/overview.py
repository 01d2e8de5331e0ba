"""Every provider in a line: read from the index as it is, because building 64 typed entries would cost more than the list."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class Listed:
    """One provider. `row`: the web app's value. `ready`: whether the settings of its app are set (None: it needs none), else `missing`."""

    id: str
    name: str
    category: str
    kind: str
    redirect: str | None
    refresh: str
    row: str
    ready: bool | None
    missing: tuple[str, ...]


def tables() -> dict[str, Any]:
    """The providers that come with `aura`, each as its file's table, by id."""
    known: dict[str, Any] = json.loads(INDEX.read_bytes())
    return known


def listed(entries: Iterable[Mapping[str, Any]], configured: Collection[str]) -> Iterator[Listed]:
    """A line for each provider's table, by category and name; `configured` are the names of the settings that are set."""
    for table in sorted(entries, key=lambda table: (table["category"], table["name"].lower())):
        oauth, client = table.get("oauth") or {}, table.get("client") or {}
        needs = [name for name in (client.get("id"), client.get("secret")) if name]
        missing = tuple(name for name in needs if name not in configured)
        redirect = (oauth.get("redirect") or {}).get("rule")
        refresh = (oauth.get("refresh") or {}).get("mode", "never")
        ready = not missing if needs else None
        yield Listed(table["id"], table["name"], table["category"], table["kind"], redirect, refresh, table["provider"], ready, missing)
