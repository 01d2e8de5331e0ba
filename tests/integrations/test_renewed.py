"""What `aura integrations refresh` makes of token answers of every shape."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aura_cli.integrations.store import fields_of
from tests.parts.providers import Town


@pytest.mark.parametrize(
    ("kind", "value", "lasts"),
    [
        ("form", None, 86_399),
        ("expires_in", "3600", 3600),
        ("expires_in", 0, 86_399),
        ("expires_in", None, 86_399),
        ("expires_in", "soon", 86_399),
        ("scope", ["a", "b"], 86_399),
        ("scope", "a,b c", 86_399),
    ],
)
def test_odd_token_answers(town: Town, kind: str, value: object, lasts: int) -> None:
    """Form-encoded, a lifetime as text, none or nonsense (what the file says counts then), scopes in another notation."""
    [row] = town.connect("linear", town.people(1))
    town.order(kind, value=value)
    assert town.refresh()["refreshed"] == 1
    ends = town.row(row).token_expiry - datetime.now(UTC)
    assert abs(ends.total_seconds() - lasts) < 30
    if kind == "scope":
        assert town.row(row).scopes == (["a", "b"] if isinstance(value, list) else ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["error_with_200", "nothing", "html", "access_token"])
def test_answers_that_are_no_token(town: Town, kind: str) -> None:
    """An error with status 200, nothing, a page, no access token: nothing is written into the row."""
    [row] = town.connect("linear", town.people(1))
    before = town.row(row)
    town.order(kind, value=None)
    town.refresh(exit=9)
    assert town.row(row) == before
    assert town.known(row).health in ("ok", "failing")


def test_renewed_without_a_refresh_token(town: Town) -> None:
    """The application's own token is asked for anew, and a session logs in again with the credentials in the row."""
    users = town.people(2)
    [app] = town.connect("greenhouse", users[:1], **typed(town, "greenhouse"))
    [session] = town.connect("bill-com", users[1:], **typed(town, "bill-com"))
    before = town.secret(app, "access_token"), town.secret(session, "access_token")
    kept = town.row(session).metadata
    assert town.refresh()["refreshed"] == 2
    assert town.secret(app, "access_token") != before[0]
    assert town.secret(session, "access_token") != before[1]
    assert town.row(session).metadata == kept
    assert town.row(session).token_expiry > datetime.now(UTC) + timedelta(minutes=30)


def typed(town: Town, provider: str) -> dict[str, Any]:
    """A row's columns with what the stand-in lets a person type, each in the place that the provider's file says."""
    given, known = town.sandbox(f"providers/{provider}")["credentials"], town.state.catalogue.get(provider)
    columns: dict[str, Any] = {"metadata": {}}
    for name, one in fields_of(known).items():
        column, _, place = (one.stored or f"metadata.{name}").partition(".")
        value = town.vault.seal(given[name]) if one.secret else given[name]
        columns |= {"metadata": {**columns["metadata"], place: value}} if place else {column: value}
    return columns
