"""Chromium, as Debian has it, in the hands of a test: a new profile each time, nothing downloaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.parts.service import program

Scheme = Literal["light", "dark"]


@dataclass
class Tab:
    """One tab, and what went on in it: addresses that were asked for, complaints on its console (broken CSP among them)."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The page's heading."""
        return self.page.locator("h1").inner_text()

    def press(self, name: str) -> None:
        """Press a button, and wait for the page that comes."""
        self.page.get_by_role("button", name=name).click()
        self.page.wait_for_load_state()


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for the length of the block."""
    path = program("chromium", "chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=path, args=[*arguments, "--disable-dev-shm-usage", "--no-proxy-server"])
        try:
            yield made
        finally:
            made.close()


@contextmanager
def tab(browser: Browser, scheme: Scheme = "light", *, javascript: bool = False, width: int = 620, height: int = 520) -> Iterator[Tab]:
    """A new profile with one tab, without JavaScript unless it is wanted."""
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=javascript, ignore_https_errors=True)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    made = Tab(context.new_page())
    made.page.on("request", lambda request: made.asked.append(request.url))
    made.page.on("console", lambda message: made.complaints.append(message.text))
    try:
        yield made
    finally:
        context.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser, one for a module's tests, each of which opens a profile; without Chromium they are skipped visibly.

    While it is there an event loop counts as running in this thread: `asyncio.run` belongs in another module, or another thread.
    """
    with browser() as made:
        yield made
