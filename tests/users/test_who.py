"""WHO: each form of identifier, ambiguous and unknown ones, and anything else that a person may type."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import subscriptions, users
from aura_cli.errors import NotFoundError, UsageError
from aura_cli.users.who import Form, form_of, resolve

IDS = [f"0000000{number}-0000-4000-8000-00000000000a" for number in range(3)]


@pytest.fixture
def people(engine: Engine) -> Engine:
    """Three people: the first two share an address but for its case, and a customer."""
    with writing(engine) as connection:
        for number, identifier in enumerate(IDS):
            connection.execute(
                users.insert().values(
                    id=identifier,
                    privy_user_id=f"did:privy:c{number}",
                    email=["Ana@example.com", "ana@EXAMPLE.com", "zoë@example.com"][number],
                    stripe_customer_id=["cus_Shared", "cus_Shared", "cus_Own"][number],
                )
            )
        connection.execute(subscriptions.insert().values(user_id=IDS[2], stripe_subscription_id="sub_Own"))
    return engine


@pytest.mark.parametrize("who", [IDS[2], IDS[2].upper(), "did:privy:c2", "cus_Own", "sub_Own", "zoë@example.com", "ZOë@Example.com"])
def test_one_person(people: Engine, who: str) -> None:
    """Every form leads to the same person."""
    with reading(people) as connection:
        person = resolve(connection, who)
    assert (person.id, person.privy_user_id, person.stripe_customer_id) == (IDS[2], "did:privy:c2", "cus_Own")


@pytest.mark.parametrize("who", ["ANA@example.com", "cus_Shared"])
def test_several_people(people: Engine, who: str) -> None:
    """Exit 2 and the candidates by id alone."""
    with reading(people) as connection, pytest.raises(UsageError) as refused:
        resolve(connection, who)
    assert refused.value.message == f"{who} is 2 people"
    assert refused.value.hint.endswith(f"{IDS[0]}, {IDS[1]}")


@pytest.mark.parametrize(
    "who", ["did:privy:cnobody", "nobody@example.com", "cus_None", "sub_None", IDS[0].replace("0", "9"), "a_b@example.com"]
)
def test_nobody(people: Engine, who: str) -> None:
    """Exit 5."""
    with reading(people) as connection, pytest.raises(NotFoundError):
        resolve(connection, who)


@pytest.mark.parametrize(
    "who", ["", " ", "ana", "did:web:example.com", "did:privy:", "cus_", "sub_a b", "a@b@c", "@", "a@", "evt_1", "x" * 9000]
)
def test_no_identifier(who: str) -> None:
    """Exit 2, with the forms that there are, and not all of a long text."""
    with pytest.raises(UsageError) as refused:
        form_of(who)
    assert "e-mail" in refused.value.hint
    assert len(refused.value.message) < 200


def test_more_people_than_one_wants_to_read(people: Engine) -> None:
    """Ten candidates are enough."""
    with writing(people) as connection:
        connection.execute(users.insert(), [{"privy_user_id": f"did:privy:d{number}", "email": "many@example.com"} for number in range(30)])
        with pytest.raises(UsageError) as refused:
            resolve(connection, "many@example.com")
    assert "more than 10" in refused.value.message
    assert refused.value.hint.count(",") == 10


@given(
    who=st.text()
    | st.from_regex(r"(cus|sub|did:privy)[_:].*")
    | st.emails()
    | st.uuids().map(str)
    | st.text(st.characters()).map("{}@x".format)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_that_is_typed(engine: Engine, who: str) -> None:
    """It is nobody's, or it is no identifier; the database never sees what it could not take."""
    with reading(engine) as connection, pytest.raises((UsageError, NotFoundError)):
        resolve(connection, who)


@given(st.uuids().map(str))
def test_ids_are_ids(identifier: str) -> None:
    """Forms do not overlap."""
    assert form_of(identifier) is Form.ID
