"""`aura explain`: eight planted stories, each named by its first broken link, and repaired by the command that it gives."""

from datetime import datetime
from typing import Any

import pytest

from aura_cli.sandbox import web_app
from aura_cli.sandbox.generation import PRO_MONTHLY
from tests.insight.desk import Desk
from tests.parts.loopback import plain_client, serving
from tests.parts.resend import post

REFUSED: dict[str, Any] = {"health": "needs_consent", "failure": "needs_consent", "error": "invalid_grant", "failures": 1}


def test_nothing_is_broken(desk: Desk) -> None:
    """Who has what they paid for: no verdict, exit 0, what they have, the story in order of time; nothing is written."""
    desk.hear("sub_one")
    before = desk.state()
    found = desk.explain()
    assert found["verdict"] is None
    assert found["others"] == found["away"] == []
    assert found["standing"][0].startswith("Has access: the subscription is active until ")
    assert [one["email"] for one in found["people"]] == ["person1@example.com"]
    sources = {moment["source"] for moment in found["timeline"]}
    assert {"app", "privy", "stripe", "webhooks"} <= sources
    times = [datetime.fromisoformat(moment["at"]) for moment in found["timeline"]]
    assert times == sorted(times)
    assert desk.state() == before


def test_paid_but_no_tokens(desk: Desk) -> None:
    """Access without a balance; a reconcile of this person grants it."""
    desk.books.sql("DELETE FROM token_balances")
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict["link"] == "tokens"
    assert verdict["fix"] == f"aura subscriptions reconcile {desk.person.uuid} --apply"
    desk.repair(verdict["fix"])
    assert desk.explain()["verdict"] is None


def test_a_top_up_without_its_tokens(desk: Desk) -> None:
    """Asked by the checkout's own id, which nothing here knows."""
    desk.books.sql("DELETE FROM token_top_ups")
    verdict = desk.explain("cs_test_one", exit=3)["verdict"]
    assert verdict["link"] == "tokens"
    assert "cs_test_one was paid, and its 1,000,000 tokens were never granted" in verdict["what"]
    desk.repair(verdict["fix"])
    assert desk.explain("cs_test_one")["verdict"] is None


def test_webhook_dead(desk: Desk) -> None:
    """An event that was given up, by the person and by its own id; handled again it is well."""
    event = desk.hear("sub_one")[0]
    desk.give_up(event, "Stripe answered 500")
    for asked in (desk.person.email, event):
        found = desk.explain(asked or "", exit=3)
        assert found["verdict"]["link"] == "webhooks"
        assert found["verdict"]["fix"] == f"aura webhooks replay {event}"
        assert "Stripe answered 500" in found["verdict"]["what"]
        assert [one["key"] for one in found["timeline"] if one["broken"]] == [event]
    desk.repair(found["verdict"]["fix"])
    assert desk.explain(event)["verdict"] is None


def test_unknown_customer(desk: Desk) -> None:
    """A customer that nobody here is linked to: the one who fits is named, and linked."""
    desk.books.sql("DELETE FROM subscriptions")
    desk.books.sql("UPDATE users SET stripe_customer_id = NULL")
    verdict = desk.explain("cus_person1", exit=3)["verdict"]
    assert verdict["link"] == "customer"
    assert verdict["what"] == f"Nobody here is known by cus_person1; by what Stripe says it is {desk.person.uuid}"
    assert desk.explain(exit=3)["verdict"] == {**verdict}  # asked by the person, whose customer only Stripe can name
    desk.repair(verdict["fix"])
    assert desk.explain("cus_person1")["verdict"] is None


def test_consent_lost(desk: Desk) -> None:
    """A connection that its provider refuses: a link for the person to consent anew."""
    desk.connect("slack", **REFUSED)
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict["link"] == "connections"
    assert verdict["what"] == "Slack needs consent anew: invalid_grant"
    assert verdict["fix"] == f"aura integrations connect slack --user {desk.person.uuid} --link"


@pytest.mark.parametrize("asked", ["guest@example.com", "person1@example.com"])
def test_invite_never_sent(desk: Desk, asked: str) -> None:
    """The web app makes invitations and sends none: told of who was invited, who is nobody here, and of who invited."""
    desk.invite("guest@example.com")
    verdict = desk.explain(asked, exit=3)["verdict"]
    assert verdict["link"] == "mail"
    assert "guest@example.com was invited by person1@example.com" in verdict["what"]
    assert verdict["fix"] == f"aura email invite --workspace {desk.person.uuid} --email guest@example.com --resend"
    with post() as resend, serving(web_app.make_app(web_app.WebAppState())) as base:
        desk.repair(verdict["fix"], env={**resend.env, "NEXT_PUBLIC_APP_URL": base})
        assert [tuple(one.message.to) for one in resend.mails] == [("guest@example.com",)]
    assert desk.explain(asked)["verdict"] is None


def test_suppressed_address(desk: Desk) -> None:
    """An address that gets no mail: let it get some again."""
    assert desk("email", "suppress", "Person1@example.com").exit == 0
    verdict = desk.explain(exit=3)["verdict"]
    assert (verdict["link"], verdict["fix"]) == ("mail", "aura email suppress --remove person1@example.com")
    desk.repair(verdict["fix"])
    assert desk.explain()["verdict"] is None


def test_duplicate_customer(desk: Desk) -> None:
    """Two rows of one person, by an address that Privy has verified for both: the one that pays stays, and takes the other in."""
    desk.change_user(2, email="Person1@example.com")
    desk.verify("person1@example.com", desk.people)
    found = desk.explain("person1@example.com", exit=3)
    assert found["verdict"]["link"] == "customer"
    assert [one["id"] for one in found["people"]] == [one.uuid for one in desk.people]
    assert found["verdict"]["fix"] == f"aura users merge {desk.people[1].uuid} {desk.people[0].uuid} --apply"
    desk.repair(found["verdict"]["fix"])
    assert desk.explain("person1@example.com")["verdict"] is None
    merged = desk.explain(desk.people[1].uuid)
    assert [one["id"] for one in merged["people"]] == [desk.person.uuid]
    assert "another account was merged in" in [moment["what"] for moment in merged["timeline"]]


def test_who_may_be_two_people(desk: Desk) -> None:
    """An address that Privy has verified for one alone, and a shared customer, prove nothing: the merge is planned, and no more."""
    desk.change_user(2, email="Person1@example.com")
    desk.verify("person1@example.com", desk.people[:1])
    merge = f"aura users merge {desk.people[1].uuid} {desk.people[0].uuid}"
    verdict = desk.explain("person1@example.com", exit=3)["verdict"]
    assert (verdict["link"], verdict["fix"]) == ("customer", merge)
    desk.change_user(2, email="person2@example.com", stripe_customer_id="cus_person1")
    verdict = desk.explain("cus_person1", exit=3)["verdict"]
    assert (verdict["link"], verdict["fix"]) == ("customer", merge)
    desk.repair(f"{merge} --apply")
    assert desk.explain("cus_person1")["verdict"] is None


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("INTEGRATION_ENCRYPTION_KEY", "sandbox-key-of-another-environment-0000", "key fingerprint"),
        ("NEXT_PUBLIC_PRIVY_APP_ID", "sandboxapp000000000000001", "privy app"),
        ("STRIPE_SECRET_KEY", "sk_live_sandbox_Another0000", "stripe mode"),
    ],
)
def test_wrong_environment_key(desk: Desk, variable: str, value: str, named: str) -> None:
    """A value of another environment than the database is bound to: named before all that follows from it."""
    assert desk("subscriptions", "reconcile", desk.person.uuid).exit == 0  # binds
    desk.connect("slack")
    found = desk.explain(exit=3, **{variable: value})
    assert found["verdict"]["link"] == "settings"
    assert found["verdict"]["what"].startswith(f"{variable} is of another environment: the database belongs to {named} ")
    assert found["verdict"]["fix"] == "aura env check"


def test_somebody_who_was_erased(desk: Desk) -> None:
    """Who is nobody any more is told to be, by whichever id; that their customer is still billed is what is broken, until it is deleted."""
    done = desk("users", "erase", desk.person.uuid, "--apply", "--no-stripe", "--no-privy", "--even-subscribed", "--yes")
    assert done.exit == 0, done.err
    asked = (desk.person.uuid, desk.person.did, "cus_person1")
    for one in asked:
        found = desk.explain(one, exit=3)
        assert one in found["erased"]
        assert (found["verdict"]["link"], found["verdict"]["fix"]) == ("customer", "stripe customers delete cus_person1")
        assert found["verdict"]["what"].startswith("cus_person1 is of a person who was erased, and Stripe bills it still, for sub_one")
    address, key = f"{desk.env['STRIPE_API_BASE']}/v1/customers/cus_person1", desk.env["STRIPE_SECRET_KEY"]
    with plain_client(auth=(key, "")) as http:
        http.delete(address).raise_for_status()
    desk.books.sql("UPDATE subscriptions SET status = 'canceled'")
    for one in asked:
        assert (desk.explain(one)["verdict"], desk("explain", one).out.startswith("ERASED  ")) == (None, True)


def test_somebody_who_came_back(desk: Desk) -> None:
    """Whom the web app let in again is who a new customer is, though Stripe names the erased row, too; nothing is to be deleted."""
    done = desk("users", "erase", desk.person.uuid, "--apply", "--no-stripe", "--no-privy", "--even-subscribed", "--yes")
    assert done.exit == 0, done.err
    again = "00000000-0000-4000-8000-0000000000ff"
    desk.books.sql("INSERT INTO users (id, privy_user_id) VALUES (:id, :did)", id=again, did=desk.person.did)
    names = {"metadata[userId]": desk.person.uuid, "metadata[privyUserId]": desk.person.did}
    with plain_client(base_url=desk.env["STRIPE_API_BASE"], auth=(desk.env["STRIPE_SECRET_KEY"], "")) as http:
        new = http.post("/v1/customers", data=names).raise_for_status().json()["id"]
        http.post("/v1/subscriptions", data={"customer": new, "items[0][price]": PRO_MONTHLY.id}).raise_for_status()
    found = desk.explain(new, exit=3)
    assert (again in found["verdict"]["what"], found["verdict"]["fix"]) == (True, f"aura subscriptions reconcile {new} --apply")
