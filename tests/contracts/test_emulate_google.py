"""Google Calendar, connected and refreshed at emulate's Google, which others wrote."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from aura_cli.db.migrate import upgrade
from aura_cli.sandbox.credentials import PROVIDER_FILES
from tests.integrations.connecting import ADA, World, visit, world_of
from tests.parts.migrated import engine_of
from tests.parts.outside import node_script
from tests.parts.program import Aura
from tests.parts.service import free_port

SHAPE = """
oauth.authorize_url = "{base}/o/oauth2/v2/auth"
oauth.token_url = "{base}/oauth2/token"
oauth.revoke.url = "{base}/oauth2/revoke"
verify.url = "{base}/oauth2/v2/userinfo"
"""


@pytest.fixture
def world(aura: Aura, sqlite_database: str) -> Iterator[World]:
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        with world_of(aura, engine, sqlite_database) as made:
            yield made


def signed_in(url: str, base: str) -> str:
    """Choose the account on emulate's page; the address that the browser is sent back to."""
    page = visit(url)
    assert page.status == 200, page.text
    form = {name: unescape(text) for name, text in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)}
    sent = visit(f"{base}/o/oauth2/v2/auth/callback", form)
    assert sent.location, sent.text
    return sent.location


def test_google_calendar(world: World) -> None:
    """Consent with PKCE, who it is, a refresh whose answer has no refresh token, and the revocation."""
    port, secret = free_port(), world.env["GOOGLE_CLIENT_SECRET"]
    client = {"client_id": world.env["GOOGLE_CLIENT_ID"], "redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
    with node_script("google.mjs", json.dumps(client), secret=secret) as google:
        folder = Path(world.env["AURA_HOME"]) / PROVIDER_FILES
        (folder / "google-calendar.toml").write_text(SHAPE.format(base=google.base))
        waiting = world.waiting("google-calendar", "--port", str(port), "--no-browser")
        page = visit(signed_in(waiting.url, google.base))
        done = waiting.end()
        assert (done.exit, page.status) == (0, 200), done.err
        assert done.json["label"] == "ada@example.com"
        before = world.rows()[0]
        refreshed = world("refresh", ADA, "--force", "--json")
        assert (refreshed.exit, refreshed.json["refreshed"]) == (0, 1), refreshed.err
        after = world.rows()[0]
        assert world.opened(after["access_token"]) != world.opened(before["access_token"])
        assert world.opened(after["refresh_token"]) == world.opened(before["refresh_token"])
        verified = world("verify", ADA, "--json")
        assert [(one["result"], one["label"]) for one in verified.json] == [("good", "ada@example.com")]
        ended = world("disconnect", "google-calendar", "--user", ADA, "--json")
        assert (ended.json["revoked"], world.rows()) == ("yes", [])
