"""`aura explain` when services are away, ids are odd, and links are broken in other ways than the planted stories'."""

import shlex
import socket
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from aura_cli.console import Console
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import subscriptions
from aura_cli.insight.remote import Remote
from aura_cli.insight.subject import Subject
from aura_cli.insight.unknown import nobody
from aura_cli.mail.tables import mails, suppressions
from aura_cli.runtime import Options, Runtime
from aura_cli.sandbox.stripe import billing, records
from aura_cli.users.tables import other_customers, user_aliases
from tests.insight.desk import LONG_AGO, Desk
from tests.parts.terminal import on_a_terminal

LEFT = ["aura explain x --env production", "aurora x", "du -xh /"]
NOBODY = "http://127.0.0.1:9"  # the discard port: refused at once


def mail(desk: Desk, **values: Any) -> str:
    """A mail to the person; its id."""
    row = {"id": str(uuid4()), "key": str(uuid4()), "template": "welcome", "data": {}, "address": "person1@example.com", **values}
    with writing(desk.books.engine) as connection:
        connection.execute(mails.insert().values(**row, created_at=LONG_AGO, state_at=LONG_AGO))
    return str(row["id"])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("nobody@example.com", 5),
        ("00000000-0000-4000-8000-00000000abcd", 5),
        ("did:privy:nobody", 5),
        ("evt_nothing", 5),
        ("in_nothing", 5),
        ("cus_nothing", 5),
        ("sub_nothing", 5),
        ("", 2),
        ("no such thing", 2),
        ("cus_", 2),
    ],
)
def test_what_nobody_knows(small_desk: Desk, asked: str, code: int) -> None:
    """Unknown 5, malformed 2, and nothing on standard output."""
    done = small_desk("explain", asked)
    assert (done.exit, done.out) == (code, "")


def test_a_slip_in_an_address(small_desk: Desk) -> None:
    """A letter too many leads to whom it may have meant, as everywhere else; one that is like none only to the list."""
    near = small_desk("explain", "persson1@example.com", PRIVY_APP_SECRET="")
    assert (near.exit, near.out) == (5, "")
    assert "Did you mean person1@example.com or person2@example.com? aura users list --search" in near.err
    assert "Did you mean" not in small_desk("explain", "somebody.else@example.net").err


@pytest.mark.parametrize("asked", ["evt_nothing", "in_nothing", "cs_nothing", "pi_nothing", "cus_nothing"])
def test_an_id_of_stripe_s_that_nobody_knows(small_desk: Desk, asked: str) -> None:
    """Where it was looked for, and what can help: it is no person, and no list of people has it."""
    done = small_desk("explain", asked)
    assert f"No webhook event and no booking here is about {asked}, and Stripe does not know it" in done.err
    assert "--env NAME" in done.err
    assert "aura webhooks backfill" in done.err
    assert "users list" not in done.err
    unasked = small_desk("explain", asked, STRIPE_SECRET_KEY="")
    assert asked.startswith("cus_") or f"is about {asked}, and Stripe could not be asked" in unasked.err  # a customer may be anybody's


def test_something_at_stripe_that_is_of_nobody(small_desk: Desk) -> None:
    """Stripe has it and names no customer, as in a product's event."""
    with reading(small_desk.books.engine) as connection:
        error = nobody(connection, Subject("evt_of_a_product", known=False), Remote(), None)
        gone = nobody(connection, Subject("evt_of_a_product", known=False), Remote(), "cus_gone")
    assert error.message == "No webhook event and no booking here is about evt_of_a_product, and Stripe names no customer of it"
    assert gone.message.endswith("Stripe knows it of cus_gone, whom it knows no more")


def test_services_that_are_away(small_desk: Desk) -> None:
    """What the database knows is told all the same, and who could not be asked."""
    small_desk.books.sql("DELETE FROM token_balances")
    found = small_desk.explain(exit=3, STRIPE_API_BASE=NOBODY, PRIVY_API_BASE=NOBODY)
    assert found["verdict"]["link"] == "tokens"
    assert [text.partition(" ")[0] for text in found["away"]] == ["Privy", "Stripe"]
    unset = small_desk.explain(exit=3, STRIPE_SECRET_KEY="", PRIVY_APP_SECRET="")
    assert unset["verdict"] == found["verdict"]
    assert unset["away"] == ["Stripe was not asked: STRIPE_SECRET_KEY is not set", "Privy was not asked: PRIVY_APP_SECRET is not set"]


def test_services_that_hang(small_desk: Desk) -> None:
    """Whoever takes a connection and says nothing is waited for a few seconds."""
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        where = f"http://127.0.0.1:{mute.getsockname()[1]}"
        begun = time.monotonic()
        done = small_desk("explain", small_desk.person.uuid, "--json", STRIPE_API_BASE=where, PRIVY_API_BASE=where)
        assert time.monotonic() - begun < 15
    assert (done.exit, done.json["verdict"], done.err) == (0, None, "Waiting for Privy and Stripe, 4 s at most\n")
    assert done.json["away"] == ["Privy gave no answer within 6 s", "Stripe gave no answer within 6 s"]


def test_services_that_talk_nonsense(small_desk: Desk) -> None:
    """An answer that is none counts as no answer."""
    small_desk.books.stripe.edit = lambda asked, answer: b"<nonsense>"
    small_desk.privy.answer = lambda path: (200, b"[]")  # type: ignore[method-assign]
    found = small_desk.explain()
    assert found["verdict"] is None
    assert [text.partition("'s answer ")[0] for text in found["away"]] == ["Privy", "Stripe"]


def test_a_key_that_is_refused(small_desk: Desk) -> None:
    """The first broken link is the key."""
    small_desk.privy.answer = lambda path: (401, b'{"error": "Invalid app secret"}')  # type: ignore[method-assign]
    verdict = small_desk.explain(exit=3)["verdict"]
    assert verdict["link"] == "settings"
    assert verdict["what"].startswith("Privy refuses PRIVY_APP_SECRET: ")


def test_a_key_of_the_other_mode(small_desk: Desk) -> None:
    """A database that is bound to nothing yet: what Stripe says of the customer tells."""

    def elsewhere(asked: Any, answer: Any) -> Any:
        return {"error": {"message": "No such customer: 'cus_person1'; a similar object exists in live mode, but a test mode key was used"}}

    stand_in = small_desk.books.stripe
    stand_in.state.customers.remove("cus_person1")
    stand_in.edit = lambda asked, answer: elsewhere(asked, answer) if asked.path == "/v1/customers/cus_person1" else answer
    verdict = small_desk.explain(exit=3)["verdict"]
    assert verdict["what"] == "STRIPE_SECRET_KEY is of another mode: the customer is one of live mode"


def test_gone_at_privy(small_desk: Desk) -> None:
    """Nobody can sign in as this person."""
    small_desk.privy.users = small_desk.privy.users[1:]
    verdict = small_desk.explain(exit=3)["verdict"]
    assert (verdict["link"], verdict["fix"]) == ("person", f"aura users sync {small_desk.person.uuid}")


def test_at_privy_and_not_here(desk: Desk) -> None:
    """A DID that only Privy knows; a sync brings the person in."""
    desk.books.sql("DELETE FROM users WHERE stripe_customer_id IS NULL")
    verdict = desk.explain("did:privy:person2", exit=3)["verdict"]
    assert (verdict["link"], verdict["fix"]) == ("person", "aura users sync did:privy:person2")
    desk.repair(verdict["fix"])
    assert desk.explain("did:privy:person2")["verdict"] is None


def test_two_customers_of_one_person_at_stripe(desk: Desk) -> None:
    """One is linked, the other pays: no command can decide which one counts, and both are named."""
    state = desk.books.stripe.state
    other = records.Customer("cus_other", state.now(), email="person1@example.com", metadata={"userId": desk.person.uuid})
    state.customers.put(other)
    state.clock.advance(-86_400)
    billing.subscribe(state, "cus_other", [("price_other", 1)])
    for asked, whose in ((desk.person.uuid, "of this person"), ("cus_other", f"of {desk.person.uuid}")):
        verdict = desk.explain(asked, exit=3)["verdict"]
        assert verdict["link"] == "customer"
        assert verdict["what"] == f"Stripe has two customers {whose}: linked is cus_person1, and cus_other is billed, too"
        desk.repair(verdict["fix"], exit=3)


def test_a_customer_that_a_merge_left(desk: Desk) -> None:
    """Of two customers one gave way: nothing is broken once it is billed no more; before that both are named."""
    state, gone = desk.books.stripe.state, str(uuid4())
    state.customers.put(records.Customer("cus_left", state.now(), metadata={"userId": gone, "privyUserId": "did:privy:gone"}))
    state.clock.advance(-86_400)
    billing.subscribe(state, "cus_left", [("price_other", 1)])
    with writing(desk.books.engine) as connection:
        connection.execute(user_aliases.insert().values(privy_id="did:privy:gone", user_id=gone, into_id=desk.person.uuid, addresses=[]))
    two = f"Stripe has two customers of {desk.person.uuid}: linked is cus_person1, and cus_left is billed, too"
    assert desk.explain("cus_left", exit=3)["verdict"]["what"] == two
    with writing(desk.books.engine) as connection:
        connection.execute(other_customers.insert().values(customer="cus_left", user_id=desk.person.uuid))
    for asked in ("cus_left", desk.person.uuid):
        assert desk.explain(asked, exit=3)["verdict"]["what"] == two
    for one in [*state.subscriptions]:
        if one.customer == "cus_left":
            billing.cancel(state, one, state.now())
    for asked in ("cus_left", desk.person.uuid):
        assert desk.explain(asked)["verdict"] is None


def test_rows_that_differ_and_are_missing(desk: Desk) -> None:
    """What the row says, and what Stripe says; a reconcile of this person mends both."""
    desk.books.sql("UPDATE subscriptions SET status = 'canceled'")
    verdict = desk.explain("sub_one", exit=3)["verdict"]
    assert verdict["link"] == "subscription"
    assert verdict["what"] == "The row of sub_one differs from Stripe: status is canceled, at Stripe active"
    desk.books.sql("UPDATE subscriptions SET updated_at = created_at")
    desk.repair(verdict["fix"])
    assert desk.explain()["verdict"] is None
    desk.books.sql("DELETE FROM subscriptions")
    verdict = desk.explain("person1@example.com", exit=3)["verdict"]
    assert verdict["what"] == "sub_one is active at Stripe, and not here"
    desk.repair(verdict["fix"])
    assert desk.explain("sub_one")["verdict"] is None


def test_a_row_in_the_shadow_of_another(desk: Desk) -> None:
    """The web app takes the newest row, and that one gives no access."""
    row = {"user_id": desk.person.uuid, "stripe_subscription_id": "sub_old", "status": "canceled", "created_at": datetime.now(UTC)}
    with writing(desk.books.engine) as connection:
        connection.execute(subscriptions.insert().values(row))
    found = desk.explain(exit=3)
    assert found["verdict"]["what"] == "The web app looks at sub_old, which gives no access, and not at sub_one, which does"
    assert found["standing"][0].startswith("Has no access")


def test_an_event_that_fails(desk: Desk) -> None:
    """Its last error, and how often it was tried; one that nobody works on."""
    event = desk.hear("sub_one")[0]
    later = datetime.now(UTC) + timedelta(hours=1)
    desk.books.sql("DELETE FROM " + ("" if desk.books.engine.dialect.name == "sqlite" else "aura_ops.") + "webhook_attempts")
    change(desk, event, state="failed", attempts=3, due_at=later)
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict["what"] == f"customer.subscription.created {event} has failed 3 times: no reason is known"
    change(desk, event, state="received", attempts=0, due_at=LONG_AGO, received_at=LONG_AGO)
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict["what"].endswith("arrived 3 d ago, and nobody works on it")
    desk.repair(verdict["fix"])
    assert desk.explain()["verdict"] is None


def change(desk: Desk, event: str, **values: Any) -> None:
    from aura_cli.webhooks.tables import webhook_events

    with writing(desk.books.engine) as connection:
        connection.execute(webhook_events.update().where(webhook_events.c.id == event).values(values))


def test_by_every_kind_of_id(desk: Desk) -> None:
    """The person's own names, what Stripe calls things of theirs, and mails, here and at Resend, lead to the same person."""
    events = desk.hear("sub_one")
    ours = mail(desk, resend_id="49a3999c-0ce1-4ea6-ab68-afcd6dc2e794", state="delivered")
    short = mail(desk, resend_id="re_short_1", key="x", state="delivered", user_id=desk.person.uuid, address=None)
    ids = [desk.person.did, "PERSON1@example.com", "cus_person1", "sub_one", "in_one", "cs_test_one", *events, ours, short]
    for asked in [*ids, "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794", "re_short_1"]:
        found = desk.told(asked)
        assert [one.id for one in found.people] == [desk.person.uuid], asked
        assert found.verdict is None, asked


def test_an_event_that_never_arrived(desk: Desk) -> None:
    """An id that only Stripe knows still leads to the person."""
    event = next(one for one in desk.world.events if one.subject.id == "sub_one")
    assert [one["id"] for one in desk.explain(event.id)["people"]] == [desk.person.uuid]


def test_who_was_merged(desk: Desk) -> None:
    """An id and a DID of a row that is no more lead to the one that stayed."""
    gone = str(uuid4())
    with writing(desk.books.engine) as connection:
        connection.execute(user_aliases.insert().values(privy_id="did:privy:gone", user_id=gone, into_id=desk.person.uuid, addresses=[]))
    for asked in (gone, "did:privy:gone"):
        assert [one["id"] for one in desk.explain(asked)["people"]] == [desk.person.uuid]


def test_mails_that_did_not_go_out(desk: Desk) -> None:
    """Of each kind the last counts; the one that was asked for goes first."""
    lost = mail(desk, state="failed", error="Resend said no")
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict == {
        "link": "mail",
        "what": "The mail welcome to person1@example.com is failed: Resend said no",
        "fix": f"aura email retry {lost}",
    }
    later = mail(desk, state="delivered")
    with writing(desk.books.engine) as connection:
        connection.execute(mails.update().where(mails.c.id == later).values(created_at=LONG_AGO + timedelta(hours=1)))
    assert desk.explain()["verdict"] is None
    assert desk.explain(lost, exit=3)["verdict"] == verdict


def test_names_that_a_shell_would_run(small_desk: Desk) -> None:
    """What is to be pasted holds others' addresses as one word each."""
    nasty = "a$(reboot)@example.com"
    small_desk.change_user(1, email=nasty)
    small_desk.invite("b';reboot;'@example.com")
    with writing(small_desk.books.engine) as connection:
        connection.execute(suppressions.insert().values(address=nasty, reason="bounced"))
    found = small_desk.told(nasty)
    told = [shlex.split(one.fix) for one in [found.verdict, *found.others] if one]
    assert [words[-1] if "suppress" in words else words[-2] for words in told] == [nasty, "b';reboot;'@example.com"]


def test_connections_in_trouble(desk: Desk) -> None:
    """What fails is named with its error, what no key opens with the key."""
    desk.connect("slack", health="failing", failure="transient", error="503", failures=4)
    verdict = desk.explain(exit=3)["verdict"]
    assert verdict["what"] == "Slack has failed 4 times: 503"
    assert verdict["fix"] == f"aura integrations refresh {desk.person.uuid} --provider slack --force"
    desk.connect("github", key="sandbox-some-other-key-00000")
    others = desk.explain(exit=3)
    told = [others["verdict"], *others["others"]]
    assert "No key that is configured opens the connection with GitHub: INTEGRATION_ENCRYPTION_KEY is of elsewhere" in [
        one["what"] for one in told
    ]


def test_on_a_terminal(small_desk: Desk) -> None:
    """The verdict first, then the last fifteen moments, none wider than the screen; what went wrong is among them, however old."""
    event = small_desk.hear("sub_one")[0]
    small_desk.give_up(event, "no use")
    change(small_desk, event, received_at=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(20):
        mail(small_desk, template="connection-lost", state="delivered")
    environment = {**small_desk.aura.environment, **small_desk.env, "COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "aura_cli", "explain", small_desk.person.uuid]
    code, shown = on_a_terminal(command, environment, small_desk.aura.work)
    lines = shown.splitlines()
    assert code == 3
    assert lines[0].startswith(f"BROKEN  webhooks: customer.subscription.created {event} was given up")
    assert lines[1] == f"Repair  aura webhooks replay {event}"
    timeline = lines[lines.index("") + 1 :]
    assert len(timeline) == 16
    assert timeline[0].startswith("15 of ")
    assert timeline[1].startswith("2020-01-01 00:00Z ✗ webhooks")
    assert max(map(len, timeline)) <= 80
    _, everything = on_a_terminal([*command, "--all"], environment, small_desk.aura.work)
    assert len(everything.splitlines()) > 30


def test_repairs_that_would_harm(desk: Desk) -> None:
    """Who complained is not written to again, who was merged away is not brought back, and of two who pay nobody loses their customer."""
    gone = str(uuid4())
    with writing(desk.books.engine) as connection:
        connection.execute(suppressions.insert().values(address="person1@example.com", reason="complained"))
        connection.execute(user_aliases.insert().values(privy_id="did:privy:person2", user_id=gone, into_id=desk.person.uuid, addresses=[]))
    assert desk.explain(exit=3)["verdict"]["fix"] == "aura email log person1@example.com"
    desk.books.sql("DELETE FROM users WHERE stripe_customer_id IS NULL")
    assert desk.explain("did:privy:person2", exit=3)["verdict"]["link"] == "mail"


def test_what_to_paste_is_of_the_environment_that_was_looked_at(small_desk: Desk) -> None:
    """A repair has the options that were given; one that leads into another environment has that alone."""
    (small_desk.aura.work / "of mine.env").touch(0o600)
    desk, words = small_desk, ("--env-file", "of mine.env")
    with writing(desk.books.engine) as connection:
        connection.execute(subscriptions.delete())
    done = desk("explain", desk.person.uuid, *words)
    assert f"Repair  aura --env-file 'of mine.env' subscriptions reconcile {desk.person.uuid} --apply\n" in done.out, done
    done = desk("explain", desk.person.uuid, *words, "--json")
    fix = done.json["verdict"]["fix"]
    assert fix.startswith("aura --env-file 'of mine.env' subscriptions")
    desk.repair(fix)
    with Runtime(Options(environment="staging"), Console()) as runtime:
        assert [runtime.pasted(text) for text in LEFT] == LEFT
