"""What Google would drop, found before it is sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.analytics.collecting import client_id, request_body
from aura_cli.analytics.rules import RESERVED_EVENTS, Code, personal, problems

PURCHASE = {"transaction_id": "in_1", "value": 9.99, "currency": "EUR", "items": [{"item_id": "price_1", "quantity": 1}]}


def found(event: str, parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and code of every problem."""
    return [(one.path, one.code) for one in problems(request_body("1.2", event, parameters))]


@pytest.mark.parametrize(
    ("event", "parameters"),
    [
        ("sign_up", {}),
        ("login", {"method": "x" * 100}),
        ("a" * 40, {"b" * 40: 1.5}),
        ("view", {"page_title": "x" * 300, "page_location": "y" * 1000}),
        ("many", {f"p{number}": number for number in range(25)}),
        ("purchase", PURCHASE),
        ("refund", {name: value for name, value in PURCHASE.items() if name != "items"}),
        ("debugging", {"debug_mode": True}),
    ],
)
def test_what_is_right(event: str, parameters: dict[str, Any]) -> None:
    """Nothing is found, up to each limit."""
    assert found(event, parameters) == []


@pytest.mark.parametrize(
    ("event", "parameters", "expected"),
    [
        ("", {}, [("events[0].name", Code.VALUE_REQUIRED)]),
        ("2fast", {}, [("events", Code.NAME_INVALID)]),
        ("_hidden", {}, [("events", Code.NAME_INVALID)]),
        ("with space", {}, [("events", Code.NAME_INVALID)]),
        ("größe", {}, [("events", Code.NAME_INVALID)]),
        ("line\n", {}, [("events", Code.NAME_INVALID)]),
        ("a" * 41, {}, [("events", Code.NAME_INVALID)]),
        ("ga_event", {}, [("events", Code.NAME_RESERVED)]),
        ("login", {"firebase_x": 1}, [("events[0].params", Code.NAME_RESERVED)]),
        ("login", {"google_x": 1}, [("events[0].params", Code.NAME_RESERVED)]),
        ("login", {"a-b": 1}, [("events[0].params", Code.NAME_INVALID)]),
        ("login", {"firebase_conversion": 1}, [("events[0].params", Code.NAME_RESERVED)] * 2),
        ("login", {"method": "x" * 101}, [("events[0].params.method", Code.VALUE_OUT_OF_BOUNDS)]),
        ("login", {"method": None}, [("events[0].params.method", Code.VALUE_INVALID)]),
        ("login", {"method": {"a": 1}}, [("events[0].params.method", Code.VALUE_INVALID)]),
        ("login", {"score": float("nan")}, [("events[0].params.score", Code.VALUE_INVALID)]),
        ("login", {"score": float("-inf")}, [("events[0].params.score", Code.VALUE_INVALID)]),
        ("login", {f"p{number}": 1 for number in range(26)}, [("events[0].params", Code.EXCEEDED_MAX_ENTITIES)]),
        ("login", {"value": 1}, [("events[0].params.currency", Code.VALUE_REQUIRED)]),
        ("login", {"value": "1", "currency": "EUR"}, [("events[0].params.value", Code.VALUE_INVALID)]),
        ("purchase", {**PURCHASE, "currency": "euro"}, [("events[0].params.currency", Code.VALUE_INVALID)]),
        ("purchase", {**PURCHASE, "items": []}, [("events[0].params.items", Code.VALUE_REQUIRED)]),
        ("purchase", {**PURCHASE, "items": "one"}, [("events[0].params.items", Code.VALUE_INVALID)]),
        ("purchase", {**PURCHASE, "items": [{"quantity": 1}]}, [("events[0].params.items[0]", Code.VALUE_REQUIRED)]),
        ("purchase", {**PURCHASE, "items": [{"item_id": "a"}] * 201}, [("events[0].params.items", Code.EXCEEDED_MAX_ENTITIES)]),
        ("refund", {"value": 1, "currency": "EUR"}, [("events[0].params.transaction_id", Code.VALUE_REQUIRED)]),
    ],
)
def test_what_is_wrong(event: str, parameters: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each rule that is broken is named, with where."""
    assert found(event, parameters) == expected


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
def test_reserved_names(name: str) -> None:
    """Google's own events are nobody else's."""
    assert ("events", Code.NAME_RESERVED) in found(name, {})


def test_whole_requests() -> None:
    """Without a client, without events, with too many, too large, or of another shape."""
    event = {"name": "login", "params": {}}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"events": [event]}, "client_id"),
        ({"client_id": 5, "events": [event]}, "client_id"),
        ({"client_id": "1.2"}, "events"),
        ({"client_id": "1.2", "events": event}, "events"),
        ({"client_id": "1.2", "events": [event] * 26}, "events"),
        ({"client_id": "1.2", "events": ["login"]}, "events[0].name"),
        ({"client_id": "1.2", "events": [{"name": "login", "params": [1]}]}, "events[0].params"),
    ]
    for body, path in wrong:
        assert [one.path for one in problems(body)] == [path], body
    item = {"item_id": "x" * 100, "item_name": "y" * 100}
    large = {"client_id": "1.2", "events": [{"name": "login", "params": {"items": [item] * 200}}] * 4}
    assert [one.code for one in problems(large)] == [Code.VALUE_OUT_OF_BOUNDS]


SCALARS = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
SHAPES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(max_size=5), each))


@given(SHAPES)
def test_any_shape(body: Any) -> None:
    """Whatever comes as an event's parameters, or as events, the answer is a list of problems."""
    for events in (body, [body], [{"name": "login", "params": body}], [{"name": "purchase", "params": {"items": body, "value": body}}]):
        assert isinstance(list(problems({"client_id": "1.2", "events": events})), list)


@given(st.uuids(), st.uuids())
def test_client_ids(one: Any, other: Any) -> None:
    """Two numbers with a point, as browsers have them; always the same for a user, and not another's; the user's id is not in it."""
    made = client_id(str(one))
    left, _, right = made.partition(".")
    assert left.isdigit()
    assert right.isdigit()
    assert max(int(left), int(right)) < 2**31
    assert made == client_id(str(one))
    assert (made == client_id(str(other))) == (one == other)
    assert str(one) not in json.dumps(request_body(made, "login", {}))


@pytest.mark.parametrize(
    ("value", "told"),
    [("someone@example.com", True), ("x someone%40example.com", True), ([{"item_id": "a@example.com"}], True), ("@", False), (9.99, False)],
)
def test_what_names_a_person(value: object, told: bool) -> None:
    """An address is found wherever it stands."""
    assert list(personal({"about": value})) == ["about"] * told
