"""Stripe's list of events, read forwards: complete, in order, and only what is handled."""

from pathlib import Path
from random import Random

import pytest

from aura_cli.errors import ServiceError
from aura_cli.sandbox.faults import Faults
from aura_cli.webhooks.feed import KEPT, Feed
from tests.webhooks.listing import NOW, happen, listing

DAY = 86_400
HISTORIES = {
    "nothing": [],
    "one": [NOW - 5],
    "spread over the month": [NOW - number * DAY // 10 for number in range(290, 0, -1)],
    "all of it lately": [NOW - number // 3 for number in range(350, 0, -1)],
    "all of it long ago": [NOW - 29 * DAY + number for number in range(350)],
    "in one second": [NOW - 1000] * 350,
    "a page to the letter": [NOW - number for number in range(100, 0, -1)],
}


def read(feed: Feed) -> list[str]:
    """All that there is, by id."""
    found = []
    while page := feed.following():
        found += [event.id for event in page]
    return found


@pytest.mark.parametrize("history", HISTORIES)
def test_all_of_it_in_order(tmp_path: Path, history: str) -> None:
    """The oldest first, none left out, none twice, in a number of requests that fits."""
    with listing(tmp_path) as (stripe, asked):
        made = happen(stripe, *HISTORIES[history])
        feed = Feed(asked, NOW - 30 * DAY + 60)
        assert read(feed) == made
        assert feed.seen == (HISTORIES[history][-1] if made else None)
        assert stripe.count()["events"] <= len(made) / 100 + 60


def test_from_a_moment_on(tmp_path: Path) -> None:
    """What was made before is left out, what was made in that very second is not."""
    with listing(tmp_path) as (stripe, asked):
        made = happen(stripe, *range(NOW - 500, NOW))
        assert read(Feed(asked, NOW - 123)) == made[-123:]


def test_what_is_not_handled_does_not_count(tmp_path: Path) -> None:
    """It is not even asked for; yet it shows how far Stripe's clock has come."""
    with listing(tmp_path) as (stripe, asked):
        made = happen(stripe, NOW - 50)
        happen(stripe, NOW - 10, kind="invoice.created")
        feed = Feed(asked, NOW - 100)
        assert read(feed) == made
        assert feed.seen == NOW - 10


def test_what_happens_meanwhile_comes_next(tmp_path: Path) -> None:
    """A feed that was up to date goes on from there; one that starts now leaves the past out."""
    with listing(tmp_path) as (stripe, asked):
        happen(stripe, NOW - 50)
        old, new, late = Feed(asked, NOW - 100), Feed(asked, 0), Feed(asked, NOW - 40)
        new.skip_to_now()
        assert (len(read(old)), read(new), read(late)) == (1, [], [])
        made = happen(stripe, NOW - 20, NOW - 20)
        assert read(old) == read(new) == read(late) == made
        assert read(old) == []


def test_with_a_stripe_that_fails_now_and_then(tmp_path: Path) -> None:
    """429, 500 and cut connections leave no gap and no double."""
    faults = Faults(too_many=0.1, server_error=0.1, cut_before=0.1, cut_half=0.1, retry_after=0.05, seed=3)
    with listing(tmp_path, faults) as (stripe, asked):
        made = happen(stripe, *sorted(Random(1).randrange(NOW - KEPT + 60, NOW) for _ in range(600)))
        assert sorted(read(Feed(asked, NOW - KEPT + 60))) == sorted(made)


def test_a_list_that_leads_back_is_refused(tmp_path: Path) -> None:
    """A cursor that is not honoured would read the same page for ever."""
    with listing(tmp_path) as (stripe, asked):
        happen(stripe, *range(NOW - 300, NOW))
        first: list[object] = []

        def repeat(request: object, answer: object) -> object:
            first.append(answer)
            return answer if "ending_before" not in getattr(request, "query", {}) else first[-2]

        stripe.edit = repeat
        with pytest.raises(ServiceError, match="does not go on"):
            read(Feed(asked, NOW - 300))
