"""What Stripe may send that nobody expects: repaired as far as it makes sense, refused in a sentence where it makes none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aura_cli.errors import ServiceError
from tests.parts.books import DAY, HOUR, NOW, Books, at, contract, opened, person, population, top_up
from tests.parts.stripe import Asked
from tests.subscriptions.conftest import Keep

A = contract("a")
JSON = dict[str, Any]
Change = Callable[[JSON], object]


def item(of: JSON) -> JSON:
    found: JSON = of["items"]["data"][0]
    return found


def second_item(of: JSON) -> None:
    """Another item with a longer period, a price of its own rhythm and one of the same."""
    first = item(of)
    yearly = {**first["price"], "id": "price_y", "unit_amount": 99, "recurring": {**first["price"]["recurring"], "interval": "year"}}
    of["items"]["data"] += [
        {**first, "id": "si_2", "price": yearly, "current_period_start": NOW - HOUR, "current_period_end": NOW + 300 * DAY},
        {**first, "id": "si_3", "price": {**first["price"], "id": "price_3", "unit_amount": 1100}, "quantity": 2},
    ]


def before_basil(of: JSON) -> None:
    """API versions before 2025-03-31 say the period on the subscription."""
    for name in ("current_period_start", "current_period_end"):
        of[name] = item(of).pop(name) + 60


def period(start: int, end: int) -> JSON:
    return {"period": {"current_period_start": at(start), "current_period_end": at(end)}}


ODD: list[tuple[str, Change, dict[str, JSON]]] = [
    ("no items", lambda of: of["items"].update(data=[]), {}),
    ("items missing", lambda of: of.pop("items"), {}),
    ("no price", lambda of: item(of).update(price=None), {}),
    ("tiered price", lambda of: item(of)["price"].update(unit_amount=None, unit_amount_decimal=None), {}),
    ("huge amount", lambda of: item(of)["price"].update(unit_amount=10**18) or item(of).update(quantity=10**6), {}),
    ("one-off price", lambda of: item(of)["price"].update(recurring=None), {}),
    ("unknown currency", lambda of: item(of)["price"].update(currency="xyz"), {}),
    ("no currency", lambda of: (item(of)["price"].pop("currency"), of.pop("currency")), {}),
    ("expanded customer", lambda of: of.update(customer={"id": of["customer"], "object": "customer", "email": None}), {}),
    ("deleted customer", lambda of: of.update(customer={"id": of["customer"], "object": "customer", "deleted": True}), {}),
    ("several items", second_item, period(NOW - HOUR, NOW + 300 * DAY)),
    (
        "before basil",
        before_basil,
        period(A.period_start + 60, A.period_end + 60),
    ),
    ("unknown status", lambda of: of.update(status="napping", cancel_at_period_end=True), {}),
    ("NUL in the price", lambda of: item(of)["price"].update(id="pri\0ce_n\\u0000"), {"price": {"stripe_price_id": "price_n\\u0000"}}),
    ("NUL alone", lambda of: of.update(description="\0", status="past_due\0"), {"status": {"status": "past_due"}}),
    ("long id", lambda of: item(of)["price"].update(id="price_" + "x" * 1000), {"price": {"stripe_price_id": "price_" + "x" * 1000}}),
    ("new fields", lambda of: of.update(brand_new={"a": [1]}, billing_thresholds=None), {}),
]


def test_odd_subscriptions(keep: Keep) -> None:
    """Only what Stripe clearly says differs is drift; what it does not say erases nothing; and the repair holds."""
    books = keep(*(person(number, replace(A, id=f"sub_{number}", item=f"si_{number}")) for number in range(len(ODD))))
    books.stripe.edit_each("/v1/subscriptions", lambda of: ODD[int(of["id"][4:])][1](of))
    planned = books.plan()
    found: dict[str, JSON] = {name: {} for name, *_ in ODD}
    for one in books.drift(planned):
        found[ODD[int(str(one.subscription)[4:])][0]][one.kind] = one.after
    assert found == {name: expected for name, _, expected in ODD}
    assert books.apply(planned).left == 0
    assert books.found() == []


def test_an_unknown_status_is_told(keep: Keep) -> None:
    """Counted in the report and said aloud, on a resumed scan as well; other fields of that subscription stay as they are, too."""
    books = keep(person(1, A))
    books.stripe.edit_each("/v1/subscriptions", lambda of: of.update(status="napping"))
    books.sql("UPDATE subscriptions SET stripe_price_id = 'price_here'")
    for resume in (False, True):
        planned = books.plan(resume=resume)
        assert (planned.counts, planned.unknown_statuses) == ({}, {"napping": 1})
    assert [note for note in books.notes if "napping" in note]


def test_an_id_of_a_thousand_characters(keep: Keep) -> None:
    """Longer than any that Stripe has made: found missing, inserted, gone."""
    long = "sub_" + "x" * 1000
    books = keep(person(1, contract("x" * 1000)))
    books.sql("DELETE FROM subscriptions")
    assert books.repair().left == 0
    assert books.value("SELECT stripe_subscription_id FROM subscriptions") == long
    assert books.found() == []


def test_ids_here_that_stripe_cannot_have(keep: Keep) -> None:
    """Rows of ours with garbage for an id are missing at Stripe; no address is made of them."""
    garbage = {"", ".", "..", "sub_1/../../account", "sub_1?expand[]=customer", "sub_ü", "sub a"}
    books = keep(person(1))
    for identifier in garbage:
        books.sql("INSERT INTO subscriptions (user_id, stripe_subscription_id) VALUES (:user, :id)", user=person(1).uuid, id=identifier)
    assert {(change.kind, change.key) for change in books.found()} == {("missing_remotely", identifier) for identifier in garbage}
    assert books.stripe.count().keys() == {"subscriptions", "sessions"}


TOKENS = ["", "0", "-5", "1e6", "1.5", "٣", "½", "1_000", "9" * 400, "1000000001", "ten", "\0", " 5"]


def test_top_ups_with_garbage_for_tokens_grant_nothing(keep: Keep) -> None:
    """A paid top-up whose number makes no sense is not guessed at, and not forgotten either; one that does is granted."""
    bought = tuple(top_up(f"t{number}", age=DAY + number) for number in range(len(TOKENS) + 2))
    books = keep(person(1, A, top_ups=bought))
    books.sql("DELETE FROM token_top_ups")
    wrong = {f"cs_test_t{number}": tokens for number, tokens in enumerate(TOKENS)}

    def spoil(session: JSON) -> None:
        if session["id"] in wrong:
            session["metadata"]["tokens"] = wrong[session["id"]]
        elif session["id"].endswith(str(len(TOKENS))):
            session["amount_total"] = 10**12

    books.stripe.edit_each("/v1/checkout/sessions", spoil)
    result = books.repair()
    assert result.counts == {"ambiguous_link": len(TOKENS), "topup_missing": 2}
    assert result.left == len(TOKENS)
    assert books.value("SELECT MAX(amount_paid) FROM token_top_ups") == 2_147_483_647


def test_only_paid_top_ups_count(keep: Keep) -> None:
    """A checkout for something else, one that was not paid, and one without metadata are no top-ups."""
    books = keep(person(1, A, top_ups=tuple(top_up(name) for name in "abcd")))
    books.sql("DELETE FROM token_top_ups")
    changes: dict[str, JSON] = {
        "a": {"mode": "subscription"},
        "b": {"payment_status": "unpaid"},
        "c": {"metadata": {"type": "gift"}},
        "d": {"metadata": None},
    }
    books.stripe.edit_each("/v1/checkout/sessions", lambda session: session.update(changes[session["id"][-1]]))
    assert books.found() == []


def test_a_top_up_of_nobody_is_reported(keep: Keep) -> None:
    """Paid by a customer whom nobody knows, for a user who does not exist: for a person to look at."""
    books = keep(person(1, A, top_ups=(top_up("t"),)))
    books.sql("DELETE FROM token_top_ups")
    books.stripe.edit_each(
        "/v1/checkout/sessions", lambda session: session.update(customer=None, metadata={**session["metadata"], "user_id": "x\0"})
    )
    result = books.repair()
    assert (result.counts, result.left) == ({"ambiguous_link": 1}, 1)


NONSENSE: list[tuple[str, Callable[[Asked, Any], Any]]] = [
    ("no JSON", lambda asked, answer: b"<html><body>Sign in to the airport's network</body></html>"),
    ("empty", lambda asked, answer: b""),
    ("half", lambda asked, answer: json.dumps(answer).encode()[:-3]),
    ("an error with 200", lambda asked, answer: {"error": {"message": "no", "type": "api_error"}}),
    ("a list", lambda asked, answer: [answer]),
    ("null", lambda asked, answer: None),
    ("data is no list", lambda asked, answer: {**answer, "data": "x"}),
    ("no id", lambda asked, answer: {**answer, "data": [{"object": "subscription"}]}),
    ("number too large", lambda asked, answer: {**answer, "data": [{**one, "created": 10**30} for one in answer["data"]]}),
    ("the same page for ever", lambda asked, answer: {**answer, "has_more": True}),
    ("back to the first page", lambda asked, answer: {**answer, "has_more": True, "data": answer["data"] * 2}),
]


@pytest.mark.parametrize("edit", [case[1] for case in NONSENSE], ids=[case[0] for case in NONSENSE])
def test_an_answer_that_makes_no_sense(sqlite_database: str, tmp_path: Path, edit: Callable[[Asked, Any], Any]) -> None:
    """Exit 7 in one sentence: no plan is made, nothing is written, and it comes to an end."""
    with opened(sqlite_database, population(person(1, A), person(2, contract("b", age=HOUR))), tmp_path) as books:
        _makes_no_sense(books, edit)


def _makes_no_sense(books: Books, edit: Callable[[Asked, Any], Any]) -> None:
    before = books.shared()
    first: list[Any] = []

    def spoil(asked: Asked, answer: Any) -> Any:
        if asked.path != "/v1/subscriptions":
            return answer
        first.append(answer)
        return edit(asked, first[0])  # whatever page was asked for

    books.stripe.edit = spoil
    with pytest.raises(ServiceError):
        books.plan()
    assert books.shared() == before
    assert len(books.stripe.asked) < 50  # each thread asked once or twice


def test_an_answer_without_objects_and_more_to_come_ends(keep: Keep) -> None:
    """`has_more` with an empty page is the end: there is nothing to go on from."""
    books = keep(person(1))
    books.stripe.edit = lambda asked, answer: {**answer, "has_more": True} if "data" in answer else answer
    assert books.found() == []
