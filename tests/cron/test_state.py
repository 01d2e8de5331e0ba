"""When two ends of a job are the same to whoever is alerted."""

import pytest

from aura_cli.cron.conducting import state

SAME = [
    ("1 connection to be connected anew", "12 connections to be connected anew"),
    ("1,234 users of 3,000 are gone", "1 user of 1 are gone"),
    ("3 differences are left (2 price, 1 status)", "9 differences are left (4 price, 5 status)"),
    ("slow: 1.5 s", "slow: 12.25 s"),
    ("silent for 110 min", "silent for 2 h"),
    ("Stripe: ReadTimeout, req_Ab12cd", "Stripe: ConnectTimeout, req_Zy98xw"),
    ("Stripe answered 500 to GET /v1/prices", "Stripe answered 503 to GET /v1/prices"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_numbers(one: str, other: str) -> None:
    """Numbers, and what there is one of or many, make no difference; the exit code and the words do."""
    assert state(3, one) == state(3, other) != state(9, other)
    assert state(3, one) != state(3, f"{other}; and more")


def test_well() -> None:
    """It is no state at all, whatever it was about."""
    assert state(0, None) == "" != state(7, None)
