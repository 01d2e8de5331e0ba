"""`.env` files as the web app reads them: dotenv's syntax, then expansion of `$NAME`.

Next.js reads them with the npm packages dotenv 16.3 and dotenv-expand 10 (both inside `@next/env`), oddities included. A
value therefore means the same to both programs, to the byte; the contract test holds this module against theirs.
"""

import re
from collections.abc import Iterator, Mapping

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
_UNESCAPED = re.compile(rf"(?<!\\){_REFERENCE.pattern}")
_LITERAL = "\ufdd0"  # what a dollar sign that means itself is meanwhile: no character, so no text holds it
_MOST_REFERENCES = 1_000


def parse(text: str) -> dict[str, str]:
    """Names and values of one file's `text`, in its order, unexpanded; lines that are no entry are passed over."""
    return {name: value for name, value, _ in entries(text)}


def entries(text: str) -> Iterator[tuple[str, str, int]]:
    """The same, entries that a later one hides as well: name, value, and the line (from 1) in which the value begins."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for entry in _ENTRY.finditer(plain):
        value = entry["value"] or ""
        begin = entry.end("name") if not value else entry.end("value") - len(value.lstrip())
        yield entry["name"], _value(value), plain.count("\n", 0, begin) + 1


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


def handed_over(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """`values` expanded by themselves, and the names of those in which a `$NAME` that none of them sets was left as it stands.

    Whoever hands a file over may have written its passwords for a reader that expands nothing. Raises as `expand` does.
    """

    def kept(found: re.Match[str]) -> str:
        return found[0] if found[1] in values or found[2] is not None else _LITERAL + found[0][1:]

    marked = {name: _UNESCAPED.sub(kept, text) for name, text in values.items()}
    done = {name: text.replace(_LITERAL, "$") for name, text in expand(marked, {}).items()}
    return done, [name for name, text in marked.items() if text != values[name]]


def merged(text: str, values: Mapping[str, str]) -> str:
    """One file's `text` with `values` in it, each verbatim to whoever reads it: in the place of the last entry of that name, else below.

    Every other line stays as it is, comments and line ends included. Raises ValueError, with the name, for a value that this file cannot
    hold: an unfinished quote above it may be the reason.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for name, value in values.items():
        plain = _with(plain, name, value)
    return plain.replace("\n", end)


def _with(text: str, name: str, value: str) -> str:
    """`text` with one value in it, bare where that says the same, else in the first quotes that do; what else is read stays the same."""
    entry = next((found for found in reversed([*_ENTRY.finditer(text)]) if found["name"] == name), None)
    before = parse(text)
    escaped = value.replace("$", "\\$")
    lines = escaped.replace("\r", "\\r").replace("\n", "\\n")
    for written in (escaped, f"'{escaped}'", f'"{lines}"', f"`{escaped}`", f'"{escaped}"'):
        after = _replaced(text, entry, written) if entry else _added(text, name, written)
        read = parse(after)
        try:
            if read == {**before, name: read.get(name)} and expand({name: read[name]}, {}) == {name: value}:
                return after
        except (ValueError, KeyError):
            continue
    raise ValueError(f"{name}: this file of settings cannot hold such a value")


def _replaced(text: str, entry: re.Match[str], written: str) -> str:
    """`text` with another value in an entry; what stands around the value (blanks, `export`, a comment) stays."""
    value = entry["value"]
    if value is None:
        mark = entry.end("name") + re.match(rf"{_SPACE}*[=:]?", text[entry.end("name") :]).end()  # type: ignore[union-attr]
        return f"{text[:mark]}{' ' if text[mark - 1] == ':' else ''}{written}{text[mark:]}"
    begin, length = entry.start("value"), len(value)
    leading, trailing = length - len(value.lstrip(" \t")), len(value) - len(value.rstrip())
    return text[: begin + leading] + written + text[begin + length - trailing :]


def _added(text: str, name: str, written: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{name}={written}\n"


def _value(text: str) -> str:
    text = _BLANKS.sub("", text)
    unquoted = _QUOTED.sub(r"\2", text)
    return unquoted.replace("\\n", "\n").replace("\\r", "\r") if text.startswith('"') else unquoted
