"""Stripe's form encoding: `a[b][0][c]=v` in a query or a body becomes nested dicts and lists of strings."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from aura_cli.sandbox.stripe.errors import ApiError

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile("[0-9]{1,6}")
_DEEPEST = 12


def parse(query: str, body: str = "") -> dict[str, Any]:
    """The parameters of a request. Raises ApiError 400 for a key that is not well-formed or contradicts another."""
    pairs = [pair for source in (query, body) for pair in parse_qsl(source, keep_blank_values=True)]
    return nest(pairs)


def from_json(body: str) -> dict[str, Any]:
    """A flat JSON object, its values as a form would hold them. Raises ApiError 400."""
    try:
        given = msgspec.json.decode(body or "{}", type=dict[str, bool | int | str])
    except msgspec.MsgspecError:
        raise ApiError(400, "The body is not a flat JSON object") from None
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        path = _path(key)
        node = tree
        for part, following in pairwise(path):
            child = node.setdefault(_place(node, part), {})
            if not isinstance(child, dict):
                raise ApiError(400, f"Invalid {part}: {following} of a value", param=key)
            node = child
        node[_place(node, path[-1])] = value
    return {name: _listed(name, value) for name, value in tree.items()}


def _path(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    path = [] if match is None else [match[1], *_PART.findall(match[2])]
    if not 0 < len(path) <= _DEEPEST:
        raise ApiError(400, f"Invalid request: the parameter {key[:80]!r} is not well-formed", param=key[:80])
    return path


def _place(node: dict[str, Any], part: str) -> str:
    return part or str(len(node))  # `expand[]=a&expand[]=b` appends


def _listed(name: str, value: Any) -> Any:
    """Dicts whose keys are all numbers are lists, in the order of the numbers; metadata may have any keys."""
    if not isinstance(value, dict):
        return value
    if name == "metadata":
        return value
    if all(_NUMBER.fullmatch(key) for key in value):
        return [_listed("", value[key]) for key in sorted(value, key=int)]
    return {key: _listed(key, child) for key, child in value.items()}
