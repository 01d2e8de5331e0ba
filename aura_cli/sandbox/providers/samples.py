"""Made-up credentials that have the form which a provider's file prescribes; the stand-in takes these and no others."""

import re
from collections.abc import Iterator, Mapping
from random import Random
from re import _constants as op  # type: ignore[attr-defined]  # typeshed lacks it
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from aura_cli.integrations.provider import Field, Provider
from aura_cli.sandbox.providers.addresses import bases, fields_of

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_."
_LONG = 8  # how often is repeated what may be repeated as often as one likes
_TRIES = 200  # for patterns that look ahead or behind


def credentials(provider: Provider, base: str) -> dict[str, str]:
    """A value for each field of a provider. `base`: the stand-in's, for fields that hold a whole address."""
    whole = bases(provider)
    return {
        name: f"{base}/{provider.id}/{name}" if name in whole else sample(provider.id, name, field)
        for _, fields in fields_of(provider)
        for name, field in fields.items()
    }


def sample(provider: str, name: str, field: Field) -> str:
    """The same value whenever it is asked for; where the pattern allows, it says that it is the sandbox's."""
    if field.choices or field.default:
        return field.default or next(iter(field.choices))
    telling = f"sandbox-{provider}-{name.replace('_', '-')}" if field.secret else "sandbox"
    for text in (telling, "sandbox@example.com", "sandbox.example.com", "+12025550123"):
        if field.pattern is None or re.fullmatch(field.pattern, text):
            return text
    dice = Random(f"{provider} {name}")
    parsed = parser.parse(field.pattern)
    for _ in range(_TRIES):
        if re.fullmatch(field.pattern or "", text := "".join(_texts(parsed, dice))):
            return text
    raise AssertionError(f"{provider}: nothing found that matches {field.pattern!r}")


def _texts(parsed: Any, dice: Random) -> Iterator[str]:
    """Pieces of a text that matches, but for what looks ahead or behind."""
    for kind, what in parsed:
        if kind is op.LITERAL:
            yield chr(what)
        elif kind in (op.IN, op.ANY, op.NOT_LITERAL):
            yield dice.choice(_letters(kind, what))
        elif kind is op.BRANCH:
            yield from _texts(what[1][-1], dice)
        elif kind is op.SUBPATTERN:
            yield from _texts(what[3], dice)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, again = what
            for _ in range(max(least, min(most, _LONG if least < 2 and len(again) == 1 and again[0][0] is op.IN else least))):
                yield from _texts(again, dice)


def _letters(kind: Any, what: Any) -> list[str]:
    """Every character that one place may hold, of those that are told easily where there is a choice."""
    if kind is op.ANY:
        return list(_LETTERS)
    if kind is op.NOT_LITERAL:
        return [letter for letter in _LETTERS if letter != chr(what)]
    negated = what[0][0] is op.NEGATE
    found = [letter for letter in map(chr, range(33, 127)) if any(_is(letter, *one) for one in what) is not negated]
    return [letter for letter in found if letter in _LETTERS] or found


def _is(letter: str, kind: Any, what: Any) -> bool:
    if kind is op.LITERAL:
        return bool(ord(letter) == what)
    if kind is op.RANGE:
        return bool(what[0] <= ord(letter) <= what[1])
    classes: Mapping[Any, bool] = {
        op.CATEGORY_WORD: letter.isalnum() or letter == "_",
        op.CATEGORY_DIGIT: letter.isdigit(),
        op.CATEGORY_SPACE: letter.isspace(),
        op.CATEGORY_NOT_SPACE: not letter.isspace(),
        op.CATEGORY_NOT_WORD: not (letter.isalnum() or letter == "_"),
        op.CATEGORY_NOT_DIGIT: not letter.isdigit(),
    }
    return bool(kind is op.CATEGORY and classes[what])
