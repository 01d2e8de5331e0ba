"""One mail to one person: asked for once, sent once, whatever Resend says and whenever somebody dies."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.mail.again import REVIVED, revive, unmade
from aura_cli.mail.asking import requeue
from aura_cli.mail.status import note_sent
from aura_cli.outbox.queue import claim, settle
from aura_cli.outbox.tables import outbox
from tests.mail.office import CONFIRMATION, Office, user_id
from tests.mail.picky import SAID, picky

WELCOME = ("send", "welcome", "--to", "mina@example.com")


def test_to_a_person(office: Office) -> None:
    """The template's mail, by name, to one recipient, with both versions; the row says where it is at Resend, and who sent it is noted."""
    office.people(1)
    done = office("send", "welcome", "--user", "PERSON1@example.com", "--json", AURA_OPERATOR="ada")
    assert done.exit == 0, done.err
    (mail,) = office.post.mails
    assert (mail.message.to, mail.message.sender) == (("person1@example.com",), "AURA <mail@example.com>")
    assert mail.message.subject == "Welcome to AURA, Person 1"
    assert "Person 1" in (mail.message.html or "")
    assert "Person 1" in (mail.message.text or "")
    assert (done.json["state"], done.json["resend_id"], done.json["user_id"]) == ("sent", mail.id, user_id(1))
    assert office.row.sent_at is not None
    assert office.effects == [("done", 1, None)]
    assert office.payloads == [{"mails": [office.row.id]}]  # what people read does not stay in the outbox
    with reading(office.engine) as connection:
        deed = connection.execute(select(operator_log)).one()
    assert (deed.operator, deed.what) == ("ada", "email.send")
    assert "person1" not in json.dumps(deed.details)


def test_the_same_goes_once(office: Office) -> None:
    """Run again, it says when it was sent; other variables, another thing that it is about, or --again make it another mail."""
    assert office(*WELCOME).exit == 0
    again = office(*WELCOME)
    assert again.exit == 0
    assert "--again" in again.err
    assert len(office.post.mails) == 1
    assert office("send", "welcome", "--to", "MINA@example.com").exit == 0
    assert len(office.post.mails) == 1
    assert office(*WELCOME, data={"name": "Mina"}).exit == 0
    assert office(*WELCOME, "--about", "anniversary").exit == 0
    assert office(*WELCOME, "--again").exit == 0
    assert len(office.post.mails) == 4


def test_a_dry_run_sends_nothing(office: Office) -> None:
    """It shows who and what."""
    done = office(*WELCOME, "-n")
    assert (done.exit, office.rows, office.post.mails) == (0, [], [])
    assert "mina@example.com  to send" in done.out
    assert "Welcome to AURA" in done.out


def test_production_asks_first(office: Office) -> None:
    """Nobody there to say yes: exit 6, and nothing is stored or sent."""
    office.more = {"AURA_ENV": "production"}
    for words in (WELCOME, ("send", "welcome", "--to-all", "everybody", "--apply"), ("retry",)):
        assert office(*words).exit == 6, words
    assert (office.rows, office.post.mails) == ([], [])


def test_an_address_that_is_none(office: Office) -> None:
    """No second recipient, no second header: refused before anything is stored."""
    for address in ("mina@example.com\r\nBcc: everybody@example.com", "mina@example.com,ravi@example.com"):
        done = office("send", "welcome", "--to", address)
        assert (done.exit, office.rows, office.post.state.journal) == (2, [], [])


def test_two_at_once(office: Office) -> None:
    """Nobody is left out silently: one at a time, or a query."""
    office.people(2)
    for words in (("--to", "a@example.com", "--to", "b@example.com"), ("--user", user_id(1), "--user", user_id(2))):
        assert office("send", "welcome", *words).exit == 2
    assert (office.rows, office.post.mails) == ([], [])


def test_what_bounced_stays_bounced(office: Office) -> None:
    """As long as its address gets no mail, asking again says so, and leaves alone what is known of the mail."""
    assert office(*WELCOME).exit == 0
    table = "mails" if "sqlite" in office.url else "aura_ops.mails"
    office.sql(f"UPDATE {table} SET state = 'bounced', error = 'no such user'")
    office.suppress("mina@example.com")
    before = office.row
    refused = office("retry", before.id)
    assert (refused.exit, "--remove mina@example.com" in refused.err) == (3, True)
    assert office("retry", "--state", "bounced").exit == 0
    assert (office.row, len(office.post.mails)) == (before, 1)


def test_names_that_would_be_headers(office: Office) -> None:
    """A line break in a name makes no second header: the subject is one line, whatever it is made of."""
    office.people(
        1, name="Mina\r\nBcc: everybody@example.com\x00\x1b[31m" if "sqlite" in office.url else "Mina\r\nBcc: everybody@example.com"
    )
    assert office("send", "welcome", "--user", user_id(1)).exit == 0
    (mail,) = office.post.mails
    assert mail.message.to == ("person1@example.com",)
    assert mail.message.subject.startswith("Welcome to AURA, Mina Bcc: everybody@example.com")
    assert mail.message.subject.isprintable()


@pytest.mark.parametrize("sender", ["AURA <mail@example.com>\r\nBcc: x@example.com", "AURA", "A <a@example.com>, B <b@example.com>"])
def test_senders_that_are_none(office: Office, sender: str) -> None:
    """Found out before anything is asked for."""
    done = office(*WELCOME, FROM_EMAIL=sender)
    assert (done.exit, office.rows) == (4, [])
    assert "FROM_EMAIL" in done.err


def test_variables_are_checked_first(office: Office) -> None:
    """What a template does not take, or lacks, stops it before a row is made."""
    assert office(*WELCOME, data={"nmae": "Mina"}).exit == 2
    assert office("send", "payment-failed", "--to", "mina@example.com").exit == 2
    assert office("send", "wellcome", "--to", "mina@example.com").exit == 5
    assert office("send", "welcome").exit == 2
    assert office("send", "welcome", "--user", "x", "--to", "y").exit == 2
    assert office("send", "welcome", "--user", user_id(9)).exit == 5
    assert office(*WELCOME, NEXT_PUBLIC_APP_URL="").exit == 4
    assert office.rows == []


def test_without_a_key(office: Office) -> None:
    """A warning, a row that is kept, exit 0; --require exits 4; with a key it goes out when somebody says so."""
    done = office(*WELCOME, "--json", RESEND_API_KEY="", RESEND_API_URL="")
    assert (done.exit, done.json["state"]) == (0, "not_configured")
    assert "RESEND_API_KEY is not set" in done.err
    assert office.effects == []
    assert office(*WELCOME, "--require", RESEND_API_KEY="", RESEND_API_URL="").exit == 4
    assert office("retry", "--state", "not_configured", RESEND_API_KEY="", RESEND_API_URL="").exit == 4
    assert office("retry").exit == 0  # nothing waits
    assert office.post.mails == []
    assert office("retry", office.row.id).exit == 0
    assert (office.row.state, len(office.post.mails)) == ("sent", 1)


def test_asked_again_with_a_key(office: Office) -> None:
    """The same command goes on with what was kept."""
    assert office(*WELCOME, RESEND_API_KEY="", RESEND_API_URL="").exit == 0
    assert office(*WELCOME).exit == 0
    assert (office.row.state, len(office.post.mails)) == ("sent", 1)


def test_a_rate_limit_waits(office: Office) -> None:
    """As long as Resend asks for; it is no failed try."""
    office.post.suffers("rate_limit_exceeded", times=2, seconds=1)
    assert office(*WELCOME).exit == 0
    assert [entry.status for entry in office.sent()] == [429, 429, 200]
    assert office.effects == [("done", 1, None)]


@pytest.mark.parametrize("quota", ["daily", "monthly"])
def test_a_quota_stops(office: Office, quota: str) -> None:
    """Exit 7, naming the quota; the mail waits and no try is counted; it goes out later."""
    office.post.suffers(f"{quota}_quota_exceeded")
    done = office(*WELCOME)
    assert done.exit == 7
    assert f"{quota} quota" in done.err
    assert [entry.status for entry in office.sent()] == [429]
    assert office.row.state == "queued"
    assert office.effects[0][:2] == ("pending", 0)
    assert quota in office.row.error
    early = office("retry", "--due", "--json")  # it is not its turn
    assert (early.exit, early.json["mails"], len(office.sent())) == (0, 0, 1)
    assert office("retry").exit == 0
    assert (office.row.state, len(office.post.mails)) == ("sent", 1)


def test_what_a_dry_retry_counts(office: Office) -> None:
    """All that waits, or with --due what would be tried now."""
    assert office(*WELCOME, RESEND_API_URL="http://127.0.0.1:9").exit == 8
    office.sql(f"UPDATE {'' if 'sqlite' in office.url else 'aura_ops.'}outbox SET next_try_at = '2999-01-01T00:00:00.000000Z'")
    assert office("retry", "-n", "--json").json["mails"] == 1
    assert office("retry", "--due", "-n", "--json").json["mails"] == 0
    office.make_due()
    assert office("retry", "--due", "-n", "--json").json["mails"] == 1
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    assert unmade(office.engine, due=True) == 1
    assert office.post.mails == []


@pytest.mark.parametrize("key", ["re_wrong_key_of_a_test", "re_\u2028"])
def test_a_key_that_is_refused(office: Office, key: str) -> None:
    """Exit 4; the mail waits for a better one."""
    assert office(*WELCOME, RESEND_API_KEY=key).exit == 4
    assert office.row.state == "queued"
    assert office("retry").exit == 0
    assert len(office.post.mails) == 1


@pytest.mark.parametrize("kind", ["cut", "html", "not_json"])
def test_taken_and_not_told(office: Office, kind: str) -> None:
    """Resend took it, and nobody heard: exit 8, it may have been sent; the repetition gets the first answer, and one mail exists."""
    office.post.suffers(kind)
    done = office(*WELCOME)
    assert done.exit == 8
    assert "aura email retry" in done.err
    assert len(office.post.mails) == 1
    assert office.row.state == "queued"
    assert office.row.first_try_at is not None
    assert office("retry").exit == 0
    assert (office.row.state, office.row.resend_id, len(office.post.mails)) == ("sent", office.post.mails[0].id, 1)
    assert office.sent()[-1].replayed


@pytest.mark.parametrize("kind", ["application_error", "service_unavailable"])
def test_a_server_error(office: Office, kind: str) -> None:
    """It is tried again later, under the same key."""
    office.post.suffers(kind)
    assert office(*WELCOME).exit == 8
    assert office("retry").exit == 0
    assert len({entry.key for entry in office.sent()}) == 1
    assert len(office.post.mails) == 1


def test_the_repetition_is_the_same_to_the_byte(office: Office) -> None:
    """Though the name, the sender and the web app's address have changed meanwhile: else Resend would refuse the key."""
    office.people(1)
    office.post.suffers("cut")
    assert office("send", "welcome", "--user", user_id(1)).exit == 8
    office.sql("UPDATE users SET name = 'Another'")
    assert office("retry", FROM_EMAIL="Other <other@example.com>", NEXT_PUBLIC_APP_URL="https://other.example.com").exit == 0
    assert (office.row.state, len(office.post.mails)) == ("sent", 1)


def test_what_was_surely_not_taken_is_made_anew(office: Office) -> None:
    """A request that did not leave, or was refused for its pace, holds nobody to what stood in it."""
    assert office(*WELCOME, RESEND_API_URL="http://127.0.0.1:9").exit == 8
    assert office.row.first_try_at is None
    assert office("retry", FROM_EMAIL="Other <other@example.com>").exit == 0
    assert office.post.mails[0].message.sender == "Other <other@example.com>"


def test_what_resend_refuses(office: Office) -> None:
    """It is final, and says why; a person may ask again, under another key."""
    with picky("mina@example.com") as resend:
        done = office(*WELCOME, RESEND_API_URL=resend.base)
    assert done.exit == 7
    assert SAID in done.err
    assert office.row.state == "failed"
    assert office.effects[0][0] == "dead"
    assert office("retry").exit == 0
    assert office.post.mails == []
    assert office("retry", office.row.id).exit == 0
    assert office.row.state == "sent"
    assert "#" in office.sent()[0].key


def test_a_key_that_was_used_for_something_else(office: Office) -> None:
    """Another database has sent under it: not sent, and said."""
    office.post.suffers("invalid_idempotent_request")
    assert office(*WELCOME).exit == 7
    assert office.row.state == "failed"
    assert "idempoten" in office.row.error


def test_a_request_that_is_still_under_way(office: Office) -> None:
    """Somebody who died left Resend at work: it is waited for."""
    office.post.suffers("concurrent_idempotent_requests")
    assert office(*WELCOME).exit == 0
    assert [entry.status for entry in office.sent()] == [409, 200]


def test_never_a_day_later(office: Office) -> None:
    """Resend has forgotten the key: the mail is `expired`, and goes out only when somebody says so though it may have been sent."""
    office.post.suffers("cut")
    assert office(*WELCOME).exit == 8
    office.days_ago(1)
    done = office("retry")
    assert done.exit == 9
    assert office.row.state == "expired"
    assert office.effects == [("dead", 2, "Resend has forgotten the key after a day: whether it was sent is not known here")]
    assert len(office.sent()) == 1
    refused = office("retry", office.row.id)
    assert refused.exit == 3
    assert "twice" in refused.err
    assert office("retry", "--state", "expired").exit == 3
    assert len(office.sent()) == 1
    assert office("retry", office.row.id, "--anew").exit == 0
    assert len(office.post.mails) == 2
    assert office.row.state == "sent"


def test_the_key_is_taken_away_after_the_first_try(office: Office) -> None:
    """A request that may have been taken is kept for the next key, and says what it waits for; no try is counted."""
    office.post.suffers("cut")
    assert office(*WELCOME).exit == 8
    office.make_due()
    keyed, office.more = office.more, {"RESEND_API_KEY": "", "RESEND_API_URL": ""}
    (waits,) = office.carry()
    assert (waits.state, waits.error) == ("pending", "RESEND_API_KEY is not set")
    assert (office.row.state, office.effects[0][1]) == ("queued", 1)
    office.more = keyed
    assert office("retry").exit == 0
    assert (office.row.state, len(office.post.mails), office.sent()[-1].replayed) == ("sent", 1, True)


def test_one_who_died_after_the_answer(office: Office) -> None:
    """The claim of a process that is gone is free at once; Resend gives the same answer, and one mail exists."""
    office.post.suffers("cut")
    assert office(*WELCOME).exit == 8
    office.make_due()
    with writing(office.engine) as connection:
        assert claim(connection, "elsewhere:1:2:3:4", kinds=("mail",))
    assert office("retry").exit == 9  # another machine has it
    office.make_due()
    assert office("retry").exit == 0
    assert (office.row.state, len(office.post.mails)) == ("sent", 1)


def test_a_listener_has_it_already(office: Office) -> None:
    """A command that finds its mail in other hands tells how it went there."""
    assert office(*WELCOME, RESEND_API_URL="http://127.0.0.1:9").exit == 8
    office.make_due()
    with writing(office.engine) as connection:
        (effect,) = claim(connection, "elsewhere:1:2:3:4", kinds=("mail",))

    def sends() -> None:
        with writing(office.engine) as connection:
            assert settle(connection, "elsewhere:1:2:3:4", effect)
            note_sent(connection, {office.row.id: "sent-elsewhere"})

    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(office, *WELCOME, "--json")
        time.sleep(2.5)
        assert not command.done()
        sends()
        done = command.result()
    assert (done.exit, done.json["state"]) == (0, "sent"), done.err
    assert office.post.mails == []


def test_two_who_ask_again_at_once(office: Office) -> None:
    """It goes out again once."""
    with picky("mina@example.com") as resend:
        assert office(*WELCOME, RESEND_API_URL=resend.base).exit == 7
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: revive(office.engine, [office.row.id], "ada"), range(4)))
    assert [state for state, *_ in office.effects] == ["dead", "pending"]
    assert office("retry").exit == 0
    assert len(office.post.mails) == 1


def test_who_asks_again_second_finds_it_sent(office: Office) -> None:
    """However long ago they looked at its state: it is theirs no more."""
    assert office(*WELCOME).exit == 0
    with writing(office.engine) as connection:
        for states in (REVIVED, ("not_configured",)):
            assert requeue(connection, [office.row.id], states) == set()
    assert (office.row.state, len(office.effects)) == ("sent", 1)


def test_other_effects_are_left_alone(office: Office) -> None:
    """Forwarding is somebody else's to carry."""
    with writing(office.engine) as connection:
        connection.execute(outbox.insert().values(kind="forward", key="evt_1", payload={"event": "evt_1"}))
    assert office.carry() == []
    assert office("retry").exit == 0


def test_what_a_log_shows(office: Office) -> None:
    """A list, one in full, by address and by person; who was sent nothing has an empty list, and what is no id is a mistake."""
    office.people(1)
    office("send", "welcome", "--user", user_id(1))
    office(*WELCOME)
    rows: list[Any] = office("log", "--json").json
    assert [row["address"] for row in rows] == ["mina@example.com", "person1@example.com"]
    assert [row["template"] for row in office("log", user_id(1), "--json").json] == ["welcome"]
    assert len(office("log", "MINA@example.com", "--json").json) == 1
    assert office("log", "--state", "bounced", "--json").json == []
    story = office("log", rows[0]["id"], "--json").json
    assert (story["mail"]["id"], story["attempts"], story["data"]) == (rows[0]["id"], 1, {})
    assert "attempts" in office("log", rows[0]["id"]).out
    assert office("log", user_id(7), "--json").json == []
    assert office("log", rows[0]["resend_id"], "--json").json != []
    slip = office("log", "minna")
    assert (slip.exit, "'minna' is no mail's id" in slip.err) == (2, True)
    assert len(office("log", "--since", "1h", "--template", "welcome", "--json").json) == 2
