"""What is kept back, and keeps nobody else from a mail."""

from tests.mail.office import Office
from tests.mail.picky import SAID, picky

WELCOME = ("send", "welcome", "--to", "mina@example.com")


def test_suppressed_while_nobody_knew(office: Office) -> None:
    """An address that was closed after a try without an answer gets nothing by the next one."""
    office.post.suffers("application_error")
    assert office(*WELCOME).exit == 8
    office.suppress("mina@example.com")
    assert office("retry").exit == 9
    assert (office.post.mails, office.row.state) == ([], "expired")
    assert office.row.error == "The address gets no mail: operator; whether it was sent before is not known here"


def test_one_recipient_that_is_not_allowed(office: Office) -> None:
    """A 403 about an address, as a team without a domain gets for all but its own, stands in nobody else's way."""
    with picky("mina@example.com", status=403) as resend:
        office.more = {"RESEND_API_URL": resend.base}
        done = office(*WELCOME)
        assert (done.exit, SAID in done.err) == (8, True), done.err
        assert office("send", "welcome", "--to", "ravi@example.com").exit == 0
        office.make_due()
        assert office("retry").exit == 9
    assert resend.taken == ["ravi@example.com"]
    assert office.effects[0][:2] == ("pending", 2)
