"""YAML out of mappings, lists, texts and numbers: the little of it that says all that JSON can, in fewer signs."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 ._/${}=-]*[A-Za-z0-9}/]|[A-Za-z]")  # what means nothing else than itself
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def document(value: Mapping[str, Any]) -> str:
    """One document, without the line that sets it apart from others."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _under(f"{_scalar(name)}:", part, "  ")
    else:
        for part in value:
            first, *others = _lines(part) if isinstance(part, (Mapping, list)) and part else [_flat(part)]
            yield f"- {first}"
            yield from (f"  {line}" for line in others)


def _under(name: str, part: Any, indent: str) -> Iterator[str]:
    if isinstance(part, (Mapping, list)) and part:
        yield name
        yield from (f"{indent}{line}" for line in _lines(part))
    else:
        yield f"{name} {_flat(part)}"


def _flat(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (Mapping, list)) else _scalar(value)


def _scalar(value: Any) -> str:
    """Quoted wherever YAML 1.1 or 1.2 might read something else than the text."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)
