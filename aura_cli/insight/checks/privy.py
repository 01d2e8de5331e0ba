"""Privy: the app and its secret, and the keys that tokens are verified with."""

import json
from collections.abc import Iterator

from aura_cli.errors import ServiceError
from aura_cli.insight.finding import Finding, System, absent, fail, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed
from aura_cli.users.privy import APP, app_id, key_set, service
from aura_cli.users.shapes import read_page

_SECRET = "PRIVY_APP_SECRET"  # noqa: S105 (a setting's name)
KEYS = PAGES[System.PRIVY].keys


def check(about: Surroundings) -> Iterator[Finding]:
    """Ask for one user, and for the public keys. Raises as `Service.get` does."""
    missing = [name for name in (APP, _SECRET) if not about.settings.secret(name)]
    if missing:
        yield absent("app", " and ".join(missing), KEYS)
        return
    with about.asked(service(about.settings)) as privy:
        listed, latency = timed(lambda: read_page(privy.get("/v1/users", {"limit": 1})))
        yield ok("app", f"app {app_id(about.settings)}{'' if listed.users else ', without users'}", latency)
        if not _keys(key_set(privy, app_id(about.settings))):
            yield fail("keys", "the app has no public key: no token can be verified", KEYS)


def _keys(body: bytes) -> int:
    """How many keys a JWKS (RFC 7517) holds. Raises ServiceError for what is none."""
    try:
        return len(json.loads(body)["keys"])
    except (ValueError, TypeError, KeyError) as error:
        raise ServiceError("Privy's key set is not what it should be") from error
