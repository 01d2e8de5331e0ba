"""The parts of Stripe's stand-in that can be looked at alone: periods, forms, ids, limits, idempotency keys, the clock."""

from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.sandbox.stripe import RateLimit
from aura_cli.sandbox.stripe.clock import Clock, period_after
from aura_cli.sandbox.stripe.errors import ApiError
from aura_cli.sandbox.stripe.forms import from_json, parse
from aura_cli.sandbox.stripe.idempotency import KEPT, Answered, IdempotencyKeys
from aura_cli.sandbox.stripe.ids import Mint
from aura_cli.sandbox.stripe.limits import Limiter

DAY = 86_400


def day(year: int, month: int, number: int) -> int:
    return int(datetime(year, month, number, 12, tzinfo=UTC).timestamp())


def test_periods_come_back_to_the_day_they_began_on() -> None:
    """From 31 January: the last of February, then 31 March again."""
    anchor = day(2027, 1, 31)
    first = period_after(anchor, anchor, "month", 1)
    second = period_after(anchor, first, "month", 1)
    assert (first, second) == (day(2027, 2, 28), day(2027, 3, 31))
    assert period_after(day(2028, 2, 29), day(2028, 2, 29), "year", 1) == day(2029, 2, 28)


@given(
    st.integers(0, 2_000_000_000), st.sampled_from([("day", 1), ("week", 2), ("month", 1), ("month", 3), ("year", 1)]), st.integers(1, 30)
)
def test_periods_follow_each_other(anchor: int, interval: tuple[str, int], turns: int) -> None:
    """Each ends after it began, about as long after as its interval says."""
    length = {"day": 1, "week": 14, "month": 30.5 * interval[1], "year": 365.5}[interval[0]] * DAY
    start = anchor
    for _ in range(turns):
        end = period_after(anchor, start, *interval)
        assert abs(end - start - length) < 4 * DAY
        start = end


def test_forms_nest() -> None:
    """Brackets make objects and lists; `[]` appends; metadata keeps its keys even where they are numbers."""
    query = "expand[]=a&expand[]=b&items[1][price]=y&items[0][price]=x&metadata[0]=zero&created[gte]=5&email=a%2Bb%40example.com&empty="
    assert parse(query, "name=%C3%85da") == {
        "expand": ["a", "b"],
        "items": [{"price": "x"}, {"price": "y"}],
        "metadata": {"0": "zero"},
        "created": {"gte": "5"},
        "email": "a+b@example.com",
        "empty": "",
        "name": "Åda",
    }


@pytest.mark.parametrize("query", ["a=1&a[b]=2", "[b]=1", "a[b=1", "a]b[=1", "=1", "a" + "[b]" * 40 + "=1"])
def test_contradicting_and_broken_forms_are_refused(query: str) -> None:
    """400 instead of a guess."""
    with pytest.raises(ApiError) as refused:
        parse(query)
    assert refused.value.status == 400


@given(st.text())
def test_no_form_breaks_the_parser(body: str) -> None:
    """Whatever is sent is parsed or refused."""
    for source in (body, urlencode({body: body})):
        with suppress(ApiError):
            parse(source)


def test_json_for_the_sandboxs_own_paths() -> None:
    """A flat object, its values as a form has them; anything else is refused."""
    assert from_json('{"seconds": 5, "declined": true}') == {"seconds": "5", "declined": "true"}
    assert from_json("") == {}
    for body in ("[]", '{"a": {}}', "nonsense"):
        with pytest.raises(ApiError):
            from_json(body)


def test_ids_are_the_same_in_every_run_and_sort_as_they_were_made() -> None:
    """Same seed, same ids; another seed, others."""
    mint, again, other = Mint(1), Mint(1), Mint(2)
    made = [mint.new("evt") for _ in range(200)]
    assert made == sorted(made) == [again.new("evt") for _ in range(200)]
    assert set(made).isdisjoint(other.new("evt") for _ in range(200))


def test_a_limit_fills_up_again() -> None:
    """Two at once, then one every half second."""
    now = 0.0
    limiter = Limiter(RateLimit(account=100, endpoint=2), lambda: now)
    limiter.admit("a")
    limiter.admit("a")
    limiter.admit("b")
    with pytest.raises(ApiError) as refused:
        limiter.admit("a")
    assert refused.value.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    now = 0.5
    limiter.admit("a")


def test_idempotency_keys_are_forgotten_after_a_day() -> None:
    """Then the key may be used for something else."""
    keys = IdempotencyKeys()
    keys.keep("k", Answered("one", 1000, b"{}", "req_1"))
    assert keys.replay("k", "one", 1000 + KEPT) is not None
    assert keys.replay("k", "two", 1001 + KEPT) is None


def test_the_clock_runs_on_and_jumps() -> None:
    """Real seconds and moved ones add up."""
    ticks = 50.0
    clock = Clock(1000, lambda: ticks)
    assert clock.now() == 1000
    ticks += 2.5
    assert clock.advance(100) == 1102
    assert clock.now() == 1102
