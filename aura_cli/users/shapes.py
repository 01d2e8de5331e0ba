"""Privy's users as we take them over: pages decoded, the values chosen that the web app's `users` row holds.

Shapes: https://docs.privy.io/user-management/users/the-user-object. One user that cannot be read spoils nobody else's.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from aura_cli.errors import ServiceError

LONGEST_EMAIL = 320  # 64 + @ + 255 octets, RFC 3696 (erratum 1690)
LAST_SECOND = 253_402_300_799  # the end of the year 9999: what both databases can hold

EMAIL_OF = {  # account type → where its address stands, in the order of preference
    "email": "address",
    "google_oauth": "email",
    "apple_oauth": "email",
    "linkedin_oauth": "email",
    "github_oauth": "email",
    "discord_oauth": "email",
    "spotify_oauth": "email",
    "line_oauth": "email",
}
PROVEN_BY = ("google_oauth", "apple_oauth")  # they hand out addresses that they have verified; the others may not
NAME_OF = {
    "google_oauth": "name",
    "linkedin_oauth": "name",
    "github_oauth": "name",
    "spotify_oauth": "name",
    "line_oauth": "name",
    "twitter_oauth": "name",
    "farcaster": "display_name",
}
AVATAR_OF = {"twitter_oauth": "profile_picture_url", "line_oauth": "profile_picture_url", "farcaster": "pfp", "telegram": "photo_url"}

_DID = re.compile(r"did:[a-z0-9]+:[\x21-\x7e]{1,240}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Staged(NamedTuple):
    """One user for the staging table, in the order of its columns; with a `failure` none of the other values count."""

    privy_user_id: str
    email: str | None = None
    verified_email: str | None = None
    name: str | None = None
    avatar_url: str | None = None
    linked_accounts: str | None = None  # JSON, as Privy gave it
    created: int | None = None  # epoch seconds
    failure: str | None = None


@dataclass(frozen=True)
class Listed:
    """A page of the list, and the cursor of the next; None at the end."""

    users: Sequence[Staged]
    cursor: str | None


_Accounts = dict[str, list[dict[str, Any]]]  # by type, in Privy's order


class Unusable(ValueError):
    """A user that cannot be taken over; its text says why."""


class _User(msgspec.Struct):
    id: str
    created_at: int | float | None = None
    linked_accounts: msgspec.Raw = msgspec.Raw(b"[]")


class _Page(msgspec.Struct):
    data: list[_User]
    next_cursor: str | None = None


_page = msgspec.json.Decoder(_Page)
_user = msgspec.json.Decoder(_User)


def read_page(body: bytes) -> Listed:
    """A page of GET /v1/users. Raises ServiceError where it is not one."""
    try:
        page = _page.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_leniently(body)
    return Listed([_staged(user) for user in page.data], page.next_cursor or None)


def read_user(body: bytes) -> Staged:
    """The answer of GET /v1/users/{did}. Raises ServiceError where it is no object."""
    try:
        return _staged(_user.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _single(_parsed(body))


def _read_leniently(body: bytes) -> Listed:
    """A page on which something is odd (half an emoji, a number for a name): user by user, so that only the odd ones fail."""
    page = _parsed(body)
    users, cursor = (page.get("data"), page.get("next_cursor")) if isinstance(page, dict) else (None, None)
    if not isinstance(users, list) or not isinstance(cursor, str | None):
        raise ServiceError("Privy answered with JSON that is no page of users", "Nothing of this page was taken over; run it again")
    return Listed([_single(user) for user in users], cursor or None)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        hint = "Is PRIVY_API_BASE right, and is there a proxy in between? What was read before is kept: run it again"
        raise ServiceError("Privy answered with something that is not JSON", hint) from error


def _single(user: Any) -> Staged:
    did = user.get("id") if isinstance(user, dict) else None
    try:
        return _staged(_user.decode(json.dumps(user)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Staged(_label(did), failure="its data is malformed")


def _staged(user: _User) -> Staged:
    try:
        if not _DID.fullmatch(user.id):
            raise Unusable("its id is no DID")
        accounts = _by_type(user.linked_accounts)
        return Staged(
            user.id,
            _email(_first(accounts, EMAIL_OF)),
            _email(_first(accounts, EMAIL_OF, _is_proven)),
            _first(accounts, NAME_OF),
            _first(accounts, AVATAR_OF),
            _text(user.linked_accounts),
            _seconds(user.created_at),
        )
    except Unusable as reason:
        return Staged(_label(user.id), failure=str(reason))


def _by_type(raw: msgspec.Raw) -> _Accounts:
    """The linked accounts that are objects with a type; whatever else stands there is kept in the text alone."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable("its linked accounts are malformed") from error
    accounts: _Accounts = {}
    for account in found if isinstance(found, list) else ():
        if isinstance(account, dict) and isinstance(kind := account.get("type"), str):
            accounts.setdefault(kind, []).append(account)
    return accounts


def _first(accounts: _Accounts, places: Mapping[str, str], accept: Callable[[Mapping[str, Any]], bool] | None = None) -> str | None:
    """The first text at one of `places` (account type → member), in their order, of an account that is accepted."""
    for kind, member in places.items():
        if kind not in accounts:
            continue
        for account in accounts[kind]:
            value = account.get(member)
            if isinstance(value, str) and value.strip() and (accept is None or accept(account)):
                if "\x00" in value:
                    raise Unusable(f"a NUL byte in its {kind} account")
                return value
    return None


def _is_proven(account: Mapping[str, Any]) -> bool:
    """Has Privy seen that the address is this person's? An address that was only imported has `verified_at` and no first time."""
    if account["type"] != "email":
        return account["type"] in PROVEN_BY
    if "first_verified_at" in account or "latest_verified_at" in account:
        return account.get("first_verified_at") is not None or account.get("latest_verified_at") is not None
    return account.get("verified_at") is not None


def _email(address: str | None) -> str | None:
    if address is not None and len(address) > LONGEST_EMAIL:
        raise Unusable(f"an e-mail address of {len(address)} characters, more than {LONGEST_EMAIL}")
    if address is not None and not _EMAIL.fullmatch(address):
        raise Unusable("a malformed e-mail address")
    return address


def _text(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode()
    if "\\u0000" in text and _NUL.search(text):
        raise Unusable("a NUL byte in its linked accounts")
    return text


def _seconds(created: float | None) -> int | None:
    if created is not None and not 0 <= created <= LAST_SECOND:
        raise Unusable("its time of creation is out of range")
    return None if created is None else int(created)


def _label(did: object) -> str:
    """What a user is called who cannot be taken over: the id, without anything that a terminal or database could stumble over."""
    text = did if isinstance(did, str) else "(without an id)"
    return text if _DID.fullmatch(text) else ascii(text)[1:-1][:80]
