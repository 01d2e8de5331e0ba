"""`aura users sync` of everybody, against the stand-in and on both databases."""

import pytest
from sqlalchemy import func, select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import users
from aura_cli.db.tables import binding
from aura_cli.sandbox.population import Person
from aura_cli.users.tables import privy_users, staged_users
from tests.users.conftest import Desk, counts, facts, row, state


def mailed(desk: Desk, place: int = 0) -> Person:
    """Somebody with an e-mail account and nothing else."""
    return [one for one in desk.population.people if one.email and one.email_verified and not one.google and not one.wallet][place]


def accounts(address: str | None, **verified: object) -> dict[str, object]:
    return {"linked_accounts": [{"type": "email", "address": address, **verified}] if address else []}


def test_everybody_arrives_and_a_second_run_changes_nothing(desk: Desk) -> None:
    """Each person as the population has them, with Privy's time of creation; then nothing is created or updated, and no row touched."""
    number = len(desk.population.people)
    assert counts(desk.sync()) == (number, number, 0, 0, 0, 0)
    with reading(desk.engine) as connection:
        found = {one.privy_user_id: one for one in connection.execute(select(users))}
        remembered = {one.privy_user_id: one for one in connection.execute(select(privy_users))}
    for person in desk.population.people:
        one, privy = found[person.did], remembered[person.did]
        assert (one.email, one.name, one.avatar_url, int(one.created_at.timestamp())) == (
            person.email,
            person.name,
            person.avatar,
            person.created,
        )
        assert privy.verified_email == (person.email if person.email_verified else None)
        assert (privy.created, privy.missing_since) == (person.created, None)
    assert counts(desk.sync()) == (number, 0, 0, number, 0, 0)
    with reading(desk.engine) as connection:
        assert {one.privy_user_id: one for one in connection.execute(select(users))} == found
        assert {one.privy_user_id: one for one in connection.execute(select(privy_users))} == remembered


def test_linked_accounts_are_kept_as_they_are(desk: Desk) -> None:
    """Accounts of a type that nobody knows, and things that are no accounts, survive."""
    odd = [{"type": "mastodon_oauth", "server": "social.test", "depth": {"of": [1, None, 2.5]}}, {"type": "telegram", "photo_url": None}]
    did = desk.privy.post("/_sandbox/users", json={"linked_accounts": odd}).json()["id"]
    desk.sync()
    assert facts(desk.engine, did).linked_accounts == odd
    assert (row(desk.engine, did).email, row(desk.engine, did).name) == (None, None)


def test_changes_are_taken_over_and_nothing_is_erased(desk: Desk) -> None:
    """A new address is written, with `updated_at`; one that Privy no longer has stays, but is no longer held to be verified."""
    moved, erased = mailed(desk, 0), mailed(desk, 1)
    desk.sync()
    before = row(desk.engine, moved.did)
    changed = {**accounts("Moved@example.com", verified_at=1, first_verified_at=None, latest_verified_at=None)}
    desk.privy.patch(f"/_sandbox/users/{moved.did}", json=changed).raise_for_status()
    desk.privy.patch(f"/_sandbox/users/{erased.did}", json=accounts(None)).raise_for_status()
    number = len(desk.population.people)
    assert counts(desk.sync()) == (number, 0, 1, number - 1, 0, 0)
    after = row(desk.engine, moved.did)
    assert (after.email, after.id, after.created_at) == ("Moved@example.com", before.id, before.created_at)
    assert after.updated_at > before.updated_at
    assert facts(desk.engine, moved.did).verified_email is None
    assert row(desk.engine, erased.did).email == erased.email
    assert facts(desk.engine, erased.did).verified_email is None


def test_what_the_web_app_wrote_is_kept(desk: Desk) -> None:
    """A row that the web app made is completed, its id, customer and time of creation left alone."""
    person = next(one for one in desk.population.people if one.google)
    with writing(desk.engine) as connection:
        values = {"privy_user_id": person.did, "stripe_customer_id": "cus_Kept", "avatar_url": "https://images.example.com/own.png"}
        connection.execute(users.insert().values(values))
    before = row(desk.engine, person.did)
    number = len(desk.population.people)
    assert counts(desk.sync()) == (number, number - 1, 1, 0, 0, 0)
    after = row(desk.engine, person.did)
    assert (after.id, after.stripe_customer_id, after.created_at) == (before.id, "cus_Kept", before.created_at)
    assert (after.email, after.name, after.avatar_url) == (person.email, person.name, person.avatar or before.avatar_url)


def test_who_is_gone_is_marked_and_never_deleted(desk: Desk) -> None:
    """Exit 3 with the result printed, again and again while they are gone; somebody who comes back is no longer missing."""
    person = mailed(desk)
    desk.sync()
    user = desk.privy.get(
        f"/v1/users/{person.did}",
        auth=(desk.environment["NEXT_PUBLIC_PRIVY_APP_ID"], desk.environment["PRIVY_APP_SECRET"]),
        headers={"privy-app-id": desk.environment["NEXT_PUBLIC_PRIVY_APP_ID"]},
    ).json()
    desk.privy.delete(f"/_sandbox/users/{person.did}").raise_for_status()
    number = len(desk.population.people)
    assert counts(desk.sync(exit=3)) == (number - 1, 0, 0, number - 1, 1, 0)
    since = facts(desk.engine, person.did).missing_since
    assert since is not None
    assert row(desk.engine, person.did).email == person.email
    assert desk.sync(exit=3)["missing"] == 1
    assert facts(desk.engine, person.did).missing_since == since
    assert [one["privy_user_id"] for one in desk("list", "--missing", "--json").json] == [person.did]
    desk.privy.post("/_sandbox/users", json=user).raise_for_status()
    assert counts(desk.sync()) == (number, 0, 0, number, 0, 0)
    assert facts(desk.engine, person.did).missing_since is None


def test_a_dry_run_tells_each_field_and_writes_nothing(desk: Desk) -> None:
    """`-n` counts as the real run would and lists the fields; neither users nor what Privy says nor the binding is written."""
    person, gone = mailed(desk, 0), mailed(desk, 1)
    number = len(desk.population.people)
    empty = desk.sync("-n")
    assert counts(empty) == (number, number, 0, 0, 0, 0)
    assert {change["privy_user_id"] for change in empty["changes"]} == {one.did for one in desk.population.people}
    assert state(desk.engine) == []
    with reading(desk.engine) as connection:
        assert connection.execute(select(binding.c.privy_app)).scalar() is None
        assert connection.execute(select(func.count()).select_from(privy_users)).scalar() == 0
    desk.sync()
    before = state(desk.engine)
    desk.privy.patch(f"/_sandbox/users/{person.did}", json=accounts("new@example.com", verified_at=1)).raise_for_status()
    desk.privy.delete(f"/_sandbox/users/{gone.did}").raise_for_status()
    planned = desk.sync("-n", exit=3)
    assert (*counts(planned), planned["dry_run"]) == (number - 1, 0, 1, number - 2, 1, 0, True)
    change = {
        "privy_user_id": person.did,
        "user": row(desk.engine, person.did).id,
        "field": "email",
        "before": person.email,
        "after": "new@example.com",
    }
    assert planned["changes"] == [change]
    assert state(desk.engine) == before
    text = desk("sync", "-n")
    assert f"{change['user']}  email: {person.email} → new@example.com" in text.out
    assert "nothing was written" in text.out
    with reading(desk.engine) as connection:
        assert connection.execute(select(func.count()).select_from(staged_users)).scalar() == 0


def test_each_sync_is_one_line_of_the_operator_log(desk: Desk) -> None:
    """Counts for a sync of all, the person for a sync of one; neither holds an address."""
    person = mailed(desk)
    desk.sync()
    desk.sync(str(person.email))
    with reading(desk.engine) as connection:
        log = connection.execute(select(operator_log).order_by(operator_log.c.id)).all()
    assert [(one.what, one.details["created"]) for one in log] == [("users.sync", len(desk.population.people)), ("users.sync", 0)]
    assert log[1].key == person.did
    assert "@" not in str([one.details for one in log])


def test_it_speaks_to_people_and_can_be_quiet(desk: Desk) -> None:
    """One line without --json; none at all with -q."""
    number = len(desk.population.people)
    said = desk("sync")
    assert said.out.startswith(f"{number} scanned, {number} created, 0 updated")
    assert (desk("sync", "-q").out, desk("sync", "-q").err) == ("", "")


def test_another_app_is_refused(desk: Desk) -> None:
    """A database that belongs to one Privy app is not written with another's credentials, in a dry run neither."""
    desk.sync()
    before = state(desk.engine)
    for arguments in (("sync",), ("sync", "-n"), ("sync", mailed(desk).did)):
        done = desk(*arguments, NEXT_PUBLIC_PRIVY_APP_ID="anotherapp0000000000000000")
        assert done.exit == 4
        assert "privy app" in done.err
    assert state(desk.engine) == before


@pytest.mark.parametrize("name", ["NEXT_PUBLIC_PRIVY_APP_ID", "PRIVY_APP_SECRET"])
def test_a_missing_setting_is_named(desk: Desk, name: str) -> None:
    """Exit 4, with the name of the setting; a secret that is refused is exit 4 too."""
    assert name in (done := desk("sync", **{name: ""})).err
    assert done.exit == 4
    assert desk("sync", PRIVY_APP_SECRET="wrong").exit == 4
