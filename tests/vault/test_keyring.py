"""The key ring: one key seals, all open; keys that are no good seal nothing and show nowhere."""

import json
import threading
import traceback
from pathlib import Path

import pytest

from aura_cli.errors import ConfigurationError
from aura_cli.settings import Secret, Setting, Settings
from aura_cli.vault import sealing
from aura_cli.vault.keyring import FALLBACK_SECRET, Key, KeyRing
from aura_cli.vault.sealing import Unreadable, derive

GOOD, OLD, OLDER = "a-test-key-that-seals-0001", "a-test-key-of-2025-00", "short"


def settings(**values: str | None) -> Settings:
    """Settings of nothing else."""
    return Settings({name: Setting(text, "test") for name, text in values.items() if text}, (), Path(), "tester")


def ring(current: str | None, retired: dict[str, str] | None = None) -> KeyRing:
    """The ring of a web app with `current`."""
    text = json.dumps(retired) if retired else None
    return KeyRing.of(settings(INTEGRATION_ENCRYPTION_KEY=current, AURA_RETIRED_ENCRYPTION_KEYS=text))


def test_one_seals_and_all_open() -> None:
    """Values under each key are told apart by its label; the current one seals."""
    found = ring(GOOD, {"2025": OLD, "2024": OLDER, "same": GOOD})
    assert [key.label for key in found.keys] == ["current", "2025", "2024", "fallback"]
    for label, secret in {"current": GOOD, "2025": OLD, "2024": OLDER, "fallback": FALLBACK_SECRET}.items():
        sealed = sealing.seal(derive(secret), f"under {label}")
        assert (found.opened_by(sealed), found.open(sealed)) == (label, f"under {label}")
    assert found.opened_by(found.seal("x")) == "current"
    foreign = sealing.seal(derive("nobody's key here at all"), "x")
    assert found.opened_by(foreign) is None
    with pytest.raises(Unreadable):
        found.open(foreign)


BAD = {
    None: "is not set",
    "   ": "white space",
    " " + GOOD: "white space around",
    GOOD + "\n": "white space around",
    f'"{GOOD}"': "quotes around",
    f"'{GOOD}'": "quotes around",
    "fifteen-letters": "shorter than 16",
    FALLBACK_SECRET: "public fallback",
}


@pytest.mark.parametrize(("secret", "what"), BAD.items())
def test_a_bad_key_seals_nothing_and_opens(secret: str | None, what: str) -> None:
    """It is said what is wrong with it, without it; what the web app sealed under it can be read."""
    found = ring(secret, {"old": OLD})
    with pytest.raises(ConfigurationError, match=what) as error:
        found.seal("token")
    assert error.value.exit_code == 4
    told = error.value.message + error.value.hint
    assert not (secret and secret.strip()) or secret.strip() not in told
    assert found.open(sealing.seal(derive(OLD), "token")) == "token"
    if secret:
        assert found.open(sealing.seal(derive(secret), "token")) == "token"


@pytest.mark.parametrize("secret", [GOOD, "sixteen letters!", "comma,comma,comma=", "'begins with a quote", "ключ-ключ-ключ-ключ"])
def test_a_good_key_is_taken_verbatim(secret: str) -> None:
    """Commas, quotes on one side and letters of any script are part of it."""
    sealed = ring(secret).seal("token")
    assert sealing.opened(derive(secret), sealed) == "token"


MALFORMED = ["", "{", "[]", '"key"', "null", '{"a": 1}', '{"a": ""}', '{"": "key"}', '{"a": ["s3cret-key"]}', '{"current": "s3cret-key"}']
MALFORMED += ['{"fallback": "s3cret-key"}', '{"a": "s3cret-key", "a": "other-key"}', '{"a": "s3cret-key"', "s3cret-key", "[" * 100_000]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_retired_keys(text: str) -> None:
    """They stop everything with exit 4, and nothing of them is in the error or its trace."""
    if not text:
        assert [key.label for key in ring(None).keys] == ["fallback"]
        return
    with pytest.raises(ConfigurationError, match="no JSON object") as error:
        KeyRing.of(settings(AURA_RETIRED_ENCRYPTION_KEYS=text))
    assert "s3cret" not in "".join(traceback.format_exception(error.value)) + error.value.hint


def test_nothing_shows() -> None:
    """Neither a ring's text nor a key's holds a key, nor does an error's trace what was in a value that is no text."""
    found = ring(GOOD, {"2025": OLD})
    shown = repr(found) + str(found) + repr(found.keys[0]) + repr(vars(found))
    assert GOOD not in shown
    assert OLD not in shown
    assert str(derive(GOOD)) not in shown
    with pytest.raises(Unreadable) as error:
        found.open(sealing.seal_bytes(derive(GOOD), bytes.fromhex("733363726574ff")))
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_key_is_derived_once() -> None:
    """However many threads need it at once, and not at all where none does."""
    key = Key("current", Secret(GOOD))
    found = KeyRing(key, (Key("never needed", Secret(OLD)),))
    sealed = sealing.seal(derive(GOOD), "token")
    begun, derived = threading.Barrier(8), list[bytes]()

    def use() -> None:
        begun.wait()
        assert found.open(sealed) == "token"
        derived.append(key.derived)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in derived}) == 1


def test_the_fallback_is_called_so_wherever_it_stands() -> None:
    """Set as the key, or among the retired ones, it is still what everybody knows."""
    sealed = sealing.seal(derive(FALLBACK_SECRET), "token")
    assert ring(FALLBACK_SECRET).opened_by(sealed) == "fallback"
    assert ring(GOOD, {"oops": FALLBACK_SECRET}).opened_by(sealed) == "fallback"
