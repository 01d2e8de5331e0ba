"""The users that the stand-in knows, as Privy shows them, in the order in which they are listed.

People of the population are kept as they are and turned into Privy's shape when somebody asks; a user that was added or changed at
run time is kept in that shape.
"""

import base64
import binascii
from typing import Any
from zlib import crc32

from aura_cli.sandbox.population import Person, Population

UserObject = dict[str, Any]  # https://docs.privy.io/user-management/users/the-user-object, times in epoch seconds

_CURSOR = "place:"


class Users:
    """Everybody at Privy. A deleted user is gone without a trace, also for whoever is paging at that moment."""

    def __init__(self, population: Population) -> None:
        self._known: dict[str, Person | UserObject] = {person.did: person for person in population.people}
        self._places: list[str | None] = list(self._known)  # None: deleted since, so that cursors stay right
        self._by_email = {person.email.lower(): person.did for person in population.people if person.email and not person.google}

    def __len__(self) -> int:
        return len(self._known)

    def unused_did(self) -> str:
        return f"did:privy:csandbox{len(self._places):017}"

    def get(self, did: str) -> UserObject | None:
        known = self._known.get(did)
        return user_object(known) if isinstance(known, Person) else known

    def with_email(self, address: str) -> UserObject | None:
        """The user with a linked account of type `email` at this address; addresses of Google accounts do not count, as at Privy."""
        did = self._by_email.get(address.lower())
        return self.get(did) if did else None

    def page(self, limit: int, cursor: str | None) -> tuple[list[UserObject], str | None]:
        """Up to `limit` users and the cursor of the page after, None at the end. Raises ValueError for a cursor that is not ours."""
        place = _read_cursor(cursor) if cursor else 0
        found: list[UserObject] = []
        while place < len(self._places):
            user = self.get(self._places[place] or "")
            if user and len(found) == limit:
                return found, base64.urlsafe_b64encode(f"{_CURSOR}{place}".encode()).decode()
            if user:
                found.append(user)
            place += 1
        return found, None

    def put(self, user: UserObject) -> None:
        """Add a user at the end of the list, or replace the one with the same id."""
        did = user["id"]
        if did in self._known:
            self._forget_email(did)
        else:
            self._places.append(did)
        self._known[did] = user
        self._by_email.update((address.lower(), did) for address in _addresses(user))

    def remove(self, did: str) -> bool:
        """Delete a user; False when there is none."""
        if did not in self._known:
            return False
        self._forget_email(did)
        self._places[self._places.index(did)] = None
        del self._known[did]
        return True

    def _forget_email(self, did: str) -> None:
        for address in _addresses(self.get(did) or {}):
            self._by_email.pop(address.lower(), None)


def user_object(person: Person) -> UserObject:
    """A person in Privy's shape. What the population leaves open (terms, second factors) follows from the DID."""
    mark = crc32(person.did.encode())
    user: UserObject = {
        "id": person.did,
        "created_at": person.created,
        "linked_accounts": _linked_accounts(person, mark),
        "mfa_methods": [{"type": "totp", "verified_at": person.created}] if mark % 40 == 0 else [],
        "has_accepted_terms": mark % 3 > 0,
        "is_guest": False,
    }
    if mark % 25 == 0:
        user["custom_metadata"] = {"source": "newsletter", "beta": True, "seats": mark % 7}
    return user


def _linked_accounts(person: Person, mark: int) -> list[dict[str, Any]]:
    verified = {"verified_at": person.created, "first_verified_at": person.created, "latest_verified_at": person.created}
    accounts: list[dict[str, Any]] = []
    if person.google:
        subject = f"1{int(person.uuid[:8], 16):020}"
        accounts.append({"type": "google_oauth", "subject": subject, "email": person.email, "name": person.name, **verified})
    elif person.email:
        # Privy's types demand `verified_at` and leave the other two open: an address that nobody has signed in with yet lacks those.
        known = (
            verified if person.email_verified else {"verified_at": person.created, "first_verified_at": None, "latest_verified_at": None}
        )
        accounts.append({"type": "email", "address": person.email, **known})
    if person.avatar:
        name = (person.name or "someone").split(" ")[0]
        picture = {"name": name, "username": f"user{mark}", "profile_picture_url": person.avatar}
        accounts.append({"type": "twitter_oauth", "subject": str(mark), **picture, **verified})
    if person.wallet:
        wallet = _EXTERNAL_WALLET if person.email is None else {"id": f"wallet{mark}", **_EMBEDDED_WALLET}
        accounts.append({"type": "wallet", "address": person.wallet, "chain_type": "ethereum", **wallet, **verified})
    if mark % 50 == 0:  # a type that no client knows yet
        accounts.append({"type": "mastodon_oauth", "subject": str(mark), "server": "social.test", **verified})
    return accounts


_EXTERNAL_WALLET = {
    "chain_id": "eip155:1",
    "wallet_client": "unknown",
    "wallet_client_type": "metamask",
    "connector_type": "injected",
}
_EMBEDDED_WALLET = {
    "chain_id": "eip155:1",
    "wallet_client": "privy",
    "wallet_client_type": "privy",
    "connector_type": "embedded",
    "recovery_method": "privy",
    "wallet_index": 0,
    "imported": False,
    "delegated": False,
}


def _addresses(user: UserObject) -> list[str]:
    return [account["address"] for account in user.get("linked_accounts", ()) if account.get("type") == "email"]


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, UnicodeError) as error:
        raise ValueError(cursor) from error
    if not text.startswith(_CURSOR) or not text.removeprefix(_CURSOR).isdecimal():
        raise ValueError(cursor)
    return int(text.removeprefix(_CURSOR))
