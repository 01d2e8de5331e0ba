"""Which of a user's linked accounts becomes the row's e-mail address, name and picture, and what counts as verified."""

import json
from typing import Any

import pytest

from aura_cli.users.shapes import Staged, read_user

TIME = 1_700_000_000


def taken(*accounts: dict[str, Any]) -> Staged:
    return read_user(json.dumps({"id": "did:privy:c1", "created_at": TIME, "linked_accounts": accounts}).encode())


def test_an_email_account_comes_first() -> None:
    """As in the web app: the e-mail account's address, else Google's, else Apple's, wherever they stand; blank ones count as none."""
    email = {"type": "email", "address": "own@example.com", "verified_at": TIME}
    google = {"type": "google_oauth", "email": "google@example.com", "name": "Gina Example"}
    apple = {"type": "apple_oauth", "email": "apple@example.com"}
    assert taken(apple, google, email).email == "own@example.com"
    assert taken(apple, google).email == "google@example.com"
    assert taken({**email, "address": "  "}, apple).email == "apple@example.com"
    assert taken({"type": "wallet", "address": "0x1"}).email is None
    assert taken(apple, google, email).name == "Gina Example"


@pytest.mark.parametrize(
    ("verified", "counts"),
    [
        ({"verified_at": TIME}, True),
        ({"verified_at": TIME, "first_verified_at": TIME, "latest_verified_at": TIME}, True),
        ({"verified_at": TIME, "first_verified_at": None, "latest_verified_at": None}, False),  # imported, nobody has signed in with it
        ({"verified_at": None}, False),
        ({}, False),
    ],
)
def test_what_is_verified(verified: dict[str, Any], counts: bool) -> None:
    """An address that was proven by signing in; one that was only imported is taken over and not held to be verified."""
    one = taken({"type": "email", "address": "own@example.com", **verified})
    assert (one.email, one.verified_email) == ("own@example.com", "own@example.com" if counts else None)


def test_whose_word_is_taken_for_an_address() -> None:
    """Google and Apple verify what they hand out; GitHub's address is only taken over."""
    assert taken({"type": "google_oauth", "email": "g@example.com"}).verified_email == "g@example.com"
    github = taken({"type": "github_oauth", "email": "h@example.com"})
    assert (github.email, github.verified_email) == ("h@example.com", None)
    unproven = {"type": "email", "address": "own@example.com", "verified_at": None}
    assert taken(unproven, {"type": "google_oauth", "email": "g@example.com"}).verified_email == "g@example.com"


def test_names_and_pictures() -> None:
    """From the networks that have them."""
    one = taken({"type": "twitter_oauth", "name": "Tina", "profile_picture_url": "https://images.example.com/t.png"}, {"type": "farcaster"})
    assert (one.name, one.avatar_url, one.created) == ("Tina", "https://images.example.com/t.png", TIME)
    assert taken({"type": "farcaster", "display_name": "Fay", "pfp": "https://images.example.com/f.png"}).name == "Fay"
