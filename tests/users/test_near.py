"""Did you mean: a mistyped address leads to the people it may have meant, and a stranger's to nobody."""

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import users
from aura_cli.errors import NotFoundError
from aura_cli.users.near import near
from aura_cli.users.who import resolve

PEOPLE = ["mina.okafor@example.com", "mina.okafer@example.com", "Ravi_100%@Example.com", "leila@example.org", None]


@pytest.fixture
def people(engine: Engine) -> Engine:
    """A few people, one without an address."""
    with writing(engine) as connection:
        for number, email in enumerate(PEOPLE):
            connection.execute(users.insert().values(privy_user_id=f"did:privy:n{number}", email=email))
    return engine


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mina.okafro@example.com", {"mina.okafor@example.com", "mina.okafer@example.com"}),
        ("MINA.okafor@exmaple.com", {"mina.okafor@example.com", "mina.okafer@example.com"}),
        ("ravi_100%@example.co", {"Ravi_100%@Example.com"}),
        ("lelia@example.org", {"leila@example.org"}),
        ("bleila@example.org", {"leila@example.org"}),
        ("somebody.else@example.net", set()),
        ("%@%", set()),
    ],
)
def test_who_may_be_meant(people: Engine, typed: str, meant: set[str]) -> None:
    """A letter too many, too few, swapped, in the name or the domain; a wildcard is a character."""
    with reading(people) as connection:
        assert set(near(connection, typed)) == meant


def test_the_error_says_so(people: Engine) -> None:
    """Whoever names nobody is asked whether they meant the nearest."""
    with reading(people) as connection, pytest.raises(NotFoundError) as unknown:
        resolve(connection, "leila@example.rog")
    assert unknown.value.hint.startswith("Did you mean leila@example.org? ")
