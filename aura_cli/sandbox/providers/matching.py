"""Reading a request by what a provider's file says of it: which of its requests it is, and what stands in its placeholders."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aura_cli.integrations.provider import Request
from aura_cli.integrations.template import PLACEHOLDER, names


class Mismatch(Exception):
    """The request is not what the file says. The message says where."""


@dataclass(frozen=True)
class Seen:
    """One HTTP request. `path` is as it came, percent-encoded; header names are lower-case; `query` and `form` hold each name once."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """Raises Mismatch for a body that is no form."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Mismatch("the body is not form-encoded")
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def json(self) -> Any:
        """Raises Mismatch for a body that is no JSON."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            raise Mismatch("the body is not JSON")
        try:
            return json.loads(self.body)
        except ValueError:
            raise Mismatch("the body is not JSON") from None

    def content(self, notation: str) -> Any:
        """The body as a file's `token_body` says, `form` or `json`. Raises Mismatch."""
        return self.json if notation == "json" else self.form

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password of `Authorization: Basic`."""
        scheme, _, text = self.headers.get("authorization", "").partition(" ")
        try:
            user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if scheme.lower() == "basic" and colon else None


def placed(path: str, seen: str) -> dict[str, str] | None:
    """What stands in the placeholders of `path`, a template, where `seen`, percent-encoded, is such a path; else None."""
    wanted, given = path.split("/"), seen.split("/")
    if len(wanted) != len(given):
        return None
    try:
        return merged(values_in(unquote(one), unquote(other)) for one, other in zip(wanted, given, strict=True))
    except Mismatch:
        return None


def read(request: Request, seen: Seen, optional: frozenset[str]) -> dict[str, str]:
    """What stands in the placeholders of all that `request` sends beside its path. Raises Mismatch where anything of it is missing.

    `optional`: placeholders that may have no value; what holds them may be left out.
    """
    query = {**dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True)), **request.query}
    headers = {name.lower(): text for name, text in request.headers.items()}
    found = [_table("query", query, seen.query, optional), _table("headers", headers, seen.headers, optional)]
    if request.basic:
        if seen.basic is None:
            raise Mismatch("there is no Authorization: Basic")
        found.append(values_in(list(request.basic), list(seen.basic)))
    if request.form:
        given = {name: text if isinstance(request.form.get(name), str) else _decoded(text) for name, text in seen.form.items()}
        found.append(_table("form", request.form, given, optional))
    if request.json is not None:
        found.append(values_in(request.json, seen.json))
    return merged(found)


def values_in(template: Any, given: Any) -> dict[str, str]:
    """What stands in `given` where `template` has placeholders. Raises Mismatch where they differ otherwise."""
    if isinstance(template, str) and isinstance(given, str):
        parts = PLACEHOLDER.split(template)  # text, name, text, name, ..., text
        pattern = "".join("(.*)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        if not (fits := re.fullmatch(pattern, given, re.DOTALL)):
            raise Mismatch(f"{template!r} is expected")
        return merged({name: text} for name, text in zip(parts[1::2], fits.groups(), strict=True))
    if isinstance(template, Mapping) and isinstance(given, Mapping) and template.keys() == given.keys():
        return merged(values_in(part, given[name]) for name, part in template.items())
    if isinstance(template, list) and isinstance(given, list) and len(template) == len(given):
        return merged(values_in(part, other) for part, other in zip(template, given, strict=True))
    if template != given or isinstance(template, Mapping | list):
        raise Mismatch(f"{json.dumps(template)[:200]} is expected")
    return {}


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """All of `parts`. Raises Mismatch where a placeholder stands for two things."""
    found: dict[str, str] = {}
    for part in parts:
        for name, text in part.items():
            if found.setdefault(name, text) != text:
                raise Mismatch(f"{{{name}}} stands for two things")
    return found


def _table(part: str, template: Mapping[str, Any], given: Mapping[str, Any], optional: frozenset[str]) -> dict[str, str]:
    found: list[dict[str, str]] = []
    for name, wanted in template.items():
        if name in given:
            try:
                found.append(values_in(wanted, given[name]))
            except Mismatch as error:
                raise Mismatch(f"{part}: {name}: {error}") from None
        elif not optional.intersection(names(wanted)):
            raise Mismatch(f"{part}: {name} is missing")
    return merged(found)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
