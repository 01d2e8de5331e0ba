"""Mails that handling an event asked for: to whom and with what is known when a worker delivers them."""

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest
from sqlalchemy import update

from aura_cli.db.engine import writing
from aura_cli.errors import AuraError, ConfigurationError, UnreachableError
from aura_cli.mail.sending import ASKS_STRIPE, Mailing
from aura_cli.outbox.carrying import Carried, Carrier
from aura_cli.outbox.queue import ATTEMPTS, claim
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings
from tests.mail.office import CONFIRMATION, Office


def test_a_worker_without_a_key(office: Office) -> None:
    """What was asked for while it had none does not surprise anybody once it has one."""
    office.people(1)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    office.more = {"RESEND_API_KEY": "", "RESEND_API_URL": ""}
    assert [one.state for one in office.carry()] == ["dead"]
    assert office.row.state == "not_configured"
    office.more = {}
    assert office.carry() == []
    assert office.post.mails == []


@pytest.mark.parametrize(("trouble", "state"), [("unreachable", "failed"), ("cut", "expired")])
def test_given_up(office: Office, trouble: str, state: str) -> None:
    """After the last try: `failed` where it surely was not taken, `expired` where nobody knows."""
    office.people(1)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    with writing(office.engine) as connection:
        connection.execute(update(outbox).values(attempts=ATTEMPTS - 1))
    if trouble == "cut":
        office.post.suffers("cut")
    else:
        office.more = {"RESEND_API_URL": "http://127.0.0.1:9"}
    assert [one.state for one in office.carry()] == ["dead"]
    assert office.row.state == state


def test_a_confirmation_that_handling_asked_for(office: Office) -> None:
    """To whom, and called what, is known when it is sent; nobody's address yet: it waits for one."""
    office.people(1, email=None)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    (waits,) = office.carry()
    assert (waits.state, waits.error) == ("pending", "No mail address")
    assert (office.row.address, office.row.state) == (None, "queued")
    office.sql("UPDATE users SET email = 'person1@example.com'")
    office.make_due()
    assert [one.state for one in office.carry()] == ["done"]
    (mail,) = office.post.mails
    assert (mail.message.to, mail.message.subject) == (("person1@example.com",), "Your AURA subscription has started")
    assert (office.row.key, office.row.state) == ("subscription_confirmation:sub_1", "sent")
    assert office.carry() == []


def test_an_address_that_came_too_late(office: Office) -> None:
    """Given up for want of one, it goes out when somebody asks for it after there is one; to the one that the row has, once it has one."""
    office.people(1, email=None)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    with writing(office.engine) as connection:
        connection.execute(update(outbox).values(attempts=ATTEMPTS - 1))
    assert [one.state for one in office.carry()] == ["dead"]
    assert (office.row.state, office.row.address) == ("failed", None)
    assert office("retry", office.row.id).exit == 9
    assert (office.row.state, office.row.error) == ("failed", "No mail address")
    office.sql("UPDATE users SET email = 'person1@example.com'")
    office.suppress("person1@example.com")
    assert office("retry", office.row.id).exit == 9
    office.sql("UPDATE users SET email = 'later@example.com'")
    assert office("suppress", "person1@example.com", "--remove").exit == 0
    assert office("retry", office.row.id).exit == 0
    assert (office.row.state, office.row.address) == ("sent", "person1@example.com")
    assert office.arrived() == {"person1@example.com": 1}


def carried(office: Office, trouble: AuraError) -> Carried:
    """A worker's only delivery, while asking Stripe for a plan ends in `trouble`."""

    def plans(price: str | None) -> Mapping[str, Any]:
        raise trouble

    office.make_due()
    (found,) = Carrier(office.engine, Mailing.of(office.engine, Settings.load(office.env, office.aura.work), plans)).once()
    return found


def test_a_stripe_key_that_may_not_read_prices(office: Office) -> None:
    """It stops no mail: the plan has the service's name."""
    office.people(1)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    assert carried(office, ConfigurationError("Stripe refuses the key")).state == "done"
    assert (office.row.state, office.row.data["plan"]) == ("sent", "AURA")


def test_stripe_is_away_for_long(office: Office) -> None:
    """The mail has its row from the first try on, waits for a few, and then goes out without what Stripe would have said."""
    office.people(1)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    for _ in range(ASKS_STRIPE - 1):
        assert carried(office, UnreachableError("Stripe could not be reached")).state == "pending"
        assert (office.row.state, office.row.error) == ("queued", "Stripe could not be reached")
    assert carried(office, UnreachableError("Stripe could not be reached")).state == "done"
    assert (office.row.state, office.row.address, len(office.post.mails)) == ("sent", "person1@example.com", 1)


def test_a_claim_that_ran_out_before_the_request_was_made(office: Office) -> None:
    """Whoever has it now sends it; the one who was slow sends nothing, and changes nothing."""
    office.people(1)
    office.ask("subscription_confirmation:sub_1", CONFIRMATION)
    with writing(office.engine) as connection:
        late = claim(connection, "one", kinds=("mail",))
    office.make_due()
    with writing(office.engine) as connection:
        assert claim(connection, "two", kinds=("mail",))
    mailing = office.mailing()
    with mailing.opened():
        list(mailing.deliver(late, Event()))
    assert office.post.mails == []
    assert "request" not in office.payloads[0]
    assert list(office.rows) == []
