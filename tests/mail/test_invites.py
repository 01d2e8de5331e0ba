"""Invitations: the web app's own row, a link that answers, one mail; sent once more, taken back, and nothing left of what failed."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Row, select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading
from aura_cli.db.shared import team_invites
from tests.mail.office import Office, user_id
from tests.parts.program import Completed

RAVI = "ravi@example.com"


@dataclass
class WebApp:
    """The page of invitations: what it answers, and which addresses were looked at."""

    answers: int = 200
    port: int = 0
    looked: list[str] = field(default_factory=list)


@pytest.fixture
def web_app(office: Office) -> Iterator[WebApp]:
    """The office has an owner with a workspace; the web app's page answers."""
    office.people(1, name="Mina Okafor")
    found = WebApp()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.looked.append(self.path)
            self.send_response(found.answers)
            self.send_header("Content-Type", "text/html")
            self.send_header("Location", "/login")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        found.port = server.server_port
        office.more = {"NEXT_PUBLIC_APP_URL": f"http://127.0.0.1:{found.port}"}
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def invite(office: Office, *more: str, email: str = RAVI, **other: Any) -> Completed:
    return office("invite", "--workspace", "person1@example.com", "--email", email, *more, **other)


def rows(office: Office) -> list[Row[Any]]:
    with reading(office.engine) as connection:
        return list(connection.execute(select(team_invites).order_by(team_invites.c.created_at)))


def test_the_web_apps_row_and_its_mail(office: Office, web_app: WebApp) -> None:
    """Token, role and expiry are as the web app makes them; the link was opened before it was sent; the token is told to nobody else."""
    done = invite(office, "--role", "admin", "--team", "Okafor Bakery", "--json")
    assert done.exit == 0, done.err
    (row,) = rows(office)
    assert (str(row.workspace_owner_id), row.email, row.role, row.status) == (user_id(1), RAVI, "admin", "pending")
    assert re.fullmatch(r"[0-9a-f]{64}", row.token)
    assert abs(row.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=2)
    assert row.accepted_at is None
    (mail,) = office.post.mails
    assert mail.message.to == (RAVI,)
    assert mail.message.subject == "Mina Okafor invites you to Okafor Bakery on AURA"
    assert f"/team/accept?token={row.token}" in (mail.message.text or "")
    assert web_app.looked == [f"/team/accept?token={row.token}"]
    assert row.token not in done.out + done.err
    assert (done.json["state"], done.json["invitation"]["role"]) == ("sent", "admin")
    with reading(office.engine) as connection:
        deed = connection.execute(select(operator_log).where(operator_log.c.what == "email.invite")).one()
    assert RAVI not in str(deed)
    assert row.token not in str(deed)


def test_the_token_is_shown_nowhere(office: Office, web_app: WebApp) -> None:
    """Neither where --debug tells of the link that was looked at, nor where the log shows the mail in full."""
    done = invite(office, "--debug")
    assert done.exit == 0
    assert f"HTTP Request: GET http://127.0.0.1:{web_app.port}/…" in done.err
    identifier = office.row.id
    shown = [done, office("log", identifier), office("log", identifier, "--json"), office("log", identifier, "--debug")]
    assert [one for one in shown if rows(office)[0].token in one.out + one.err] == []
    assert "team = Mina Okafor's workspace" in shown[1].out


@pytest.mark.parametrize("answer", [404, 500, 0])
def test_a_link_that_leads_nowhere(office: Office, web_app: WebApp, answer: int) -> None:
    """Nothing is sent, nothing stays, and it says where it looked, without the token; --unchecked sends it all the same."""
    web_app.answers = answer
    if not answer:
        office.more = {"NEXT_PUBLIC_APP_URL": "http://127.0.0.1:9"}
    done = invite(office)
    assert done.exit == (7 if answer else 8)
    assert "/team/accept" in done.err
    assert "token=" not in done.err
    assert (rows(office), office.post.mails) == ([], [])
    assert invite(office, "--unchecked").exit == 0
    assert len(office.post.mails) == 1


@pytest.mark.parametrize("answer", [200, 307])
def test_a_page_that_asks_for_a_login(office: Office, web_app: WebApp, answer: int) -> None:
    """It answers, and that is enough: it is not followed."""
    web_app.answers = answer
    assert invite(office).exit == 0


def test_one_invitation_is_open_at_a_time(office: Office, web_app: WebApp) -> None:
    """A second one is refused, in any case of the address; --resend sends the open one again, good for longer; --revoke ends it."""
    assert invite(office).exit == 0
    again = invite(office, email="RAVI@example.com")
    assert again.exit == 6
    assert "--resend" in again.err
    before = rows(office)
    office.sql(f"UPDATE team_invites SET expires_at = '{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S.%fZ}'")
    assert invite(office, "--resend").exit == 0
    (row,) = rows(office)
    assert row.token == before[0].token
    assert row.expires_at > datetime.now(UTC) + timedelta(days=6)
    assert len(office.post.mails) == 2
    assert invite(office, "--revoke", "-n").exit == 0
    assert rows(office)[0].status == "pending"
    assert invite(office, "--revoke").exit == 0
    assert rows(office)[0].status == "revoked"
    assert invite(office, "--revoke").exit == 5
    assert invite(office, "--resend").exit == 5
    assert len(office.post.mails) == 2
    assert invite(office).exit == 0
    assert [one.status for one in rows(office)] == ["revoked", "pending"]


def test_a_link_that_leads_nowhere_renews_nothing(office: Office, web_app: WebApp) -> None:
    """The open invitation stays as it was, and nothing is sent."""
    assert invite(office).exit == 0
    before = rows(office)
    web_app.answers = 500
    assert invite(office, "--resend").exit == 7
    assert rows(office) == before
    assert len(office.post.mails) == 1
    assert invite(office, "--resend", "--unchecked").exit == 0
    assert len(office.post.mails) == 2


@pytest.mark.parametrize("hindered", [True, False])
def test_a_mail_that_still_waits(office: Office, web_app: WebApp, hindered: bool) -> None:
    """It does not go out beside the one of --resend, and not at all after --revoke."""
    away = {} if hindered else {"RESEND_API_KEY": "", "RESEND_API_URL": ""}

    def wait(*more: str) -> None:
        if hindered:
            office.post.suffers("daily_quota_exceeded")
        assert invite(office, *more, **away).exit == (7 if hindered else 0)

    wait()
    assert invite(office, "--resend").exit == 0
    office("retry")
    assert len(office.post.mails) == 1
    wait("--resend")
    assert invite(office, "--revoke").exit == 0
    office("retry")
    assert len(office.post.mails) == 1
    assert office.states == {"sent": 1, "failed": 2}
    assert [row.error for row in office.rows] == ["A later mail brings the invitation", None, "The invitation was revoked"]


def test_who_asks_for_a_revoked_one_again(office: Office, web_app: WebApp) -> None:
    """Nothing brings a link that leads nowhere: not `retry`, and not a worker that was at it when the invitation was taken back."""
    assert invite(office, RESEND_API_KEY="", RESEND_API_URL="").exit == 0
    assert invite(office, "--revoke").exit == 0
    assert office("retry", "--state", "failed", "--yes").exit == 9
    assert (office.post.mails, office.states) == ([], {"failed": 1})
    assert [row.error for row in office.rows] == ["The invitation is revoked"]
    assert invite(office, RESEND_API_KEY="", RESEND_API_URL="").exit == 0
    office.sql("UPDATE team_invites SET status = 'accepted' WHERE status = 'pending'")
    assert office("retry", "--state", "not_configured", "--yes").exit == 9
    assert office.post.mails == []


def test_one_that_may_have_been_sent_before(office: Office, web_app: WebApp) -> None:
    """What is taken back while nobody knows whether its mail went out is not sent again."""
    office.post.suffers("application_error")
    assert invite(office).exit == 8
    assert invite(office, "--revoke").exit == 0
    assert office("retry").exit == 9
    assert (office.post.mails, office.row.state) == ([], "expired")
    assert office.row.error == "The invitation is revoked; whether it was sent before is not known here"


def test_one_that_expired_while_its_mail_waited(office: Office, web_app: WebApp) -> None:
    """Nobody gets a link that is dead."""
    assert invite(office, RESEND_API_KEY="", RESEND_API_URL="").exit == 0
    office.sql("UPDATE team_invites SET expires_at = created_at")
    assert office("retry", "--state", "not_configured", "--yes").exit == 9
    assert (office.post.mails, office.row.error) == ([], "The invitation is expired")


def test_the_template_sent_by_hand(office: Office) -> None:
    """It is a mail like any other: no row of the web app's stands behind it."""
    data = {"inviter": "Mina", "team": "Bakery", "role": "member", "link": "https://app.example.com/team/accept"}
    assert office("send", "team-invite", "--to", RAVI, data=data).exit == 0
    assert office("send", "team-invite", "--to", RAVI, "--about", "spring", data=data).exit == 0
    assert len(office.post.mails) == 2


def test_production_asks_first(office: Office, web_app: WebApp) -> None:
    """Nobody is invited from production unless a person, or --yes, says so."""
    office.more |= {"AURA_ENV": "production"}
    assert invite(office).exit == 6
    assert (rows(office), office.post.mails, office.rows) == ([], [], [])
    assert invite(office, "--yes").exit == 0
    assert len(office.post.mails) == 1


def test_an_expired_one_makes_room(office: Office, web_app: WebApp) -> None:
    """It is marked so, as the web app does, and a new one is made."""
    assert invite(office).exit == 0
    office.sql(f"UPDATE team_invites SET expires_at = '{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S.%fZ}'")
    assert invite(office).exit == 0
    assert sorted(one.status for one in rows(office)) == ["expired", "pending"]
    assert len({one.token for one in rows(office)}) == 2


def test_who_cannot_be_invited(office: Office, web_app: WebApp) -> None:
    """A member, the owner, an address that gets no mail, an address that is none, an owner's role."""
    office.people(1, first=2)
    office.sql(f"INSERT INTO team_members (id, user_id, workspace_owner_id) VALUES ('{user_id(50)}', '{user_id(2)}', '{user_id(1)}')")
    assert invite(office, email="person2@example.com").exit == 6
    assert invite(office, email="person1@example.com").exit == 6
    office.suppress(RAVI)
    refused = invite(office)
    assert refused.exit == 3
    assert "gets no mail" in refused.err
    assert invite(office, email="ravi@example.com\r\nBcc: x@example.com").exit == 2
    assert invite(office, "--role", "owner", email="new@example.com").exit == 2
    assert invite(office, "--resend", "--revoke").exit == 2
    assert office("invite", "--workspace", user_id(9), "--email", RAVI).exit == 5
    assert (rows(office), office.post.mails) == ([], [])


def test_a_dry_run(office: Office, web_app: WebApp) -> None:
    """It checks all that it can without leaving anything."""
    done = invite(office, "-n")
    assert done.exit == 0
    assert "would be invited as member" in done.out
    assert (rows(office), office.rows, office.post.mails, web_app.looked) == ([], [], [], [])


def test_without_a_key(office: Office, web_app: WebApp) -> None:
    """The invitation is there, its mail is kept, exit 0; --require leaves nothing."""
    assert invite(office, "--require", RESEND_API_KEY="", RESEND_API_URL="").exit == 4
    assert rows(office) == []
    done = invite(office, RESEND_API_KEY="", RESEND_API_URL="")
    assert done.exit == 0
    assert "RESEND_API_KEY is not set" in done.err
    assert (len(rows(office)), office.row.state) == (1, "not_configured")


@pytest.mark.parametrize(
    "shape",
    [
        "https://app.example.com/join",
        "https://{token}.example.com/",
        "ftp://app.example.com/{token}",
        "http://app.example.com/{token}",
        "{token}{token}",
    ],
)
def test_shapes_of_links_that_cannot_be(office: Office, web_app: WebApp, shape: str) -> None:
    """Found out before anything is made: no token, two, a token in a host's name, one that travels in the clear."""
    done = invite(office, AURA_INVITE_URL=shape)
    assert (done.exit, rows(office)) == (4, [])
    assert "AURA_INVITE_URL" in done.err


def test_another_shape(office: Office, web_app: WebApp) -> None:
    """As it is set, the token in its place."""
    assert invite(office, AURA_INVITE_URL=f"http://127.0.0.1:{web_app.port}/join/{{token}}").exit == 0
    assert web_app.looked == [f"/join/{rows(office)[0].token}"]


def test_names_with_markup_and_breaks(office: Office, web_app: WebApp) -> None:
    """A workspace's name stays text, in the subject and in the HTML."""
    office.sql("UPDATE users SET name = :name", name="<b>Mina</b>\r\nBcc: x@example.com")
    assert invite(office).exit == 0
    (mail,) = office.post.mails
    assert mail.message.subject.isprintable()
    assert "<b>Mina</b>" not in (mail.message.html or "")
