"""The stand-in's HTTP side: Privy's paths under `/v1` and, as on the older host, `/api/v1`; the sandbox's own under `/_sandbox`.

Privy answers an error as `{"error": "what is wrong"}`. The sandbox's own paths ask for no credentials:

    POST   /_sandbox/token {"did", "expires_in"?, "claims"?}  → {"token"}
    POST   /_sandbox/rotate-key                               → {"kid"}     new tokens are signed with another key
    POST   /_sandbox/users {…}  PATCH /_sandbox/users/{did} {…}  → the user; what is not given stays, or gets a default
    DELETE /_sandbox/users/{did}                              → 204
"""

import base64
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aura_cli.sandbox.credentials import PRIVY_APP_ID, PRIVY_APP_SECRET
from aura_cli.sandbox.population import Population
from aura_cli.sandbox.privy.tokens import LIFETIME, SigningKey, key_set
from aura_cli.sandbox.privy.users import UserObject, Users

MOST_A_PAGE = 100


@dataclass
class PrivyState:
    """One Privy app: its users, credentials and keys; the last key signs. `clock` gives epoch seconds."""

    users: Users
    app_id: str = PRIVY_APP_ID
    app_secret: str = PRIVY_APP_SECRET
    clock: Callable[[], float] = time.time
    keys: list[SigningKey] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = self.keys or [SigningKey(self.app_id)]

    @classmethod
    def of(cls, population: Population) -> "PrivyState":
        """An app that the population's people have signed up to."""
        return cls(Users(population))


class PrivyError(Exception):
    """An error as Privy answers it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def make_app(state: PrivyState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=[*middlewares, _answer_errors, _require_credentials(state)])
    for prefix in ("/v1", "/api/v1"):
        app.router.add_get(f"{prefix}/users", partial(_list, state))
        app.router.add_post(f"{prefix}/users/email/address", partial(_by_email, state))
        app.router.add_get(f"{prefix}/users/{{did}}", partial(_get, state))
        app.router.add_delete(f"{prefix}/users/{{did}}", partial(_delete, state))
        app.router.add_get(f"{prefix}/apps/{{app_id}}/jwks.json", partial(_jwks, state))
        app.router.add_get(f"{prefix}/apps/{{app_id}}", partial(_app, state))
    app.router.add_post("/_sandbox/token", partial(_token, state))
    app.router.add_post("/_sandbox/rotate-key", partial(_rotate_key, state))
    app.router.add_post("/_sandbox/users", partial(_add, state))
    app.router.add_patch("/_sandbox/users/{did}", partial(_change, state))
    app.router.add_delete("/_sandbox/users/{did}", partial(_delete, state))
    return app


def error_body(status: int) -> object:
    """What Privy says with a status that the fault middleware makes up."""
    return {"error": "Too many requests" if status == 429 else "Internal server error"}


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except PrivyError as error:
        return _json({"error": error.message}, error.status)
    except web.HTTPException as error:
        return _json({"error": error.reason}, error.status)


def _require_credentials(state: PrivyState) -> Middleware:
    """https://docs.privy.io/basics/rest-api/setup: Basic app-id:secret and the header privy-app-id; the JWKS is public."""
    expected = base64.b64encode(f"{state.app_id}:{state.app_secret}".encode())

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/_sandbox/") and not request.path.endswith("/jwks.json"):
            if request.headers.get("privy-app-id") != state.app_id:
                raise PrivyError(400, "Invalid Privy app ID")
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "basic" or not hmac.compare_digest(given.strip().encode(), expected):
                raise PrivyError(401, "Invalid app ID or app secret.")
        return await handler(request)

    return middleware


async def _list(state: PrivyState, request: web.Request) -> web.Response:
    """https://docs.privy.io/api-reference/users/get-all"""
    try:
        limit = float(request.query.get("limit", MOST_A_PAGE))  # the official Python client sends 50.0
    except ValueError:
        raise PrivyError(400, "[Input error] `limit`: Expected number, received nan") from None
    if not 1 <= limit <= MOST_A_PAGE:
        raise PrivyError(400, f"[Input error] `limit`: Number must be between 1 and {MOST_A_PAGE}")
    try:
        users, following = state.users.page(int(limit), request.query.get("cursor"))
    except ValueError:
        raise PrivyError(400, "[Input error] `cursor`: Invalid cursor") from None
    return _json({"data": users, "next_cursor": following})


async def _get(state: PrivyState, request: web.Request) -> web.Response:
    return _json(_user(state, request.match_info["did"]))


async def _by_email(state: PrivyState, request: web.Request) -> web.Response:
    """https://docs.privy.io/api-reference/users/get-by-email-address"""
    address = (await _body(request)).get("address")
    if not isinstance(address, str) or "@" not in address:
        raise PrivyError(400, "[Input error] `address`: Invalid email address")
    user = state.users.with_email(address)
    if user is None:
        raise PrivyError(404, f"User with email {address} not found")
    return _json(user)


async def _delete(state: PrivyState, request: web.Request) -> web.Response:
    if not state.users.remove(request.match_info["did"]):
        raise PrivyError(404, "User not found")
    return web.Response(status=204)


async def _jwks(state: PrivyState, request: web.Request) -> web.Response:
    if request.match_info["app_id"] != state.app_id:
        raise PrivyError(400, "Invalid Privy app ID")
    return web.Response(body=key_set(state.keys), content_type="application/json")


async def _app(state: PrivyState, request: web.Request) -> web.Response:
    if request.match_info["app_id"] != state.app_id:
        raise PrivyError(400, "Invalid Privy app ID")
    return _json({"id": state.app_id, "name": "AURA sandbox", "verification_key": state.keys[-1].pem()})


async def _token(state: PrivyState, request: web.Request) -> web.Response:
    body = await _body(request)
    did, lifetime, claims = _user(state, str(body.get("did")))["id"], body.get("expires_in", LIFETIME), body.get("claims", {})
    if not isinstance(lifetime, int) or not isinstance(claims, dict):
        raise PrivyError(400, "[Input error] `expires_in` is a number of seconds, `claims` an object")
    usual = {"app_id", "did", "issued", "lifetime"} & claims.keys()
    if usual:
        raise PrivyError(400, f"[Input error] `claims`: not {', '.join(sorted(usual))}")
    return _json({"token": state.keys[-1].access_token(state.app_id, did, int(state.clock()), lifetime, **claims)})


async def _rotate_key(state: PrivyState, request: web.Request) -> web.Response:
    del request
    state.keys.append(SigningKey(state.app_id, len(state.keys)))
    return _json({"kid": state.keys[-1].kid})


async def _add(state: PrivyState, request: web.Request) -> web.Response:
    usual = {
        "id": state.users.unused_did(),
        "created_at": int(state.clock()),
        "linked_accounts": [],
        "mfa_methods": [],
        "has_accepted_terms": True,
        "is_guest": False,
    }
    user = usual | await _body(request)
    state.users.put(user)
    return _json(user, 201)


async def _change(state: PrivyState, request: web.Request) -> web.Response:
    did = request.match_info["did"]
    user = _user(state, did) | await _body(request) | {"id": did}
    state.users.put(user)
    return _json(user)


def _user(state: PrivyState, did: str) -> UserObject:
    user = state.users.get(did)
    if user is None:
        raise PrivyError(404, "User not found")
    return user


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.DecodeError:
        raise PrivyError(400, "Invalid JSON in the request's body") from None


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
