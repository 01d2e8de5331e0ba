"""Lists: a `created` window, a cursor and a page of records, newest first (https://docs.stripe.com/api/pagination)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aura_cli.sandbox.stripe import params
from aura_cli.sandbox.stripe.collection import NEWEST, OLDEST, Collection, Key
from aura_cli.sandbox.stripe.errors import invalid_parameter
from aura_cli.sandbox.stripe.params import CreatedRange
from aura_cli.sandbox.stripe.records import Record
from aura_cli.sandbox.stripe.state import R, require

CURSOR_FIELDS: params.Fields = {"limit": params.page_size, "starting_after": params.text, "ending_before": params.text}
LIST_FIELDS: params.Fields = {**CURSOR_FIELDS, "created": params.created_range}


@dataclass(frozen=True)
class Page:
    records: Sequence[Record]
    has_more: bool
    next_page: str | None = None


def page(
    home: Collection[R],
    given: Mapping[str, Any],
    wanted: Mapping[str, Sequence[str]],
    *,
    oldest: int = -1,
    keep: Callable[[R], bool] | None = None,
) -> Page:
    """A page of `home`: `given` holds the values of LIST_FIELDS, `wanted` the index values asked for, `oldest` a limit to how far back.

    `keep` sees each record and says whether it counts.

    Raises ApiError 400 for both cursors at once and 404 for one that names nothing.
    """
    if "starting_after" in given and "ending_before" in given:
        raise invalid_parameter("ending_before", "You can only use one of starting_after or ending_before")
    span: CreatedRange = given.get("created", CreatedRange())
    low: Key = max(OLDEST, (max(span.low, oldest), ""))
    high: Key = min(NEWEST, (span.high, ""))
    if after := given.get("starting_after"):
        high = min(high, _key(home, after, "starting_after"))
    if before := given.get("ending_before"):
        created, identifier = _key(home, before, "ending_before")
        low = max(low, (created, identifier + "\0"))  # the least key greater than the cursor's
    size = given.get("limit", 10)
    found = list(islice(filter(keep, home.select(wanted, low, high, newest_first=not before)), size + 1))
    records = found[:size]
    return Page(records[::-1] if before else records, len(found) > size)


def _key(home: Collection[R], identifier: str, param: str) -> Key:
    record = require(home, identifier, param)
    return record.created, record.id
