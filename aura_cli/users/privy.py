"""Privy over plain HTTP: https://docs.privy.io/basics/rest-api/setup. Four calls, nothing is ever changed there."""

import base64
import json
from urllib.parse import quote

from aura_cli.drift.scan import Fetch, Page, Window
from aura_cli.errors import NotFoundError, ServiceError
from aura_cli.settings import Settings, leads_here
from aura_cli.transport import Rate, Service
from aura_cli.users.shapes import Staged, read_page, read_user

BASE = "https://api.privy.io"
PAGE = 100  # the most that the list gives
RATE = 20.0  # requests a second
APP = "NEXT_PUBLIC_PRIVY_APP_ID"


def app_id(settings: Settings) -> str:
    """The Privy app. Raises ConfigurationError where none is configured."""
    return settings.require(APP, "it says which Privy app to ask").reveal()


def service(settings: Settings, max_rps: float | None = None) -> Service:
    """Privy with the configured app and secret; `max_rps` 0 lifts the default request rate. Raises ConfigurationError without them."""
    app = app_id(settings)
    secret = settings.require("PRIVY_APP_SECRET", "it is what Privy is asked with").reveal()
    basic = base64.b64encode(f"{app}:{secret}".encode()).decode()
    return _service(settings, {"privy-app-id": app, "Authorization": f"Basic {basic}"}, max_rps)


def public_service(settings: Settings) -> Service:
    """Privy without the secret: enough for the app's public keys."""
    return _service(settings, {"privy-app-id": app_id(settings)}, None)


def _service(settings: Settings, headers: dict[str, str], max_rps: float | None) -> Service:
    base = settings.get("PRIVY_API_BASE") or BASE
    default = 0.0 if leads_here(base) else RATE
    return Service("Privy", base, headers, Rate(default if max_rps is None else max_rps), _said)


def pages(privy: Service) -> Fetch:
    """Reads the list of all users, https://docs.privy.io/api-reference/users/get-all; its order is Privy's own."""

    def fetch(window: Window) -> Page:
        listed = read_page(privy.get("/v1/users", {"limit": PAGE, **({"cursor": window.cursor} if window.cursor else {})}))
        if listed.cursor is not None and listed.cursor == window.cursor:
            raise ServiceError("Privy's list of users goes in circles: a page names itself as the next", "Run it again with --fresh")
        return Page(listed.users, (), listed.cursor, listed.cursor is not None)

    return fetch


def user(privy: Service, did: str) -> Staged | None:
    """One user, https://docs.privy.io/api-reference/users/get; None where Privy says 404."""
    try:
        return read_user(privy.get(f"/v1/users/{quote(did, safe=':')}"))
    except NotFoundError:
        return None


def user_by_email(privy: Service, address: str) -> Staged | None:
    """One user, https://docs.privy.io/api-reference/users/get-by-email-address; None where Privy says 404."""
    try:
        return read_user(privy.call("POST", "/v1/users/email/address", json={"address": address}, repeatable=True))
    except NotFoundError:
        return None


def key_set(privy: Service, app: str) -> bytes:
    """The app's public keys as a JWKS (RFC 7517)."""
    return privy.get(f"/v1/apps/{quote(app, safe='')}/jwks.json")


def _said(body: bytes) -> str:
    """What an error's body says; Privy sends `{"error": "…"}`."""
    try:
        content = json.loads(body)
    except ValueError:
        return ""
    said = content.get("error") if isinstance(content, dict) else None
    return said if isinstance(said, str) else ""
