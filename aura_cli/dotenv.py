"""`.env` files as the web app reads them: dotenv's syntax, then expansion of `$NAME`.

The rules are those of Next.js ("Environment Variables" in its documentation), which hands files to the npm packages
dotenv and dotenv-expand. A value therefore means the same to both programs, to the byte.
"""

import re
from collections.abc import Mapping

_ENTRY = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[\w.-]+)[ \t]*=[ \t]*
        (?: '(?P<single>[^']*)' | "(?P<double>(?:\\.|[^"\\])*)" | `(?P<back>[^`]*)` | (?P<plain>[^\#\r\n]*) )
        [ \t]*(?:\#[^\r\n]*)?\r?$""",
    re.MULTILINE | re.VERBOSE,
)
_REFERENCE = re.compile(r"(?P<escaped>\\\$)|\$(?:\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\}|(?P<bare>[A-Za-z_]\w*))")


def parse(text: str) -> dict[str, str]:
    """Names and values of one file's `text`, in its order, unexpanded; lines that are no entry are passed over."""
    return {entry["name"]: _value(entry) for entry in _ENTRY.finditer(text.removeprefix("\ufeff"))}


def expand(values: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """`values` with `$NAME`, `${NAME}` and `${NAME:-default}` replaced; `outer` (the process environment) wins.

    `\\$` stands for a dollar sign. A name that nobody sets becomes empty, as it does in the web app.
    """
    done: dict[str, str] = {}

    def resolve(name: str, seen: frozenset[str]) -> str | None:
        if name in outer:
            return outer[name]
        if name not in values or name in seen:
            return None
        if name not in done:
            done[name] = replace(values[name], seen | {name})
        return done[name]

    def replace(text: str, seen: frozenset[str]) -> str:
        def one(found: re.Match[str]) -> str:
            if found["escaped"]:
                return "$"
            return resolve(found["braced"] or found["bare"], seen) or found["default"] or ""

        return _REFERENCE.sub(one, text)

    return {name: replace(text, frozenset({name})) for name, text in values.items()}


def _value(entry: re.Match[str]) -> str:
    if entry["double"] is not None:
        return entry["double"].replace("\\n", "\n").replace("\\r", "\r").replace('\\"', '"')
    quoted = entry["single"] if entry["single"] is not None else entry["back"]
    return quoted if quoted is not None else entry["plain"].strip()
