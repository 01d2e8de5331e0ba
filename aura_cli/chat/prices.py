"""What an answer cost, and what a model can hold, by a table with dates, `prices.toml`. What that does not know has no known cost."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from aura_cli.chat.model import Usage

UNKNOWN_WINDOW = 32_000  # tokens: every model of today holds so many
_MILLION = 1_000_000
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # gpt-4o-mini-2024-07-18 costs what gpt-4o-mini does


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens, from a day on, for a request of at most `up_to` input tokens."""

    model: str
    since: date
    input: Decimal
    cached: Decimal
    output: Decimal
    up_to: int | None = None


@dataclass(frozen=True)
class Known:
    """What is known of a model's manners. `certain`: it stands in the table."""

    window: int = UNKNOWN_WINDOW
    reasons: bool = False
    certain: bool = False


def known(model: str) -> Known:
    """What a model holds and takes, by its usual, dated or OpenRouter's name."""
    found = _table()["models"].get(_usual(model))
    return Known(**found, certain=True) if found else Known()


def cost(model: str, usage: Usage, day: date) -> Decimal | None:
    """US dollars, exactly, for an answer given on that day (UTC); None where the table has no price for it."""
    if model.removeprefix("openai/") in _table()["apart"]:
        return None
    prices = [one for one in _prices() if one.model == _usual(model) and one.since <= day]
    price = max(prices, key=lambda one: one.since, default=None)
    if price is None or (price.up_to is not None and usage.input_tokens > price.up_to):
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    millionths = price.input * (usage.input_tokens - cached) + price.cached * cached + price.output * usage.output_tokens
    return millionths / _MILLION


def total(costs: Iterable[str | None]) -> Decimal | None:
    """The sum of costs as they are stored; None as soon as one is not known."""
    amount = Decimal(0)
    for one in costs:
        if one is None:
            return None
        amount += Decimal(one)
    return amount


def dollars(amount: Decimal) -> str:
    """An amount as it is stored and shown: exact, without an exponent or idle zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _usual(model: str) -> str:
    return _DATED.sub("", model.removeprefix("openai/"))


@cache
def _prices() -> tuple[Price, ...]:
    rows = _table()["price"]
    return tuple(Price(**{**row, **{name: Decimal(row[name]) for name in ("input", "cached", "output")}}) for row in rows)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))
