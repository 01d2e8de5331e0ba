"""`.env` files as the web app reads them: dotenv's syntax, then expansion of `$NAME`.

Next.js reads them with the npm packages dotenv 16.3 and dotenv-expand 10 (both inside `@next/env`), oddities included. A
value therefore means the same to both programs, to the byte; the contract test holds this module against theirs.
"""

import re
from collections.abc import Mapping

_SPACE = r"[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"  # JavaScript's \s, byte order mark included
_ENTRY = re.compile(
    rf"""^{_SPACE}* (?:export{_SPACE}+)? (?P<name>[A-Za-z0-9_.-]+) (?:{_SPACE}*={_SPACE}*? | :{_SPACE}+?)
    (?P<value> {_SPACE}*'(?:\\'|[^'])*' | {_SPACE}*"(?:\\"|[^"])*" | {_SPACE}*`(?:\\`|[^`])*` | [^#\n]+ )?
    {_SPACE}* (?:\#.*)? $""",
    re.MULTILINE | re.VERBOSE,
)
_BLANKS = re.compile(rf"\A{_SPACE}+|{_SPACE}+\Z")
_QUOTED = re.compile(r"""^(['"`])([\s\S]*)\1$""", re.MULTILINE)
_DOLLAR = re.compile(r"(?<!\\)\$")
_REFERENCE = re.compile(r"\$\{?([A-Za-z0-9_]+)(?::-([^}\\]*))?\}?")
_MOST_REFERENCES = 1_000


def parse(text: str) -> dict[str, str]:
    """Names and values of one file's `text`, in its order, unexpanded; lines that are no entry are passed over."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return {entry["name"]: _value(entry["value"] or "") for entry in _ENTRY.finditer(plain)}


def expand(values: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """`values` with `$NAME`, `${NAME}` and `${NAME:-default}` replaced, from `outer` (environment, stronger files) first.

    `\\$` stands for a dollar sign; a name that nobody sets becomes empty; a default counts before a value of the same file.
    Raises ValueError for a value that refers to itself (Next.js then drops the whole file).
    """
    done = dict(values)
    for name in values:
        text = outer.get(name, values[name])
        for _ in range(_MOST_REFERENCES):
            last = max((found.start() for found in _DOLLAR.finditer(text)), default=None)
            reference = None if last is None else _REFERENCE.match(text, last)
            if not reference:
                break
            value = outer.get(reference[1]) or reference[2] or done.get(reference[1]) or ""
            text = text.replace(reference[0], value, 1)
        else:
            raise ValueError(f"{name} refers to itself")
        done[name] = text.replace("\\$", "$")
    return done


def _value(text: str) -> str:
    text = _BLANKS.sub("", text)
    unquoted = _QUOTED.sub(r"\2", text)
    return unquoted.replace("\\n", "\n").replace("\\r", "\r") if text.startswith('"') else unquoted
