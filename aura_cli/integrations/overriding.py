"""A start for a file of AURA_PROVIDERS_DIR: what a provider's file says, commented out, to change single keys of."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# What stands here overrides {id} of the catalogue, key by key: save it as {id}.toml in the folder that AURA_PROVIDERS_DIR names,
# and take the # away from the keys that you change, and from the [table] above them. The others follow the catalogue.
"""


def start_of_file(table: Mapping[str, Any]) -> str:
    """TOML that changes nothing until somebody takes a # away; `table` is what the catalogue's file says."""
    return HEAD.format(id=table["id"]) + "".join(f"{line}\n" for line in _table("", table))


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Its plain keys, each behind a #, then the tables in it."""
    inner = {key: value for key, value in table.items() if _stands_alone(value)}
    plain = {key: value for key, value in table.items() if key not in inner}
    if plain and name:
        yield f"\n# [{name}]"
    for key, value in plain.items():
        yield f"# {_key(key)} = {_written(value)}"
    for key, value in inner.items():
        yield from _table(f"{name}.{_key(key)}" if name else _key(key), value)


def _stands_alone(value: object) -> bool:
    return isinstance(value, Mapping) and (len(value) > 1 or any(isinstance(one, Mapping) for one in value.values()))


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)


def _written(value: object) -> str:
    """A value as TOML has it, in one line; its texts are JSON's, which are TOML's too."""
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(str(key))} = {_written(one)}" for key, one in value.items()) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(_written, value)) + "]"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
    return json.dumps(str(value), ensure_ascii=False)
