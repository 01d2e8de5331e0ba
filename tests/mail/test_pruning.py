"""What is old and settled leaves; what waits, and who gets no mail, stays."""

from datetime import UTC, datetime, timedelta

import pytest

from aura_cli.db.engine import writing
from aura_cli.mail.again import REVIVED
from aura_cli.mail.asking import requeue
from aura_cli.mail.tables import mails, resend_events
from aura_cli.outbox.queue import claim
from aura_cli.outbox.tables import outbox
from tests.mail.office import Office

WELCOME = ("send", "welcome", "--to", "mina@example.com")


def test_old_mails_leave(office: Office) -> None:
    """Counted first; a mail that waits stays however old, and so do suppressions; nothing younger than a month goes."""
    office.people(3)
    office.suppress("person3@example.com")
    assert office("send", "welcome", "--to-all", "everybody", "--apply").exit == 0
    office.post.suffers("daily_quota_exceeded")
    assert office("send", "welcome", "--to", "mina@example.com").exit == 7
    ago = datetime.now(UTC) - timedelta(days=400)
    with writing(office.engine) as connection:
        connection.execute(resend_events.insert().values(id="msg_1", type="email.sent", created=ago, received_at=ago))
        connection.execute(mails.update().values(created_at=ago))
        connection.execute(outbox.update().where(outbox.c.state == "done").values(done_at=ago))
    counted = office("prune", "--json").json
    assert (counted["mails"], counted["effects"], counted["events"], counted["applied"]) == (3, 1, 1, False)
    assert len(office.rows) == 4
    assert office("prune", "--apply", "-n").exit == 0
    assert len(office.rows) == 4
    assert office("prune", "--older-than", "20d", "--apply").exit == 2
    assert office("prune", "--apply").exit == 0
    assert (office.row.state, office.suppressed) == ("queued", {"person3@example.com": "operator"})
    assert office("retry").exit == 0
    assert office.arrived() == {"person1@example.com": 1, "person2@example.com": 1, "mina@example.com": 1}


def aged(office: Office, **days: int) -> None:
    """Let mails have been asked for, and their outbox rows settled, so many days ago."""
    now = datetime.now(UTC)
    with writing(office.engine) as connection:
        connection.execute(mails.update().values(created_at=now - timedelta(days=days["asked"])))
        connection.execute(outbox.update().values(done_at=now - timedelta(days=days["settled"])))


def test_a_mail_leaves_with_its_outbox_row(office: Office) -> None:
    """One that was asked for long ago and sent of late stays, and what is known of it; both leave when both are old."""
    assert office(*WELCOME).exit == 0
    aged(office, asked=400, settled=300)
    assert office("prune", "--json").json["mails"] == 0
    assert office("prune", "--apply").exit == 0
    assert (office.row.state, len(office.effects)) == ("sent", 1)
    assert office(*WELCOME).exit == 0
    assert len(office.post.mails) == 1
    assert office("prune", "--older-than", "200d", "--apply", "--json").json["mails"] == 1
    assert (office.rows, office.effects) == ([], [])


def test_who_dies_half_way(office: Office) -> None:
    """Where outbox rows cannot be deleted, their mails stay, too."""
    assert office(*WELCOME).exit == 0
    aged(office, asked=400, settled=400)
    if "sqlite" in office.url:
        office.sql("CREATE TRIGGER stays BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'it stays'); END")
    else:
        office.sql("CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it stays'; END $$")
        office.sql("CREATE TRIGGER stays BEFORE DELETE ON aura_ops.outbox FOR EACH ROW EXECUTE FUNCTION stays()")
    assert office("prune", "--apply").exit != 0
    assert (office.row.state, len(office.effects)) == ("sent", 1)


def test_an_outbox_row_that_outlived_its_mail(office: Office) -> None:
    """The same, asked for again, does not wait for what was done long ago: to one, and to many."""
    office.people(3)
    everybody = ("send", "welcome", "--to-all", "everybody", "--apply")
    for words in (WELCOME, everybody):
        assert office(*words).exit == 0
    with writing(office.engine) as connection:
        connection.execute(mails.delete())
    for words in (WELCOME, everybody):
        assert office(*words).exit == 0
    assert (office.states, len(office.post.mails)) == ({"sent": 4}, 8)


@pytest.mark.parametrize("way", ["send", "retry", "retry ID"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_mail_that_waits_for_what_is_over(office: Office, way: str, lost: bool) -> None:
    """One that was asked for again before that was so, and waits for an outbox row that is done, or gone, goes out once."""
    assert office(*WELCOME).exit == 0
    with writing(office.engine) as connection:
        connection.execute(mails.update().values(state="queued", resend_id=None, sent_at=None, first_try_at=None))
        if lost:
            connection.execute(outbox.delete())
    words = {"send": WELCOME, "retry": ("retry",), "retry ID": ("retry", office.row.id)}[way]
    for _ in range(2):
        office(*words)
    assert (office.row.state, len(office.post.mails)) == ("sent", 2)


def test_a_mail_that_waits_for_its_turn(office: Office) -> None:
    """It, or one that somebody has in hand, gets no second outbox row however often it is asked for."""
    assert office(*WELCOME, RESEND_API_URL="http://127.0.0.1:9").exit == 8
    office.make_due()
    with writing(office.engine) as connection:
        assert requeue(connection, [office.row.id], REVIVED) == set()
        assert claim(connection, "somebody", kinds=("mail",))
        assert requeue(connection, [office.row.id], REVIVED) == set()
    assert [state for state, *_ in office.effects] == ["sending"]
