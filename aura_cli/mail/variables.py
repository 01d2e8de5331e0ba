"""The variables that a template declares: of which kind each is, what of it is kept, and how a reader sees it.

What is kept is JSON, always the same for the same input, so that a mail that is sent again is the same mail.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import cast

LONGEST_TEXT = 200  # characters
LONGEST_URL = 2000
_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")  # control characters and white space: a header ends at a line break
_DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")  # they would turn round what stands beside them
_URL = re.compile(  # RFC 3986 without a user before the host, who hides where it leads
    r"https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:[/?#][\w.~!$&'()*+,;=:@/?#\[\]%-]*)?",
    re.ASCII | re.IGNORECASE,
)
_MONEY = re.compile(r"\d{1,12}(\.\d{2,3})? [A-Z]{3}", re.ASCII)
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
# https://docs.stripe.com/currencies#zero-decimal and #three-decimal
_DECIMALS = dict.fromkeys("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF".split(), 0)
_DECIMALS |= dict.fromkeys("BHD JOD KWD OMR TND".split(), 3)
_MONTHS = "January February March April May June July August September October November December".split()


class Kind(StrEnum):
    """What a variable may hold."""

    TEXT = "text"  # one line
    URL = "url"  # absolute, http or https
    DATE = "date"  # a date, or an aware time, whose day in UTC it is; kept as 2026-11-22
    MONEY = "money"  # an amount and an ISO 4217 currency: 29.00 USD
    NUMBER = "number"  # whole, not negative


@dataclass(frozen=True)
class Variable:
    """One declared variable. `choices`, where there are any, are the only texts that it may hold; `sample` is for previews and tests."""

    name: str
    kind: Kind
    purpose: str
    sample: object
    required: bool = True
    choices: tuple[str, ...] = ()

    def checked(self, value: object) -> object:
        """What is kept of a value. Raises ValueError that says what is wrong with it."""
        kept = _CHECKS[self.kind](value)
        if self.choices and kept not in self.choices:
            raise ValueError(f"{_quoted(value)} is none of {', '.join(self.choices)}")
        return kept

    def shown(self, value: object) -> str:
        """A value, as `checked` gives it, in a reader's form: `22 November 2026`, `$29.00`, `10,000,000`."""
        return _SHOWN[self.kind](value) if self.kind in _SHOWN else cast("str", value)


def money(minor: int, currency: str) -> str:
    """An amount in a currency's smallest unit, as Stripe gives it (2900, "usd"), as a variable of kind `money`: "29.00 USD"."""
    code = currency.upper()
    decimals = _DECIMALS.get(code, 2)
    return f"{Decimal(minor).scaleb(-decimals):.{decimals}f} {code}"


def clean(text: str) -> str:
    """One line without control characters or overrides of the writing direction. Raises ValueError for what UTF-8 cannot hold."""
    line = _BREAKS.sub(" ", _DIRECTIONS.sub("", text)).strip()
    try:
        line.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    return line


def checked_url(value: object) -> str:
    """An absolute http(s) address. Raises ValueError."""
    found = _URL.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_URL else None
    if found is None or not 0 < int(found[1] or 443) < 1 << 16:
        raise ValueError(f"{_quoted(value)} is no address that begins with http:// or https://")
    return found[0]


def _checked_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_quoted(value)} is no text")
    line = clean(value)
    if not line:
        raise ValueError("it is empty")
    if len(line) > LONGEST_TEXT:
        raise ValueError(f"it has {len(line):,} characters, more than {LONGEST_TEXT}")
    return line


def _checked_date(value: object) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if isinstance(moment, datetime):
        dated_only = isinstance(value, str) and len(value) == len("2026-11-22")
        if moment.tzinfo is None and not dated_only:
            raise ValueError(f"{_quoted(value)} names no time zone")
        return (moment if dated_only else moment.astimezone(UTC)).date().isoformat()
    if isinstance(moment, date):
        return moment.isoformat()
    raise ValueError(f"{_quoted(value)} is no date such as 2026-11-22")


def _checked_money(value: object) -> str:
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError(f"{_quoted(value)} is no amount such as 29.00 USD")
    return value


def _checked_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ValueError(f"{_quoted(value)} is no whole number")
    return value


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shown_date(kept: object) -> str:
    day = date.fromisoformat(cast("str", kept))
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _shown_money(kept: object) -> str:
    amount, _, currency = cast("str", kept).partition(" ")
    grouped = f"{Decimal(amount):,}"
    return f"{_SIGNS[currency]}{grouped}" if currency in _SIGNS else f"{grouped} {currency}"


_CHECKS: Mapping[Kind, Callable[[object], object]] = MappingProxyType(
    {
        Kind.TEXT: _checked_text,
        Kind.URL: checked_url,
        Kind.DATE: _checked_date,
        Kind.MONEY: _checked_money,
        Kind.NUMBER: _checked_number,
    }
)
_SHOWN: Mapping[Kind, Callable[[object], str]] = MappingProxyType(
    {Kind.DATE: _shown_date, Kind.MONEY: _shown_money, Kind.NUMBER: lambda kept: f"{kept:,}"}
)
