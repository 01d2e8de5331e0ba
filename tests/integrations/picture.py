"""The pictures of our pages that the README shows, painted by Chromium: `python -m tests.integrations.picture` writes them."""

import base64
from pathlib import Path

from playwright.sync_api import Browser

from aura_cli.integrations import pages
from tests.parts.chromium import Scheme, browser, tab

PAGES = (
    pages.connected("GitHub", "ada@example.com", "ada@acme.example.com", "All is done here. The terminal says what comes next."),
    pages.denied("GitHub", "The terminal says what can be done."),
    pages.EXPIRED,
)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_WIDTH, _HEIGHT = 440, 400


def picture(scheme: Scheme) -> Path:
    """Where the picture for readers who like it light, or dark, is."""
    return Path(__file__).with_name(f"pages-{scheme}.png")


def painted(chromium: Browser, scheme: Scheme) -> bytes:
    """All pages beside each other, as a PNG."""
    taken = [base64.b64encode(_one(chromium, page, scheme)).decode() for page in PAGES]
    images = "".join(f'<img src="data:image/png;base64,{one}" width="{_WIDTH}" height="{_HEIGHT}">' for one in taken)
    with tab(chromium, width=_WIDTH * len(PAGES), height=_HEIGHT) as sheet:
        sheet.page.set_content(f"<style>body{{margin:0;font-size:0;white-space:nowrap}}</style>{images}")
        return sheet.page.screenshot()


def _one(chromium: Browser, page: pages.Page, scheme: Scheme) -> bytes:
    with tab(chromium, scheme, width=_WIDTH, height=_HEIGHT) as seen:
        seen.page.set_content(page.html)
        return seen.page.screenshot()


if __name__ == "__main__":
    with browser() as made:
        for one in SCHEMES:
            picture(one).write_bytes(painted(made, one))
