"""One template to many: planned, capped, a hundred in a request, and gone on with where it was broken off."""

import pytest

from tests.mail.office import Office, user_id
from tests.mail.picky import SAID, picky
from tests.parts.sampling import WHOLE

MANY = 10_000 if WHOLE else 2_000
ALL = ("send", "welcome", "--to-all", "everybody")


def test_it_plans_first(office: Office) -> None:
    """Without --apply it shows who and what; nothing is stored or sent."""
    office.people(3)
    office.people(1, first=4, email=None)
    office.suppress("person2@example.com")
    done = office(*ALL, "--json")
    assert done.exit == 0
    assert "--apply" in done.err
    assert done.json["counts"] == {"to send": 2, "suppressed": 1}
    assert (done.json["without_address"], done.json["subject"]) == (1, "Welcome to AURA, Person 1")
    assert {one["address"] for one in done.json["recipients"]} == {f"person{number}@example.com" for number in (1, 2, 3)}
    assert (office.rows, office.post.state.journal) == ([], [])
    assert office(*ALL, "--apply", "-n").exit == 0
    assert office.rows == []


def test_one_is_one_and_a_slip_is_none(office: Office) -> None:
    """One mail is told of in the singular; a template that there is not lists nothing, and says which may be meant."""
    office.people(1)
    assert "1 recipient (1 to send)." in office(*ALL).out
    assert office(*ALL, "--apply").out.startswith("1 mail (1 sent).")
    assert office("log", "--template", "welcome", "--json").json
    slip = office("log", "--template", "welcom")
    assert (slip.exit, slip.out, slip.err) == (2, "", "Error: There is no template 'welcom'\n  Did you mean welcome?\n")


def test_each_gets_a_mail_of_their_own(office: Office) -> None:
    """By name; a hundred in a request; nobody sees anybody else; the suppressed are skipped, and said."""
    office.people(250)
    office.suppress("person7@example.com")
    done = office(*ALL, "--apply", "--json")
    assert done.exit == 0, done.err
    assert (done.json["mails"], done.json["states"]) == (250, {"sent": 249, "suppressed": 1})
    assert all(len(mail.message.to) == 1 for mail in office.post.mails)
    assert {f"Welcome to AURA, Person {mail.message.to[0][6:-12]}" for mail in office.post.mails} == {
        mail.message.subject for mail in office.post.mails
    }
    assert [entry.path for entry in office.sent()] == ["/emails/batch"] * 3
    assert set(office.arrived().values()) == {1}
    assert len(office("log", "--batch", done.json["batch"], "--json").json) == 250
    assert all("request" not in payload for payload in office.payloads)


def test_again_it_sends_nothing(office: Office) -> None:
    """Who has it does not get it twice, whatever they are called by now; who came since does."""
    office.people(5)
    assert office(*ALL, "--apply").exit == 0
    office.sql("UPDATE users SET name = 'Another' WHERE email = 'person3@example.com'")
    office.people(2, first=6)
    planned = office(*ALL, "--json").json
    assert planned["counts"] == {"sent": 5, "to send": 2}
    done = office(*ALL, "--apply", "--json").json
    assert (done["mails"], done["before"], done["states"]) == (7, 5, {"sent": 7})
    assert office.arrived() == {f"person{number}@example.com": 1 for number in range(1, 8)}


def test_again_is_no_word_for_many(office: Office) -> None:
    """It could not go on where it was broken off; --about can, under another name."""
    office.people(2)
    assert office(*ALL, "--apply").exit == 0
    refused = office(*ALL, "--apply", "--again")
    assert refused.exit == 2
    assert "--about" in refused.err
    for _ in range(2):
        assert office(*ALL, "--apply", "--about", "second").exit == 0
    assert set(office.arrived().values()) == {2}


def test_a_cap(office: Office) -> None:
    """More than somebody said, or than is usual, stops before the first row; people whom it goes to anyway are not counted."""
    office.people(6)
    refused = office(*ALL, "--apply", "--max-recipients", "5")
    assert (refused.exit, office.rows) == (6, [])
    assert "--max-recipients 6" in refused.err
    assert office(*ALL, "--apply", "--max-recipients", "6").exit == 0
    assert office(*ALL, "--apply", "--max-recipients", "1").exit == 0
    assert office("send", "welcome", "--to", "mina@example.com", "--apply").exit == 2


def test_thousands_and_three_bad_ones(office: Office) -> None:
    """Two are no addresses, one Resend refuses: the others go, each once, and the three are named with the reason; exit 9."""
    office.people(MANY)
    office.sql("UPDATE users SET email = 'person 17@example.com' WHERE email = 'person17@example.com'")
    office.sql("UPDATE users SET email = :bad WHERE email = 'person471@example.com'", bad="a@example.com\r\nBcc: b@example.com")
    with picky("person999@example.com") as resend:
        done = office(*ALL, "--apply", "--max-recipients", str(MANY), "--json", timeout=240, RESEND_API_URL=resend.base)
        assert done.exit == 9, done.err
        assert set(resend.modes) == {"permissive"}
    assert done.json["states"] == {"sent": MANY - 3, "failed": 3}
    assert len(resend.taken) == len(set(resend.taken)) == MANY - 3
    failed = office("log", "--state", "failed", "--json").json
    reasons = {one["address"]: one["error"] for one in failed}
    assert reasons["person999@example.com"] == SAID
    assert sorted("No mail address" in why for why in reasons.values()) == [False, True, True]


def test_an_address_that_two_have(office: Office) -> None:
    """It gets one mail, though each is called something else."""
    office.people(2, email="both@example.com")
    assert office(*ALL, "--apply").exit == 0
    assert office.arrived() == {"both@example.com": 1}


def test_a_quota_in_the_middle(office: Office) -> None:
    """What went out is out, the rest waits: exit 7; the same command, or retry, goes on."""
    office.people(250)
    office.post.state.limits.daily = 120
    stopped = office(*ALL, "--apply", "--json")
    assert stopped.exit == 7
    assert "daily quota" in stopped.err
    assert stopped.json["states"] == {"queued": 150, "sent": 100}
    office.post.state.limits.daily = 0
    assert office("retry").exit == 0
    assert set(office.arrived().values()) == {1}
    assert len(office.post.mails) == 250


def test_a_rate_limit_in_the_middle(office: Office) -> None:
    """It waits, and goes on by itself."""
    office.people(250)
    office.post.suffers("rate_limit_exceeded", times=1, seconds=1)
    assert office(*ALL, "--apply").exit == 0
    assert set(office.arrived().values()) == {1}


def test_an_answer_that_never_came(office: Office) -> None:
    """A hundred were taken and nobody heard: the same hundred go under the same key, and each arrives once."""
    office.people(150)
    office.post.suffers("cut")
    assert office(*ALL, "--apply").exit == 0
    assert set(office.arrived().values()) == {1}
    assert len(office.post.mails) == 150
    keys = [entry.key for entry in office.sent()]
    assert (len(keys), len(set(keys))) == (3, 2)


def test_suppressed_between_two_tries(office: Office) -> None:
    """The repetition is the same to the byte, whoever bounced meanwhile: else Resend would refuse it, or send all again."""
    office.people(3)
    assert office(*ALL, "--apply", RESEND_API_KEY="", RESEND_API_URL="").exit == 0
    office.post.suffers("cut")
    assert office("retry", "--state", "not_configured").exit == 9
    office.suppress("person2@example.com")
    assert office("retry").exit == 0
    assert office.states == {"sent": 3}
    assert len(office.post.mails) == 3


def test_without_a_key(office: Office) -> None:
    """All are kept, and said so; run again with one they go."""
    office.people(3)
    done = office(*ALL, "--apply", RESEND_API_KEY="", RESEND_API_URL="")
    assert done.exit == 0
    assert "RESEND_API_KEY is not set" in done.err
    assert office.states == {"not_configured": 3}
    assert office(*ALL, "--apply").exit == 0
    assert office.states == {"sent": 3}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("everybody", {1, 2, 3, 4}),
        ("subscription=active", {1}),
        ("subscription=canceled", {2}),
        ("subscription=none", {3, 4}),
        ("price=price_pro", {1}),
        ("connected=slack", {3}),
        ("search=PERSON 4", {4}),
        ("search=%", set()),
        ("joined-after=2026-03-01", {3, 4}),
        ("joined-before=2026-03-01,subscription=active", {1}),
    ],
)
def test_queries(office: Office, query: str, numbers: set[int]) -> None:
    """Each chooses those whom it describes; the subscription is the newest, as the web app has it."""
    office.people(4)
    for number in range(1, 5):
        office.sql(f"UPDATE users SET created_at = '2026-0{number}-02T00:00:00.000000Z' WHERE id = '{user_id(number)}'")
    rows = [
        (1, "canceled", "old", "2025"),
        (1, "active", "price_pro", "2026"),
        (2, "active", "price_pro", "2025"),
        (2, "canceled", None, "2026"),
    ]
    for place, (number, status, price, year) in enumerate(rows):
        office.sql(
            "INSERT INTO subscriptions (id, user_id, stripe_subscription_id, stripe_price_id, status, created_at)"
            f" VALUES ('{user_id(100 + place)}', '{user_id(number)}', 'sub_{place}', :price, '{status}', '{year}-01-01T00:00:00.000000Z')",
            price=price,
        )
    office.sql(f"INSERT INTO integrations (id, user_id, provider) VALUES ('{user_id(200)}', '{user_id(3)}', 'slack')")
    found = office("send", "welcome", "--to-all", query, "--json")
    assert found.exit == 0, found.err
    assert {one["address"] for one in found.json["recipients"]} == {f"person{number}@example.com" for number in numbers}


@pytest.mark.parametrize("query", ["", "all", "subscription=happy", "plan=pro", "joined-after=tomorrow", "everybody,everybody", "search="])
def test_queries_that_are_none(office: Office, query: str) -> None:
    """Exit 2, and nobody gets anything."""
    assert office("send", "welcome", "--to-all", query, "--apply").exit == 2
    assert office.rows == []
