"""Stripe's search query language (https://docs.stripe.com/search): `status:'active' AND metadata['userId']:'…'`."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aura_cli.sandbox.stripe import params
from aura_cli.sandbox.stripe.collection import Collection
from aura_cli.sandbox.stripe.errors import invalid_parameter
from aura_cli.sandbox.stripe.pages import Page
from aura_cli.sandbox.stripe.records import Record
from aura_cli.sandbox.stripe.state import R

FIELDS: params.Fields = {"query": params.text, "limit": params.page_size, "page": params.text}
INDEXES = ("email", "status", "metadata")  # exact matches that need no scan
_CLAUSE = re.compile(
    r"""\s*(?P<not>-?)(?P<field>[a-z_]+)(?:\[(?P<q>['"])(?P<key>(?:(?!(?P=q)).)+)(?P=q)\])?(?P<sign>>=|<=|[:~<>])"""
    r"""(?:(?P<v>['"])(?P<text>(?:\\.|(?!(?P=v)).)*)(?P=v)|(?P<bare>null|[0-9]+))\s*"""
)


@dataclass(frozen=True)
class Clause:
    field: str
    key: str
    sign: str
    value: str | None  # None: null
    negated: bool


def parse(query: str, fields: Iterable[str]) -> tuple[list[Clause], Callable[[Iterable[bool]], bool]]:
    """The clauses and whether all or any of them must hold. Raises ApiError 400 for what is not a query over `fields`."""
    clauses: list[Clause] = []
    joins: set[str] = set()
    position = 0
    while match := _CLAUSE.match(query, position):
        value = None if match["bare"] == "null" else match["bare"] or re.sub(r"\\(.)", r"\1", match["text"] or "")
        clauses.append(Clause(match["field"], match["key"] or "", match["sign"], value, bool(match["not"])))
        position = match.end()
        join = re.compile(r"(AND|OR)\s+", re.IGNORECASE).match(query, position)
        if join is None:
            break
        joins.add(join[1].upper())
        position = join.end()
    if not clauses or position != len(query):
        raise invalid_parameter("query", f"We were unable to parse your search query: {query}")
    if unknown := [clause.field for clause in clauses if clause.field not in fields]:
        raise invalid_parameter("query", f"Field `{unknown[0]}` is an unsupported search field for this resource.")
    if len(joins) > 1:
        raise invalid_parameter("query", "AND and OR cannot be combined in one search query.")
    joined: Callable[[Iterable[bool]], bool] = any if joins == {"OR"} else all
    return clauses, joined


def search(home: Collection[R], given: Mapping[str, Any], fields: Iterable[str], hidden: Callable[[R], bool] = lambda _: False) -> Page:
    """A page of what a query finds, newest first."""
    clauses, joined = parse(given["query"], fields)
    wanted: dict[str, list[str]] = {}
    for clause in clauses if joined is all else ():
        if clause.field in INDEXES and clause.sign == ":" and clause.value is not None and not clause.negated:
            index, value = _indexed(clause.field, clause.key, clause.value)
            wanted.setdefault(index, [value])
    matching = (record for record in home.select(wanted) if not hidden(record) and joined(_holds(clause, record) for clause in clauses))
    size, start = given.get("limit", 10), _start(given.get("page"))
    found = list(islice(matching, start, start + size + 1))
    has_more = len(found) > size
    return Page(found[:size], has_more, next_page=str(start + size) if has_more else None)


def _indexed(field: str, key: str, value: str) -> tuple[str, str]:
    if field == "email":
        return "email_folded", value.casefold()
    return (f"metadata.{key}" if field == "metadata" else field), value


def _start(page: str | None) -> int:
    if page is not None and not re.fullmatch("[0-9]{1,9}", page):
        raise invalid_parameter("page", f"Invalid page token: {page}")
    return int(page or 0)


def _holds(clause: Clause, record: Record) -> bool:
    value: Any = getattr(record, clause.field)
    if clause.field == "metadata":
        value = value.get(clause.key)
    return _compared(clause, value) != clause.negated


def _compared(clause: Clause, value: Any) -> bool:
    if value is None or clause.value is None:
        return value is None and clause.value is None
    if isinstance(value, int):
        if not re.fullmatch("[0-9]{1,15}", clause.value):
            return False
        bound = int(clause.value)
        return {":": value == bound, ">": value > bound, "<": value < bound, ">=": value >= bound, "<=": value <= bound}.get(
            clause.sign, False
        )
    held, sought = str(value).casefold(), clause.value.casefold()
    if clause.field in ("name", "email") and clause.sign == ":":  # Stripe matches whole words of these
        return sought == held if clause.field == "email" else set(sought.split()) <= set(held.split())
    return sought in held if clause.sign == "~" else sought == held
