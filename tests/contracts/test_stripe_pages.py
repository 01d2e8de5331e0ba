"""Pagination as Stripe documents it: however a list is cut into windows and pages, each object comes exactly once, in order."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aura_cli.sandbox.stripe.collection import Collection
from aura_cli.sandbox.stripe.pages import page
from aura_cli.sandbox.stripe.params import created_range
from aura_cli.sandbox.stripe.records import Invoice

STATUSES = ("open", "paid", "void")
CUSTOMERS = ("cus_a", "cus_b")
SIGNS = (("gte", "lt"), ("gt", "lte"))
Wanted = Mapping[str, Sequence[str]]


def invoice(number: int, created: int, status: str = "paid", customer: str = "cus_a") -> Invoice:
    return Invoice(f"in_{number:04}", created, customer, None, status, "manual", "usd", (), 0, 1, created, created)


def collection() -> Collection[Invoice]:
    return Collection("invoice", lambda one: [("status", one.status), ("customer", one.customer)])


invoices = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(STATUSES), st.sampled_from(CUSTOMERS)), max_size=60).map(
    lambda drawn: [invoice(number, *fields) for number, fields in enumerate(drawn)]
)
filters: st.SearchStrategy[Wanted] = st.fixed_dictionaries(
    {},
    optional={
        "status": st.lists(st.sampled_from(STATUSES), min_size=1, max_size=3),
        "customer": st.sampled_from(CUSTOMERS).map(lambda one: [one]),
    },
)


def fitting(known: Sequence[Invoice], wanted: Wanted) -> list[str]:
    """What a list has to show, newest first, found the slow way."""
    found = [one for one in known if all(getattr(one, name) in values for name, values in wanted.items())]
    return [one.id for one in sorted(found, key=lambda one: (one.created, one.id), reverse=True)]


def paged(home: Collection[Invoice], size: int, wanted: Wanted, **fields: Any) -> Iterator[str]:
    """All of a list, page after page towards the past."""
    cursor: dict[str, str] = {}
    while True:
        answer = page(home, {"limit": size, **fields, **cursor}, wanted)
        assert len(answer.records) == size or not answer.has_more
        yield from (record.id for record in answer.records)
        if not answer.has_more:
            return
        cursor = {"starting_after": answer.records[-1].id}


@given(invoices, filters, st.integers(1, 100), st.sets(st.integers(1, 30)), st.sampled_from(SIGNS))
def test_windows_and_pages_miss_nothing(known: list[Invoice], wanted: Wanted, size: int, cuts: set[int], signs: tuple[str, str]) -> None:
    """Any partition of time into `created` windows, any page size, any filter."""
    home = collection()
    home.load(known)
    low_sign, high_sign = signs
    edges = [-1 if low_sign == "gt" else 0, *sorted(cuts), 31]
    found: list[str] = []
    for low, high in reversed(list(pairwise(edges))):
        window = created_range("created", {low_sign: str(low), high_sign: str(high)})
        found += paged(home, size, wanted, created=window)
    assert found == fitting(known, wanted)


@given(invoices, filters, st.integers(1, 20))
def test_backwards_is_forwards_reversed(known: list[Invoice], wanted: Wanted, size: int) -> None:
    """`ending_before` walks from the oldest to the newest; each page itself is newest first."""
    home = collection()
    home.load(known)
    expected = fitting(known, wanted)
    if not expected:
        return
    found = [expected[-1]]
    while True:
        answer = page(home, {"limit": size, "ending_before": found[0]}, wanted)
        found = [record.id for record in answer.records] + found
        if not answer.has_more:
            break
    assert found == expected


@given(invoices, st.lists(st.tuples(st.integers(0, 59), st.sampled_from((*STATUSES, "remove"))), max_size=40), filters)
def test_indexes_follow_changes(known: list[Invoice], steps: list[tuple[int, str]], wanted: Wanted) -> None:
    """Adding, changing and removing one by one ends where loading the outcome would."""
    home = collection()
    now: dict[str, Invoice] = {}
    for one in known:
        now[one.id] = home.put(one)
    for number, step in steps:
        identifier = f"in_{number:04}"
        if identifier not in now:
            continue
        if step == "remove":
            home.remove(identifier)
            del now[identifier]
        else:
            old = now[identifier]
            now[identifier] = home.put(invoice(number, old.created, step, old.customer))
    assert len(home) == len(now)
    assert list(paged(home, 7, wanted)) == fitting(list(now.values()), wanted)


def test_a_deep_page_is_not_a_scan() -> None:
    """A page in the middle of many objects looks at no more of them than it shows, and one that tells whether there are more."""
    looked = 0

    def terms(one: Invoice) -> list[tuple[str, str]]:
        nonlocal looked
        looked += 1
        return [("status", one.status), ("customer", one.customer)]

    home = Collection("invoice", terms)
    home.load(invoice(number, number, STATUSES[number % 3], CUSTOMERS[number % 2]) for number in range(9_000))
    looked = 0
    window = created_range("created", {"gte": "1000", "lt": "8000"})
    answer = page(home, {"limit": 100, "starting_after": "in_5000", "created": window}, {"status": ["paid"], "customer": ["cus_a"]})
    assert (len(answer.records), answer.has_more) == (100, True)
    assert looked <= 2 * 101 + 2
