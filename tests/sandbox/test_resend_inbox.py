"""The inbox of Resend's stand-in, looked at in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from aura_cli.mail.rendering import find, render
from tests.parts.chromium import chromium, tab
from tests.parts.resend import Post, post

__all__ = ["chromium"]

EVIL = '<script>document.title = "taken over"</script><img src=x onerror="document.title = \'taken over\'"><h1>Pay here</h1>'


@pytest.fixture
def office() -> Iterator[Post]:
    with post() as found:
        yield found


def send(office: Post, **more: object) -> str:
    mail = {"from": "AURA <noreply@example.com>", "to": "delivered@resend.dev", "subject": "Hello", "text": "Hi", **more}
    return str(office.call("POST", "/emails", mail).json()["id"])


def test_a_mail_is_looked_at(chromium: Browser, office: Post) -> None:
    """The newest stands on top; one click shows who, what became of it, the mail as its reader sees it, and its text."""
    mail = render("welcome", find("welcome").sample, app_url="https://aura.example.com")
    send(office, to="bounced@resend.dev")
    send(office, subject=mail.subject, html=mail.html, text=mail.text)
    with tab(chromium, width=900, height=900) as opened:
        opened.page.goto(office.base)
        assert opened.page.locator("li .subject").all_inner_texts() == [mail.subject, "Hello"]
        assert opened.page.locator("li .state").all_inner_texts()[1].startswith("bounced")
        opened.page.locator("li a").first.click()
        assert opened.title == mail.subject
        assert opened.page.frame_locator("iframe").locator("h1").inner_text() == "Good to have you here, Mina Okafor"
        assert "Open AURA:" in opened.page.locator("pre").inner_text()
        assert opened.complaints == []


def test_a_mail_can_do_nothing_here(chromium: Browser, office: Post) -> None:
    """Neither its HTML, nor its subject or names, run, fetch, or look like the page itself."""
    with post() as elsewhere, tab(chromium, javascript=True, width=360) as opened:
        html = f'{EVIL}<img src="{elsewhere.base}/y">'
        identifier = send(office, subject=EVIL, html=html, text=EVIL, **{"from": "noreply@example.com"})
        inbox = "/_sandbox/inbox"
        office.asked.clear()
        for path in ("/", f"{inbox}/{identifier}"):
            opened.page.goto(office.base + path)
            assert opened.page.title().endswith("sandbox")
            assert opened.page.locator("h1").count() == 1
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert (set(office.asked) - {"/favicon.ico"}, elsewhere.asked) == ({"/", inbox, f"{inbox}/{identifier}"}, [])


def test_no_such_mail(chromium: Browser, office: Post) -> None:
    """An empty inbox says so, and so does an address without a mail."""
    with tab(chromium) as opened:
        opened.page.goto(office.base)
        assert "No mail yet" in opened.page.locator("p").inner_text()
        opened.page.goto(f"{office.base}/_sandbox/inbox/{office.state.new_id()}")
        assert opened.title == "No such mail"
