"""What is old and settled leaves; what waits, and who gets no mail, stays."""

from datetime import UTC, datetime, timedelta

from aura_cli.db.engine import writing
from aura_cli.mail.tables import mails, resend_events
from aura_cli.outbox.tables import outbox
from tests.mail.office import Office


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
