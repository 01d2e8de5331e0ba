"""What becomes of a mail after it was sent: Resend's webhooks, in any order, more than once, before our own commit."""

import base64
import itertools
import json
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from aura_cli.db.engine import reading
from aura_cli.errors import ConfigurationError
from aura_cli.mail import status, svix
from aura_cli.mail.again import revive
from aura_cli.mail.receiving import Reception
from aura_cli.mail.tables import resend_events
from tests.mail.office import Office, user_id
from tests.mail.picky import picky
from tests.parts.listening import serving
from tests.parts.waiting import until

KEY = b"a key of a test that is long enough"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
_numbers = itertools.count(1)


def event(kind: str, resend_id: str | None = None, *, to: str = "mina@example.com", ago: float = 0.0, **data: Any) -> bytes:
    """A body as Resend posts it, of what happened so many seconds ago."""
    moment = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat().replace("+00:00", "Z")
    about = {"email_id": resend_id, "to": [to], "from": "AURA <mail@example.com>", "subject": "Welcome", **data}
    return json.dumps({"type": kind, "created_at": moment, "data": about}).encode()


def tell(office: Office, body: bytes, identifier: str = "", *, key: bytes = KEY, later: float = 0.0, **headers: str) -> int:
    """The status that a delivery gets."""
    now = int(time.time() + later)
    signed = svix.sign(key, identifier or f"msg_{next(_numbers)}", now, body) | headers
    return Reception(office.engine, KEY).take(signed, body)[0]


@pytest.fixture
def sent(office: Office) -> tuple[Office, str]:
    """An office, and Resend's id of a mail that it has sent."""
    assert office("send", "welcome", "--to", "mina@example.com").exit == 0
    return office, office.row.resend_id


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("email.sent", "sent"),
        ("email.delivery_delayed", "delayed"),
        ("email.delivered", "delivered"),
        ("email.opened", "delivered"),
        ("email.bounced", "bounced"),
        ("email.failed", "failed"),
        ("email.suppressed", "suppressed"),
        ("email.complained", "complained"),
        ("email.of_next_year", "sent"),
        ("contact.created", "sent"),
    ],
)
def test_each_event(sent: tuple[Office, str], kind: str, state: str) -> None:
    """It brings its mail to its state; what is not known is noted and changes nothing."""
    office, resend_id = sent
    assert tell(office, event(kind, resend_id)) == 200
    assert office.row.state == state
    with reading(office.engine) as connection:
        assert connection.execute(select(resend_events.c.type)).scalar_one() == kind
    assert [one["type"] for one in office("log", office.row.id, "--json").json["events"]] == [kind]


def test_states_never_go_back(sent: tuple[Office, str]) -> None:
    """Whatever the order of the events, the mail ends in the furthest of their states."""
    office, resend_id = sent
    kinds = ["email.sent", "email.delivery_delayed", "email.delivered", "email.opened", "email.complained"]
    for order in Random(5).sample(list(itertools.permutations(kinds)), 6):
        office.sql(f"UPDATE {'' if office.engine.dialect.name == 'sqlite' else 'aura_ops.'}mails SET state = 'sent'")
        furthest = 0
        for kind in order:
            assert tell(office, event(kind, resend_id)) == 200
            now = status.STATES.index(office.row.state)
            assert now >= furthest
            furthest = now
        assert office.row.state == "complained"


def test_an_event_counts_once(sent: tuple[Office, str]) -> None:
    """Resend sends again what it is not sure of, under the same id."""
    office, resend_id = sent
    body = event("email.bounced", resend_id, bounce={"type": "Permanent", "subType": "General", "message": "No such user"})
    assert tell(office, body, "msg_one") == 200
    assert office("suppress", "--remove", "mina@example.com").exit == 0
    assert tell(office, body, "msg_one") == 200
    assert office.suppressed == {}
    assert office.row.error == "Permanent General: No such user"


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("email.bounced", {"bounce": {"type": "Permanent", "subType": "Suppressed", "message": ""}}, "bounced"),
        ("email.bounced", {}, "bounced"),
        ("email.bounced", {"bounce": {"type": "Transient", "subType": "MailboxFull", "message": "full"}}, None),
        ("email.complained", {}, "complained"),
        ("email.suppressed", {"suppressed": {"type": "OnAccountSuppressionList", "message": "on the list"}}, "bounced"),
        ("suppression.added", {"email": "Mina@Example.com", "origin": "complaint"}, "complained"),
        ("email.failed", {"failed": {"reason": "reached_daily_quota"}}, None),
        ("email.delivered", {}, None),
    ],
)
def test_addresses_that_get_no_more(sent: tuple[Office, str], kind: str, more: dict[str, Any], reason: str | None) -> None:
    """A lasting bounce and a complaint do; a mailbox that is full does not. The next mail is skipped, and said."""
    office, resend_id = sent
    assert tell(office, event(kind, None if "email" in more else resend_id, **more)) == 200
    assert office.suppressed == ({"mina@example.com": reason} if reason else {})
    again = office("send", "welcome", "--to", "MINA@example.com", "--again")
    assert again.exit == (3 if reason else 0)
    assert len(office.post.mails) == (1 if reason else 2)
    if reason:
        assert reason in again.err
        assert tell(office, event("suppression.removed", None, email="mina@example.com", origin="bounce")) == 200
        assert office.suppressed == {}


def test_what_a_person_suppressed_stays(office: Office) -> None:
    """Resend's own list does not open what somebody here has closed; it is listed, and they can open it."""
    for changed in (True, False):
        ruled = office("suppress", "mina@example.com", "--json").json
        assert ruled == {"address": "mina@example.com", "gets_mail": False, "changed": changed}
    assert tell(office, event("suppression.removed", None, email="mina@example.com")) == 200
    listed = office("suppressed", "--json").json
    assert [(one["address"], one["reason"]) for one in listed] == [("mina@example.com", "operator")]
    assert office("suppress", "--remove", "MINA@example.com", "-n").exit == 0
    assert office("suppress", "--remove", "MINA@example.com").exit == 0
    assert office("suppressed", "--json").json == []
    assert office("suppress", "no address").exit == 2


@pytest.mark.parametrize("kind", ["email.bounced", "suppression.added"])
def test_a_person_outweighs_resend(office: Office, kind: str) -> None:
    """Who says so of an address that bounced means it: it does not get mail again where Resend lets it go."""
    assert tell(office, event(kind, email="mina@example.com", origin="manual")) == 200
    assert office("suppress", "mina@example.com", "--json").json["changed"]
    assert tell(office, event("suppression.removed", None, email="mina@example.com")) == 200
    assert tell(office, event(kind, email="mina@example.com", origin="bounce")) == 200
    assert office.suppressed == {"mina@example.com": "operator"}


def test_resends_own_list(office: Office) -> None:
    """What somebody put on it there goes when they take it off; a complaint that came later than that stays."""
    mina = {"email": "mina@example.com"}
    assert tell(office, event("suppression.added", ago=30, origin="manual", **mina)) == 200
    assert office.suppressed == {"mina@example.com": "manual"}
    assert tell(office, event("suppression.removed", ago=20, **mina)) == 200
    assert office.suppressed == {}
    assert tell(office, event("email.complained", ago=5, **mina)) == 200
    assert tell(office, event("suppression.removed", ago=10, **mina)) == 200
    assert office.suppressed == {"mina@example.com": "complained"}


def test_an_event_that_comes_before_our_commit(office: Office) -> None:
    """It is kept, and counts once the mail's id at Resend is known; with the row's own mark it counts at once."""
    office.post.suffers("cut")
    assert office("send", "welcome", "--to", "mina@example.com").exit == 8
    (mail,) = office.post.mails
    assert tell(office, event("email.delivered", mail.id)) == 200
    assert office.row.state == "queued"
    assert office("retry").exit == 0
    assert (office.row.state, office.row.resend_id) == ("delivered", mail.id)


def test_the_truth_about_a_mail_that_nobody_heard_of(office: Office) -> None:
    """Resend's webhook says that it was taken: it is known, and not sent again, though its key has expired."""
    office.post.suffers("cut")
    assert office("send", "welcome", "--to", "mina@example.com").exit == 8
    (mail,) = office.post.mails
    office.days_ago(1)
    assert office("retry").exit == 9
    assert office.row.state == "expired"
    assert tell(office, event("email.delivered", mail.id, tags={"mail": office.row.id, "template": "welcome"})) == 200
    assert (office.row.state, office.row.resend_id) == ("delivered", mail.id)
    assert office("retry", office.row.id, "--anew").exit == 2
    assert len(office.post.mails) == 1


def test_known_by_a_webhook_before_the_repetition(office: Office) -> None:
    """A mail whose webhook was faster than its repetition needs none."""
    office.post.suffers("cut")
    assert office("send", "welcome", "--to", "mina@example.com").exit == 8
    tags = [{"name": "mail", "value": office.row.id}]
    assert tell(office, event("email.sent", office.post.mails[0].id, tags=tags)) == 200
    requests = len(office.sent())
    assert office("retry").exit == 0
    assert (office.row.state, len(office.sent())) == ("sent", requests)
    assert office.effects[0][0] == "done"
    assert "request" not in office.payloads[0]


def test_the_first_sending_says_nothing_of_the_second(office: Office) -> None:
    """A webhook about it that comes late, while the second waits, was tried in vain, or is sent: neither its state nor its id."""
    with picky("mina@example.com") as resend:
        assert office("send", "welcome", "--to", "mina@example.com", RESEND_API_URL=resend.base).exit == 7
    mark = {"mail": office.row.id}
    revive(office.engine, [office.row.id], "ada")
    assert tell(office, event("email.delivered", "the-first", tags=mark)) == 200
    assert (office.row.state, office.row.resend_id) == ("queued", None)
    office.post.suffers("cut")
    assert office("retry").exit == 9
    assert tell(office, event("email.delivered", "the-first", ago=60, tags=mark)) == 200
    assert (office.row.state, office.row.resend_id) == ("queued", None)
    assert office("retry").exit == 0
    assert tell(office, event("email.failed", "the-first", tags=mark)) == 200
    assert (office.row.state, office.row.resend_id) == ("sent", office.post.mails[0].id)


@pytest.mark.parametrize(
    "how",
    [
        {"key": b"another key"},
        {"later": -302},
        {"later": 302},
        {"svix-signature": "v1,AAAA"},
        {"svix-signature": ""},
        {"svix-id": ""},
        {"svix-timestamp": "soon"},
        {"svix-signature": "v2,AAAA v1"},
        {"svix-id": "x" * 300},
    ],
)
def test_who_did_not_sign(sent: tuple[Office, str], how: dict[str, Any]) -> None:
    """400, and nothing is noted."""
    office, resend_id = sent
    assert tell(office, event("email.bounced", resend_id), **how) == 400
    assert (office.row.state, office.suppressed) == ("sent", {})


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"type": 1}', b"\xff", b'{"type": "email.sent", "created_at": "soon", "data": {}}', b"[" * 100_000],
)
def test_signed_and_no_event(office: Office, body: bytes) -> None:
    """400; it comes again in vain."""
    assert tell(office, body) == 400


def test_while_the_secret_is_changed() -> None:
    """One of several signatures is enough; both names of the headers are read; Svix's own example verifies."""
    body, moment = b'{"test": 2432232314}', 1614265330
    key = svix.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = {"svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": str(moment)}
    genuine = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    for signature in (genuine, f"v1,AAAA {genuine}", f"{genuine} v2,BBBB"):
        svix.verify(svix.Signed.of({**headers, "svix-signature": signature}), body, key, moment)
    renamed = {name.replace("svix", "webhook"): value for name, value in {**headers, "svix-signature": genuine}.items()}
    svix.verify(svix.Signed.of(renamed), body, key, moment)
    for secret in ("whsec_", "whsec_***", ""):
        with pytest.raises(ConfigurationError, match="RESEND_WEBHOOK_SECRET"):
            svix.key_of(secret)


def test_who_connects_and_says_nothing(office: Office) -> None:
    """A dozen of them keep Resend's webhook waiting no longer than none does."""
    more = {"RESEND_WEBHOOK_SECRET": SECRET, "NEXT_PUBLIC_APP_URL": "http://127.0.0.1:9"}
    with serving(office.aura, office.url, "--workers", "1", env={**office.post.env, **more}) as served, ExitStack() as silent:
        for _ in range(12):
            line = silent.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
            line.sendall(b"POST /api/webhooks/resend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert served.send(b"POST /api/webhooks/resend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").status == 400


def test_on_the_listener(office: Office) -> None:
    """`serve-webhooks` delivers what waits, takes Resend's webhooks on its public port, and the states follow."""
    office.people(1)
    with serving(office.aura, office.url, "--workers", "1", env={**office.post.env, "NEXT_PUBLIC_APP_URL": "http://127.0.0.1:9"}) as served:
        url = f"http://127.0.0.1:{served.port}/api/webhooks/resend"
        office.post.tells(url)
        asked = {"template": "subscription_confirmation", "user_id": user_id(1), "subscription": "sub_1", "price": None}
        office.ask("subscription_confirmation:sub_1", asked)
        until(lambda: office.states == {"delivered": 1})
        assert served.send(b"POST /api/webhooks/resend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").status == 400
        assert served.send(b"GET /api/webhooks/resend HTTP/1.1\r\nHost: x\r\n\r\n").status == 405
        assert served.alive()
    assert all(delivery.status == 200 for delivery in office.post.state.deliveries)
