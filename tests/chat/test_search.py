"""Search in what was said, on both databases."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from aura_cli.chat import sessions
from aura_cli.chat.search import _POSTGRESQL, search
from aura_cli.db.engine import is_sqlite, reading, writing
from aura_cli.errors import UsageError
from tests.chat.conftest import Desk

SAID = {
    "refund": "A refund of the last invoice was asked for, and the card is past due since Monday",
    "trial": "The trial ends; nobody asked for a refund here (test data)",
    "greek": "Ελληνικά και 漢字 and naïve café",
}


@pytest.fixture
def spoken(engine: Engine) -> Engine:
    """A database in which something was said."""
    with writing(engine) as connection:
        for number, (title, words) in enumerate(SAID.items()):
            session = f"{number:08}-0000-4000-8000-000000000000"
            sessions.start(connection, session, title, "gpt-4o-mini", "ada", system=None, user_id=None)
            sessions.ask(connection, session, words, "gpt-4o-mini", None)
    return engine


def titles(engine: Engine, query: str, **more: Any) -> set[str]:
    return {found.title for found in search(engine, query, **more)}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("refund", {"refund", "trial"}),
        ("REFUND invoice", {"refund"}),
        ("refund -test", {"refund"}),
        ('"past due"', {"refund"}),
        ('"due past"', set()),
        ("invoice OR trial", {"refund", "trial"}),
        ('refund -"test data" OR Ελληνικά', {"refund", "greek"}),
        ("nothing-like-this", set()),
        ("monday!!! (card)", {"refund"}),
        ("and AND the NOT", set()),
    ],
)
def test_queries(spoken: Engine, query: str, found: set[str]) -> None:
    """Words that must all be there, phrases, unwanted words, groups: the same on both databases."""
    assert titles(spoken, query) == found


@pytest.mark.parametrize("query", ["", "   ", "!!! ---", "-refund", "refund OR -trial", '""'])
def test_nothing_to_look_for(spoken: Engine, query: str) -> None:
    """Told, rather than everything or an error of the database."""
    with pytest.raises(UsageError, match="no word"):
        list(search(spoken, query))


@given(
    query=st.text(max_size=40)
    | st.lists(st.sampled_from(["refund", '"', "-", "OR", "NEAR(", "*", "^", ":", "AND", "{", ")", "\\", "'"])).map(" ".join)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_is_syntax(spoken: Engine, query: str) -> None:
    """Whatever is typed is looked for, or refused as nothing to look for."""
    with suppress(UsageError):
        list(search(spoken, query))


@pytest.mark.parametrize(("letters", "first"), [(3, "a"), (2, "\U00020000"), (4, "\u4e00"), (5000, "a")])
def test_no_message_is_too_much(engine: Engine, letters: int, first: str) -> None:
    """However many different words a message has, in whatever script, and however long they are, it is kept; its first are found."""
    begin = ord(first)
    words = [
        "".join(chr(begin + number // 25**place % 25) for place in range(min(letters, 4))) + first * (letters - 4)
        for number in range(400_000 // (letters + 1))
    ]
    session = "00000000-0000-4000-8000-000000000000"
    with writing(engine) as connection:
        sessions.start(connection, session, "much", "gpt-4o-mini", "ada", system=None, user_id=None)
        sessions.ask(connection, session, " ".join(words), "gpt-4o-mini", None)
    if letters < 100:
        assert titles(engine, words[0]) == {"much"}


def test_the_index_is_used(spoken: Engine) -> None:
    """PostgreSQL finds words by its index."""
    with reading(spoken) as connection:
        if is_sqlite(connection):
            return  # FTS5 is an index itself
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text("EXPLAIN " + _POSTGRESQL), {"query": "refund", "since": "2000-01-01", "most": 10}).scalars()
        assert any("chat_messages_words" in line for line in plan)


def test_found_by_the_program(desk: Desk) -> None:
    """A question and its answer are found, with what was looked for marked; what is deleted is found no more."""
    desk.model.says("The **webhook** of Tuesday was lost")
    found = desk.ask("Which webhook was lost?")
    rows = desk("search", "webhook", "lost", "--json").json
    assert {(row["session"], row["number"], row["role"]) for row in rows} == {
        (found["session"], 1, "user"),
        (found["session"], 2, "assistant"),
    }
    assert all("»webhook«" in row["snippet"] for row in rows)
    assert desk("search", "webhook", "--since", "1h", "--limit", "1", "--format", "jsonl").out.count("\n") == 1
    assert len(desk("search", "webhook", "-tuesday", "--json").json) == 1
    assert "no word to look for" in desk("search", "-webhook", exit=2).err
    desk("delete", found["session"], "--yes")
    assert desk("search", "webhook", "--json").json == []
