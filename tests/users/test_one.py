"""`aura users sync WHO`, by each form of identifier, and with an access token."""

import pytest

from aura_cli.db.engine import writing
from aura_cli.db.shared import subscriptions, users
from tests.users.conftest import Desk, counts, facts, row, state


@pytest.fixture
def known(desk: Desk) -> dict[str, str]:
    """Somebody who is known here, by every identifier there is."""
    person = next(one for one in desk.population.people if one.email and not one.google)
    desk.sync(person.did)
    with writing(desk.engine) as connection:
        connection.execute(users.update().values(stripe_customer_id="cus_Known"))
        user = row(desk.engine, person.did).id
        connection.execute(subscriptions.insert().values(user_id=user, stripe_subscription_id="sub_Known", status="active"))
    return {"id": user, "did": person.did, "email": str(person.email), "customer": "cus_Known", "subscription": "sub_Known"}


@pytest.mark.parametrize("form", ["id", "did", "email", "customer", "subscription"])
def test_one_person_by_any_identifier(desk: Desk, known: dict[str, str], form: str) -> None:
    """Only this person is asked for and written; upper and lower case of uuids and addresses are alike."""
    desk.privy.patch(f"/_sandbox/users/{known['did']}", json={"linked_accounts": [{"type": "google_oauth", "name": "New Name"}]})
    who = known[form].upper() if form in ("id", "email") else known[form]
    assert counts(desk.sync(who)) == (1, 0, 1, 0, 0, 0)
    assert row(desk.engine, known["did"]).name == "New Name"
    assert counts(desk.sync(who)) == (1, 0, 0, 1, 0, 0)
    assert len(state(desk.engine)) == 1


def test_somebody_new_is_asked_from_privy(desk: Desk) -> None:
    """By DID and by e-mail address; -n tells and writes nothing."""
    first, second = [one for one in desk.population.people if one.email and not one.google][:2]
    planned = desk.sync("-n", first.did)
    assert counts(planned) == (1, 1, 0, 0, 0, 0)
    assert {change["field"] for change in planned["changes"]} == {"privy_user_id", "email"}
    assert state(desk.engine) == []
    assert counts(desk.sync(first.did)) == (1, 1, 0, 0, 0, 0)
    assert counts(desk.sync(str(second.email))) == (1, 1, 0, 0, 0, 0)
    assert {one[0] for one in state(desk.engine)} == {first.did, second.did}


def test_a_lookup_by_address_is_tried_again(desk: Desk) -> None:
    """Privy takes the address in a POST, which changes nothing there: a 500 is no reason to give up."""
    person = next(one for one in desk.population.people if one.email and not one.google)
    desk.privy.post("/_sandbox/faults", json={"server_error": 0.4, "seed": 1}).raise_for_status()
    for _ in range(3):
        assert counts(desk.sync("-n", str(person.email))) == (1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("did:privy:cnobody", 5),
        ("nobody@example.com", 5),
        ("cus_Nobody", 5),
        ("sub_Nobody", 5),
        ("00000000-0000-4000-8000-000000000000", 5),
        ("nonsense", 2),
        ("in_1", 2),
    ],
)
def test_nobody(desk: Desk, who: str, code: int) -> None:
    """Known neither here nor at Privy: exit 5. No identifier at all: exit 2."""
    assert desk("sync", who).exit == code


def test_somebody_who_is_gone(desk: Desk, known: dict[str, str]) -> None:
    """A 404 for a person that is known here marks them; exit 3; a dry run marks nobody."""
    desk.privy.delete(f"/_sandbox/users/{known['did']}").raise_for_status()
    assert desk.sync("-n", known["id"], exit=3)["missing"] == 1
    assert facts(desk.engine, known["did"]).missing_since is None
    assert counts(desk.sync(known["id"], exit=3)) == (0, 0, 0, 0, 1, 0)
    assert facts(desk.engine, known["did"]).missing_since is not None


def test_the_owner_of_a_token(desk: Desk) -> None:
    """`-` reads a token, verifies it and syncs its owner; a bad one is refused before anything is asked or written."""
    person = desk.population.people[0]
    done = desk("sync", "-", "--json", input=desk.token(person.did))
    assert (done.exit, counts(done.json)) == (0, (1, 1, 0, 0, 0, 0))
    other = desk.token(desk.population.people[1].did, expires_in=-60)
    refused = desk("sync", "-", input=other)
    assert refused.exit == 4
    assert "expired" in refused.err
    assert len(state(desk.engine)) == 1


def test_fresh_is_for_everybody(desk: Desk) -> None:
    """--fresh with one person is a mistake on the command line."""
    assert desk("sync", "did:privy:c1", "--fresh").exit == 2


def test_one_who_cannot_be_taken_over(desk: Desk) -> None:
    """Exit 9, the person named by DID and not by address."""
    accounts = [{"type": "email", "address": "not an address"}]
    did = desk.privy.post("/_sandbox/users", json={"linked_accounts": accounts}).json()["id"]
    done = desk("sync", did, "--json")
    assert (done.exit, counts(done.json)) == (9, (1, 0, 0, 0, 0, 1))
    assert did in done.err
    assert "not an address" not in done.err
    assert state(desk.engine) == []
