"""The walk: every sealed value of every row, whoever wrote it; garbage is counted and stops nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from aura_cli.db.engine import is_sqlite, writing
from aura_cli.integrations.tables import connect_links, revocations
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.status import look
from aura_cli.vault.walk import PLAINTEXT, UNREADABLE, Row, count
from tests.vault.world import NEW, OLD, RETIRED, STRANGE, fill, ring, under

KEYS: KeyRing = ring(OLD, RETIRED)


def test_every_place_counts(engine: Engine) -> None:
    """Columns, metadata at any depth and in lists, providers beyond the catalogue, duplicated rows; each by the key that opens it."""
    deep = {"email": "a@example.com", "list": [1, {"x": under(OLD, "in a list")}], "a": {"b": {"c": [[under(RETIRED, "deep")]]}}}
    rows: list[dict[str, Any]] = [
        {"access_token": under(OLD, "a"), "refresh_token": under(OLD, "b"), "provider": "slack"},
        {"access_token": under(OLD, "a"), "refresh_token": under(OLD, "b"), "provider": "slack"},
        {"access_token": under(RETIRED, "c"), "provider": "llm-openai"},
        {"access_token": under(OLD, "id"), "refresh_token": under(OLD, "secret"), "provider": "aws"},
        {"metadata": {"apiKey": under(OLD, "d"), "secretKey": under(OLD, "e")}, "provider": "amplitude"},
        {"metadata": deep},
        {"metadata": under(OLD, "the whole of it is one text")},
        {"metadata": {"email": "nothing@example.com"}},
        {},
    ]
    fill(engine, rows)
    tally = count(engine, KEYS, (), batch=2)
    assert (tally.values["current"], tally.rows["current"]) == (10, 6)
    assert (tally.values["0"], tally.rows["0"]) == (2, 2)
    assert not tally.values[UNREADABLE]
    assert not tally.values[PLAINTEXT]


SEALED = under(OLD, "token")
GARBAGE = {
    "another key": (under(STRANGE, "x"), UNREADABLE),
    "a digit changed": (SEALED[:-1] + ("0" if SEALED[-1] != "0" else "1"), UNREADABLE),
    "half a byte": (SEALED[:-1], UNREADABLE),
    "cut in the tag": (SEALED[:50], UNREADABLE),
    "cut after the tag": (SEALED[:66], UNREADABLE),
    "a token": ("xoxp-not-sealed", PLAINTEXT),
    "a pair": ("AC123:secret", PLAINTEXT),
    "letters": ("żółw 🐢", PLAINTEXT),
    "a space": (" " + SEALED, PLAINTEXT),
    "very long": ("x" * 200_000, PLAINTEXT),
}


@pytest.mark.parametrize(("value", "what"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_counted(engine: Engine, value: str, what: str) -> None:
    """In either column; with where it was met, and without what it is."""
    fill(engine, [{"access_token": value}, {"refresh_token": value, "access_token": SEALED}, {"access_token": SEALED}])
    tally = count(engine, KEYS, ())
    assert (tally.values[what], tally.rows[what], tally.values["current"]) == (2, 2, 2)
    assert sorted((one.place, one.what) for one in tally.examples) == [("access", what), ("refresh", what)]
    assert value not in repr(tally)


def test_metadata_that_is_no_json_worth_the_name(engine: Engine) -> None:
    """Nested deeper than a parser goes, numbers, texts with quotes: what is sealed in it is found."""
    deep = "[" * 900 + f'"{under(OLD, "deep down")}"' + "]" * 900
    other = f'{{"quoted": "{{\\"key\\": \\"{under(OLD, "in a text")}\\"}}", "n": 12345678901234567890.5}}'
    fill(engine, [{}, {}])
    with writing(engine) as connection:
        table = "integrations" if is_sqlite(connection) else "public.integrations"
        for provider, value in (("provider-000", deep), ("provider-001", other)):
            cast = ":value" if is_sqlite(connection) else "CAST(:value AS jsonb)"
            connection.execute(text(f"UPDATE {table} SET metadata = {cast} WHERE provider = :p"), {"value": value, "p": provider})
    assert count(engine, KEYS, ()).values == {"current": 2}


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4), st.text("0123456789abcdef:", max_size=40))
def test_sealed_values_are_found_between_anything(texts: list[str], noise: str) -> None:
    """In the text of metadata each once, whatever stands around it that is no digit itself."""
    sealed = [under(OLD, text) for text in texts]
    row = Row("id", "provider", None, None, f'{{"noise": "{noise}", "values": ["' + '", "'.join([*sealed, *sealed]) + '"]}')
    assert [text for _, text in row.values()] == list(dict.fromkeys(sealed))


def test_values_of_ours_count(engine: Engine) -> None:
    """Links being used and revocations under way hold sealed values, too."""
    with writing(engine) as connection:
        user = "00000000-0000-4000-8000-000000000001"
        link = {"provider": "slack", "user_id": user, "request": {}, "operator": "tester", "expires_at": text("CURRENT_TIMESTAMP")}
        connection.execute(connect_links.insert().values(digest="one", sealed=under(OLD, "verifier"), **link))
        connection.execute(connect_links.insert().values(digest="two", **link))
        gone = {"integration_id": user, "user_id": user, "provider": "slack"}
        connection.execute(revocations.insert().values(sealed=under(RETIRED, "{}"), **gone))
        connection.execute(revocations.insert().values(sealed="garbage", **gone))
    own = (connect_links.c.sealed, revocations.c.sealed)
    assert count(engine, KEYS, own).own == {"current": 1, "0": 1, PLAINTEXT: 1}


def test_what_needs_a_person(engine: Engine) -> None:
    """Nothing where all is under a good key; each trouble in words otherwise."""
    fill(engine, [{"access_token": SEALED}])
    assert (look(engine, ring(OLD), ()).attention, look(engine, ring(OLD), ()).hint) == ((), "")
    assert "under a retired key" in look(engine, ring(NEW, OLD), ()).attention[0]
    assert "aura keys rotate --switch" in look(engine, ring(NEW, OLD), ()).hint
    assert "not configured" in look(engine, ring(NEW), ()).attention[0]
    assert "is not set" in look(engine, ring(None, OLD), ()).attention[0]
