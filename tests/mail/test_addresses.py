"""An address is one plain address, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.mail.addresses import checked, digest, is_address, sender

BAD = [
    "mina@example.com\r\nBcc: everybody@example.com",
    "mina@example.com\n",
    "mina@example.com\0",
    "mina@example.com,ravi@example.com",
    "mina@example.com;ravi@example.com",
    "Mina <mina@example.com>",
    '"mina at home"@example.com',
    "mina@example.com ravi@example.com",
    "mina@localhost",
    "@example.com",
    "mina@",
    "mina",
    "mina@@example.com",
    "mina@exam\u202eple.com",
    "mi\u2028na@example.com",
    "mi\u00a0na@example.com",
    "mi\ud800na@example.com",
    ".mina@example.com",
    "mi..na@example.com",
    "mina@-example.com",
    "mina@example..com",
    "m" * 65 + "@example.com",
    "mina@" + "e" * 250 + ".com",
    "",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_none(text: str) -> None:
    """No second recipient, no second header, nothing that only looks like one."""
    assert not is_address(text)
    if text.strip(" ") != text or not is_address(text.strip(" ")):
        with pytest.raises(UsageError):
            checked(text)
    with pytest.raises(ConfigurationError, match="FROM_EMAIL"):
        sender(f"AURA <{text}>")


@pytest.mark.parametrize(
    "text", ["mina@example.com", "o'neil+aura@sub.example.co", "münchen@münchen.example.de", "用户@例子.example", "a@b_c.example"]
)
def test_what_is_one(text: str) -> None:
    """Those of other scripts are, too."""
    assert checked(f" {text} ") == text
    assert sender(f"AURA & Co. <{text}>") == f"AURA & Co. <{text}>"
    assert sender(text) == text


@pytest.mark.parametrize("name", ["AURA\r\nBcc: x@example.com", 'AU"RA', "A <b@example.com>, C"])
def test_names_of_senders_that_are_none(name: str) -> None:
    """A sender's name makes no header either."""
    with pytest.raises(ConfigurationError, match="FROM_EMAIL"):
        sender(f"{name} <mail@example.com>")


@given(st.text())
def test_whatever_passes_is_one_word(text: str) -> None:
    """Nothing that passes holds what parts recipients or headers."""
    for address in (text, f"{text}@example.com", f"mina@{text}"):
        if is_address(address):
            assert address.isprintable()
            assert not set(address) & set(' \t\r\n,;<>()[]\\":')
            assert address.count("@") == 1


def test_upper_and_lower_case_are_alike() -> None:
    """One person, one key."""
    assert digest("Mina@Example.com") == digest("mina@example.com") != digest("ravi@example.com")
