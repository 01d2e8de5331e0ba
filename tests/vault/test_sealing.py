"""Sealing: the web app's format to the digit, and what is damaged stays shut."""

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.vault.sealing import Unreadable, derive, looks_sealed, opened, seal

KEY = derive("a-test-key-that-seals-0001")
OTHER = derive("a-test-key-that-seals-0002")


def test_the_key_is_scrypt_of_the_text() -> None:
    """The derivation's parameters, and its result for the web app's fallback, as any scrypt gives it."""
    expected = hashlib.scrypt(b"default-key-change-in-production", salt=b"salt", n=16384, r=8, p=1, dklen=32)
    assert derive("default-key-change-in-production") == expected
    assert len(derive("ключ 🔑")) == 32


def test_the_format() -> None:
    """Three parts in lower-case digits: 16 bytes of iv, 16 of tag, and as many as the text has; AES-256-GCM with nothing associated."""
    iv, tag, content = seal(KEY, "Ünicode").split(":")
    assert (len(iv), len(tag), len(content)) == (32, 32, 2 * len("Ünicode".encode()))
    assert iv + tag + content == (iv + tag + content).lower()
    assert AESGCM(KEY).decrypt(bytes.fromhex(iv), bytes.fromhex(content + tag), None) == "Ünicode".encode()


@given(st.text())
def test_whatever_is_sealed_opens(text: str) -> None:
    """Every text, each time sealed otherwise."""
    one, two = seal(KEY, text), seal(KEY, text)
    assert one != two
    assert looks_sealed(one)
    assert opened(KEY, one) == opened(KEY, two) == text


@given(st.text(st.characters(codec=None, categories=("Cs", "Lu")), min_size=1))
def test_halves_of_surrogate_pairs_are_replaced_as_node_does(text: str) -> None:
    """No text that JSON can bring is an error."""
    assert opened(KEY, seal(KEY, text)) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(st.text(min_size=1), st.data())
def test_any_other_digit_shuts_it(text: str, data: st.DataObject) -> None:
    """Wherever it stands; and nothing of text or key is in the error."""
    sealed = seal(KEY, text)
    place = data.draw(st.sampled_from([at for at, letter in enumerate(sealed) if letter != ":"]))
    digit = data.draw(st.sampled_from([one for one in "0123456789abcdef" if one != sealed[place]]))
    with pytest.raises(Unreadable) as error:
        opened(KEY, sealed[:place] + digit + sealed[place + 1 :])
    assert sealed[:8] not in error.value.message + error.value.hint
    with pytest.raises(Unreadable):
        opened(OTHER, sealed)


IV = TAG = "0" * 32
ODD = ["", ":", "::", "a:b:c", IV, f"{IV}:{TAG}", f"{IV}:{TAG[1:]}:00", f"{IV}:{TAG}:0 0", f" {IV}:{TAG}:00", f"{IV}:{TAG}:00:"]


@pytest.mark.parametrize("text", ODD)
def test_what_is_not_sealed_does_not_look_so(text: str) -> None:
    """Neither the shape nor an exception of any other kind."""
    assert not looks_sealed(text)
    with pytest.raises(Unreadable):
        opened(KEY, text)


@given(st.text())
def test_opening_never_fails_otherwise(text: str) -> None:
    """Whatever it is given."""
    with pytest.raises(Unreadable):
        opened(KEY, text)


def test_half_a_byte_is_missing() -> None:
    """What was cut off in the middle still has the shape, and is unreadable."""
    sealed = seal(KEY, "token")
    assert looks_sealed(sealed[:-1])
    with pytest.raises(Unreadable):
        opened(KEY, sealed[:-1])
