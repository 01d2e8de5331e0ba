"""A real browser, clicking through consents to our pages: loopback and link, allowed and denied, light and dark."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sqlalchemy import update

from aura_cli.db.engine import writing
from aura_cli.integrations import pages
from aura_cli.integrations.tables import connect_links
from tests.integrations.connecting import ADA, World
from tests.integrations.picture import PAGES, SCHEMES, painted, picture
from tests.integrations.test_links import Reachable, reachable
from tests.parts.chromium import Scheme, Tab, chromium, tab

__all__ = ["chromium", "reachable"]


def is_ours(seen: Tab) -> None:
    """A page of ours keeps to itself: nothing from elsewhere, no complaint, no code or state in sight."""
    assert all(re.match(r"http://127\.0\.0\.1:\d+/", address) for address in seen.asked)
    assert not [text for text in seen.complaints if "favicon" not in text and "404" not in text]
    assert not re.search(r"sandbox-(code|access|refresh)|[0-9a-f]{64}", seen.page.content().partition("<body>")[2])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_allowed(world: World, chromium: Browser, scheme: Scheme, tmp_path: Path) -> None:
    """From the printed address over the provider's page to ours, which says what is connected, in the colours that the person likes."""
    waiting = world.waiting("github")
    with tab(chromium, scheme) as seen:
        seen.page.goto(waiting.url)
        seen.press("Allow")
        assert seen.title == "GitHub is connected"
        assert "ada@github.example.com" in seen.page.content()
        paper = seen.page.locator("body").screenshot(path=tmp_path / "connected.png")
        is_ours(seen)
    assert waiting.end().exit == 0
    assert len(paper) > 5_000
    assert world.rows()[0]["label"] == "ada@github.example.com"


def test_denied(world: World, chromium: Browser) -> None:
    """The person says no: the page says that nothing was stored, and the terminal why it ended."""
    waiting = world.waiting("github")
    with tab(chromium) as seen:
        seen.page.goto(waiting.url)
        seen.press("Deny")
        assert seen.title == "GitHub was not connected"
        is_ours(seen)
    assert waiting.end().exit == 3
    assert not world.rows()


def test_a_link(reachable: Reachable, chromium: Browser) -> None:
    """Somebody without the program: the link, its button, the consent, our page; the address bar keeps no code."""
    waiting = reachable.waiting("github")
    with tab(chromium) as seen:
        seen.page.goto(waiting.url)
        assert seen.title == "Connect GitHub"
        assert ADA in seen.page.content()
        seen.press("Continue to GitHub")
        seen.press("Allow")
        assert (seen.title, seen.page.url) == ("GitHub is connected", waiting.url)
        seen.page.reload()
        assert seen.title == "GitHub is connected"
        assert not [text for text in seen.complaints if "404" not in text]
    assert waiting.end().exit == 0


def test_an_expired_link(reachable: Reachable, chromium: Browser) -> None:
    """It says so, and whom to ask."""
    link = reachable.link("github")
    with writing(reachable.world.engine) as connection:
        connection.execute(update(connect_links).values(expires_at=connect_links.c.created_at))
    with tab(chromium) as seen:
        seen.page.goto(link)
        assert seen.title == "This link has expired"
        assert seen.page.get_by_role("button").count() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_pictures_in_the_readme(chromium: Browser, scheme: Scheme) -> None:
    """They can be painted, and are small enough for a README."""
    assert len(painted(chromium, scheme)) > 20_000
    assert picture(scheme).stat().st_size < 60_000


def test_a_telephone(chromium: Browser) -> None:
    """No page is wider than the narrowest screen, whatever an account is called."""
    long = pages.connected("GitHub", "a" * 200 + "@example.com", "b" * 200, "c" * 200)
    with tab(chromium, width=320, javascript=True) as seen:
        for page in (*PAGES, long, pages.invitation("GitHub", "d" * 200, ["e" * 200], 3, "f")):
            seen.page.set_content(page.html)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
