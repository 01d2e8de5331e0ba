"""Slips of people who look after connections: a provider's name mistyped, none connected, `-n` read by a program."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.parts.program import Aura
from tests.parts.providers import Town, town_of


@pytest.fixture
def town(aura: Aura, engine: Engine, database_url: str) -> Iterator[Town]:
    """Nobody connected yet, on a database of each kind."""
    with town_of(aura, engine, database_url) as made:
        yield made


def test_a_mistyped_provider(town: Town) -> None:
    """Every verb says that there is none, and which may have been meant; never that it could be connected."""
    [user] = town.people(1)
    for words in (
        ("show", user, "githb"),
        ("list", "--provider", "githb"),
        ("verify", user, "githb"),
        ("refresh", "--provider", "githb"),
        ("access-token", "githb", "--user", user, "--reveal"),
        ("disconnect", "githb", "--user", user),
    ):
        done = town(*words)
        assert (done.exit, "Did you mean github" in done.err) == (5, True), done.err


def test_a_provider_without_a_file(town: Town) -> None:
    """What the web app connected and no file describes is still found by the web app's own name for it."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    town.change(row, provider="legacy-thing")
    assert [one["id"] for one in town("list", "--provider", "legacy-thing", "--json").json] == [row]
    assert town("show", user, "legacy-thing").exit == 0


def test_not_connected(town: Town) -> None:
    """The hint names a provider that `connect` knows, also where several live on one row."""
    [user] = town.people(1)
    for named, known in (("google-docs", "google-docs"), ("google", "google-calendar")):
        done = town("show", user, named)
        assert (done.exit, f"connect {known} --user {user}" in done.err) == (5, True), done.err


def test_a_dry_run_for_a_program(town: Town) -> None:
    """With --json each is one object on standard output, and nothing is written."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    before = town.row(row)
    for words in (("access-token", "linear", "--user", user, "--reveal"), ("disconnect", "linear", "--user", user)):
        done = town(*words, "-n", "--json")
        assert (done.exit, done.json["dry_run"], done.json["provider"]) == (0, True, "linear"), done.err
        assert "sandbox-" not in done.out + done.err
    assert (town.row(row), town.asked()) == (before, 0)
