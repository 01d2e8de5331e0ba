"""Fields: what a provider's file asks for, and nothing else, reaches an address or a row."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import UsageError
from aura_cli.integrations.fields import checked, complete, placeholders
from aura_cli.integrations.provider import Field

SUBDOMAIN = Field("Subdomain", pattern="[a-z0-9-]{1,63}")
FIELDS = {
    "subdomain": SUBDOMAIN,
    "region": Field("Region", default="eu", choices={"eu": {"host": "eu.acme.test"}, "us": {"host": "us.acme.test"}}),
    "tenant": Field("Tenant", required=False, env="ACME_TENANT"),
    "api_key": Field("API key", secret=True, stored="access_token", pattern="key_[a-z0-9]+"),
}


@given(st.text())
def test_a_subdomain_leads_nowhere_else(text: str) -> None:
    """Whatever is typed: what passes is the whole pattern, so no slash, dot, at sign or line end gets into a host."""
    try:
        value = checked("subdomain", SUBDOMAIN, text)
    except UsageError:
        return
    assert re.fullmatch("[a-z0-9-]{1,63}", value, re.ASCII)


@pytest.mark.parametrize("text", ["acme/evil", "acme.evil.test", "acme@evil", "a\nb", "acme\n.evil", "https://acme", "", "a" * 64])
def test_what_is_no_subdomain(text: str) -> None:
    """Refused with the form that it should have."""
    with pytest.raises(UsageError, match="does not have its form"):
        checked("subdomain", SUBDOMAIN, text)


@given(st.text(min_size=1).filter(lambda text: not re.fullmatch("key_[a-z0-9]+", text.strip())))
def test_a_refused_secret_is_not_repeated(text: str) -> None:
    """What was typed for a key stands in no error."""
    with pytest.raises(UsageError) as stopped:
        checked("api_key", Field("K", secret=True, pattern="key_[a-z0-9]+"), f"zq{text}zq")
    assert f"zq{text}zq" not in str(stopped.value.message)


def test_all_of_them() -> None:
    """Given, from a setting, asked for, the default, or left out where it may be."""
    found = complete(FIELDS, {"subdomain": " acme "}, {"ACME_TENANT": "t"}.get, lambda name, field: "key_1" if field.secret else "")
    assert found == {"subdomain": "acme", "region": "eu", "tenant": "t", "api_key": "key_1"}
    assert placeholders(FIELDS, found)["host"] == "eu.acme.test"
    assert "tenant" not in complete(FIELDS, {"subdomain": "acme", "api_key": "key_1"})


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({}, "Subdomain (subdomain) is missing"),
        ({"subdomain": "acme"}, "API key (api_key) is missing"),
        ({"subdomain": "acme", "api_key": "key_1", "colour": "red"}, "No field 'colour' is asked for"),
        ({"subdomain": "acme", "api_key": "key_1", "region": "moon"}, "none of its choices"),
        ({"subdomain": "acme", "api_key": "key_" + "1" * 20_000}, "too many"),
    ],
)
def test_what_lacks_or_is_too_much(given_: dict[str, str], told: str) -> None:
    """Each is named, with what may be given."""
    with pytest.raises(UsageError) as stopped:
        complete(FIELDS, given_)
    assert told in stopped.value.message


def test_characters_that_cannot_be_meant() -> None:
    """Without a pattern a value is one line of text: it goes into headers."""
    with pytest.raises(UsageError, match="cannot be meant"):
        checked("token", Field("Token", secret=True), "abc\r\nX-Other: 1")
    assert checked("key", Field("Key", secret=True, pattern=r"-----BEGIN[\s\S]+"), "-----BEGIN\nabc") == "-----BEGIN\nabc"
