"""Kinds of variables: what each takes, what is kept of it, how it is shown."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.mail.variables import Kind, Variable, clean, money


def of(kind: Kind, *choices: str) -> Variable:
    return Variable("it", kind, "", "", choices=choices)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T23:30:00-05:00", "2026-11-23"),
        ("2026-11-22T10:00:00Z", "2026-11-22"),
        (date(2026, 11, 22), "2026-11-22"),
        (datetime(2026, 11, 22, 23, 30, tzinfo=UTC), "2026-11-22"),
        (datetime(2026, 11, 22, 1, 0, tzinfo=timezone(timedelta(hours=9))), "2026-11-21"),
    ],
)
def test_a_date_is_a_day_in_utc(value: object, kept: str) -> None:
    """A time is the day that it is in UTC, and is shown without numbers that two continents read differently."""
    assert of(Kind.DATE).checked(value) == kept
    assert of(Kind.DATE).shown("2026-02-01") == "1 February 2026"


@pytest.mark.parametrize(
    "value",
    ["22.11.2026", "2026-13-01", "2026-11-22T10:00:00", datetime(2026, 11, 22), "tomorrow", 1_795_000_000],  # noqa: DTZ001
)
def test_a_time_without_a_zone_is_no_date(value: object) -> None:
    """Nor is a number, or a day that some calendar writes."""
    with pytest.raises(ValueError, match=r"date|zone"):
        of(Kind.DATE).checked(value)


@pytest.mark.parametrize(
    ("minor", "currency", "kept", "shown"),
    [
        (2900, "usd", "29.00 USD", "$29.00"),
        (123456789, "eur", "1234567.89 EUR", "€1,234,567.89"),
        (5, "gbp", "0.05 GBP", "£0.05"),
        (2900, "jpy", "2900 JPY", "¥2,900"),
        (29000, "kwd", "29.000 KWD", "29.000 KWD"),
        (0, "chf", "0.00 CHF", "0.00 CHF"),
    ],
)
def test_money(minor: int, currency: str, kept: str, shown: str) -> None:
    """Stripe's smallest units become an amount; currencies without cents, or with a thousand of them, are known."""
    assert money(minor, currency) == of(Kind.MONEY).checked(kept) == kept
    assert of(Kind.MONEY).shown(kept) == shown


@pytest.mark.parametrize("value", ["29", "29.00", "29.00 usd", "-1.00 USD", "29,00 EUR", "1e3 USD", 29, "29.00 USD\n", "٢٩ USD"])
def test_no_money(value: object) -> None:
    """An amount has digits, a point and a currency."""
    with pytest.raises(ValueError, match="amount"):
        of(Kind.MONEY).checked(value)


@pytest.mark.parametrize("value", [-1, 1.0, "7", True, 10**15])
def test_no_number(value: object) -> None:
    """Whole, not negative, and not a text."""
    with pytest.raises(ValueError, match="whole number"):
        of(Kind.NUMBER).checked(value)


def test_choices() -> None:
    """Only what was declared."""
    assert of(Kind.TEXT, "month", "year").checked(" year ") == "year"
    with pytest.raises(ValueError, match="'week' is none of month, year"):
        of(Kind.TEXT, "month", "year").checked("week")


@given(st.text())
def test_clean_text_stays_clean(text: str) -> None:
    """Cleaning twice is cleaning once, and leaves one line."""
    try:
        once = clean(text)
    except ValueError:
        assert any("\ud800" <= each <= "\udfff" for each in text)
        return
    assert clean(once) == once
    assert len(once.splitlines()) <= 1
