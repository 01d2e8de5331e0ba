"""Placeholders and paths: the two small notations of provider files."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

PLACEHOLDER = re.compile(r"\{([A-Za-z_\[][\w.\[\]-]*)\}")  # in JSON text a brace is followed by a quote or a space, never by a letter
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def names(template: object) -> Iterator[str]:
    """Every placeholder in a text, or in the texts of a table or list."""
    match template:
        case str():
            yield from PLACEHOLDER.findall(template)
        case Mapping():
            for part in template.values():
                yield from names(part)
        case list() | tuple():
            for part in template:
                yield from names(part)


def filled(template: Any, values: Mapping[str, str], quote: Callable[[str], str] = str) -> Any:
    """`template` with every placeholder replaced by its value, `quote`d. Raises KeyError for one without a value."""
    match template:
        case str():
            return PLACEHOLDER.sub(lambda found: quote(values[found[1]]), template)
        case Mapping():
            return {name: filled(part, values, quote) for name, part in template.items()}
        case list() | tuple():
            return [filled(part, values, quote) for part in template]
    return template


def at(document: object, path: str) -> Any:
    """What stands at `path` in a decoded answer; None where nothing does. The empty path is the whole."""
    for index, name in _STEP.findall(path):
        if index and isinstance(document, Sequence) and not isinstance(document, str) and int(index) < len(document):
            document = document[int(index)]
        elif name and isinstance(document, Mapping):
            document = document.get(name)
        else:
            return None
    return document


def preferring(document: Any, path: str, by: str, word: str) -> Any:
    """`document` with those elements of the list at `path` (dotted names) in front whose `by` holds `word`: in a text, or in one of a
    list's. Nothing is dropped, and the order stays otherwise."""
    name, _, rest = path.partition(".")
    if name:
        inner = isinstance(document, Mapping) and name in document
        return {**document, name: preferring(document[name], rest, by, word)} if inner else document
    if not isinstance(document, list):
        return document
    return sorted(document, key=lambda element: not any(word in str(text) for text in _texts(at(element, by))))


def _texts(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def spelt(templates: Sequence[str], document: object, values: Mapping[str, str]) -> str | None:
    """The first template all of whose paths lead to something, filled; None where none does. A placeholder may also be of `values`."""
    for template in templates:
        found = {name: at(document, name) if at(document, name) not in (None, "") else values.get(name) for name in names(template)}
        if all(value not in (None, "") for value in found.values()):
            return str(filled(template, {name: str(value) for name, value in found.items()}))
    return None


def holds(conditions: Mapping[str, Any], document: object, values: Mapping[str, str]) -> bool:
    """Whether an answer holds what `conditions` ask: path → value, or "*" for anything but nothing."""
    return all(
        at(document, path) not in (None, "", [], {}) if wanted == "*" else at(document, path) == filled(wanted, values)
        for path, wanted in conditions.items()
    )
