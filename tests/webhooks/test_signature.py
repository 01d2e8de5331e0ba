"""Stripe's signature scheme: what is accepted, what is refused and why, and that the official SDK sees it the same way."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from aura_cli.errors import ConfigurationError
from aura_cli.settings import Setting, Settings
from aura_cli.webhooks.signature import Refusal, SignatureRefused, secrets_of, sign, verify

NOW = 1_795_000_000
SECRET = "whsec_test_one"
SECRETS = {"web": SECRET, "old": "whsec_test_two"}
BODY = b'{"id": "evt_1", "object": "event"}'

bodies = st.binary(max_size=200)
secrets = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


def reason(header: str | None, body: bytes = BODY, secrets: Mapping[str, str] = SECRETS, now: float = NOW) -> Refusal | None:
    """Why a header is refused; None where it is accepted."""
    try:
        verify(header, body, secrets, now)
    except SignatureRefused as refused:
        return refused.reason
    return None


def v1(body: bytes = BODY, secret: str = SECRET, moment: int = NOW) -> str:
    """The signature itself, made without our code."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def test_the_label_of_the_secret_that_matched() -> None:
    """Several secrets are tried; which one it was is told."""
    assert verify(sign(SECRETS["web"], BODY, NOW), BODY, SECRETS, NOW) == "web"
    assert verify(sign(SECRETS["old"], BODY, NOW), BODY, SECRETS, NOW) == "old"


def test_one_of_several_signatures_is_enough() -> None:
    """While a secret is rolled Stripe sends a signature for each; their order, and other schemes, do not matter."""
    wrong = "0" * 64
    for header in (f"t={NOW},v1={wrong},v1={v1()}", f"v1={v1()},v1={wrong},t={NOW}", f"t={NOW},v0={wrong},v1={v1()},v1={v1()}"):
        assert reason(header) is None


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, Refusal.MISSING),
        ("", Refusal.MISSING),
        (",", Refusal.MALFORMED),
        ("v1", Refusal.MALFORMED),
        (f"t={NOW}", Refusal.MALFORMED),
        (f"v1={v1()}", Refusal.MALFORMED),
        (f"t=,v1={v1()}", Refusal.MALFORMED),
        (f"t=soon,v1={v1()}", Refusal.MALFORMED),
        (f"t=-{NOW},v1={v1()}", Refusal.MALFORMED),
        (f"t={NOW}.0,v1={v1()}", Refusal.MALFORMED),
        (f"t=1_795_000_000,v1={v1()}", Refusal.MALFORMED),
        (f"t={'9' * 5000},v1={v1()}", Refusal.MALFORMED),
        ("t=١٧٩٥٠٠٠٠٠٠,v1=" + v1(), Refusal.MALFORMED),
        (f"t={NOW},v1={v1()},t={NOW},v1={v1()}", Refusal.MALFORMED),  # the header sent twice
        (f"t={NOW},v0={v1()}", Refusal.MALFORMED),
        (f"t={NOW},v1=", Refusal.NO_MATCH),
        (f"t={NOW},v1={v1()[:-1]}", Refusal.NO_MATCH),
        (f"t={NOW},v1={v1().upper()}", Refusal.NO_MATCH),
        (f"t={NOW},v1=é\udcff", Refusal.NO_MATCH),
        (f"t={NOW + 1},v1={v1()}", Refusal.NO_MATCH),
        (f"t={NOW},v1={v1(secret='whsec_test_other')}", Refusal.NO_MATCH),
        (f"t={NOW},v1={v1(secret='')}", Refusal.NO_MATCH),
    ],
)
def test_refused(header: str | None, why: Refusal) -> None:
    """Each kind of bad header has its own reason."""
    assert reason(header) == why


def test_time_is_bounded_both_ways() -> None:
    """300 seconds back and, which the SDK does not look at, 300 ahead; the reason says which way."""
    header = sign(SECRET, BODY, NOW)
    assert reason(header, now=NOW + 300) is reason(header, now=NOW - 300) is None
    assert reason(header, now=NOW + 300.5) == Refusal.TOO_OLD
    assert reason(header, now=NOW - 300.5) == Refusal.IN_THE_FUTURE


def test_without_a_secret_nothing_is_accepted() -> None:
    """No secrets, no signature that counts."""
    assert reason(sign(SECRET, BODY, NOW), secrets={}) == Refusal.NO_MATCH


@given(bodies, secrets, st.data())
def test_a_byte_changed_is_a_body_changed(body: bytes, secret: str, data: st.DataObject) -> None:
    """Whatever is signed is accepted as it is and with no byte changed."""
    header = sign(secret, body, NOW)
    assert verify(header, body, {"only": secret}, NOW) == "only"
    if body:
        place = data.draw(st.integers(0, len(body) - 1))
        changed = body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :]
        assert reason(header, changed, {"only": secret}) == Refusal.NO_MATCH


def sdk_accepts(header: str, body: str, secret: str) -> bool:
    """What the official SDK says."""
    try:
        return bool(WebhookSignature.verify_header(body, header, secret, 300))
    except SignatureVerificationError:
        return False


def test_what_is_no_pair_does_not_count() -> None:
    """A comma too many, or a word of a scheme to come, is looked past, as the SDK does; a bare `t` or `v1` is not."""
    signed = sign(SECRET, b"{}", NOW)
    assert [reason(f"{signed}{more}", b"{}", {"only": SECRET}, NOW) for more in (",", ",word", ",v1", ",t")] == [
        None,
        None,
        Refusal.MALFORMED,
        Refusal.MALFORMED,
    ]


moments = st.integers(-400, 400)
pieces = st.one_of(
    moments.map(lambda shift: f"t={int(time.time()) + shift // 20 * 20}"),
    st.sampled_from(["right", "other", f"v1={'0' * 64}", f"v0={'0' * 64}", "v1=", "v1", "t=", "x=y", "", " ", "=", "v1=ü"]),
)


@given(st.text(max_size=50), st.lists(pieces, max_size=6))
def test_the_sdk_agrees(body: str, parts: list[str]) -> None:
    """Headers put together at random: what we accept the SDK accepts, and the reverse but for the future and doubled times."""
    now = int(time.time())
    times = [part for part in parts if part.startswith("t=") and part != "t="]
    moment = int(times[0][2:]) if times else now
    made = {"right": f"v1={v1(body.encode(), SECRET, moment)}", "other": f"v1={v1(body.encode(), 'whsec_test_other', moment)}"}
    header = ",".join(words := [made.get(part, part) for part in parts])
    ours = reason(header, body.encode(), {"only": SECRET}, now)
    if abs(abs(moment - now) - 300) <= 1:  # the SDK looks at the clock itself
        return
    theirs = sdk_accepts(",".join(word for word in words if word.isascii()), body, SECRET)  # over another one it stumbles
    stricter = {Refusal.IN_THE_FUTURE} | ({Refusal.MALFORMED} if len(times) > 1 or "t=" in parts else set())
    assert (ours is None) == theirs or (theirs and ours in stricter)


@given(st.text(max_size=50), secrets)
def test_the_sdk_signs_as_we_do(body: str, secret: str) -> None:
    """A header of the SDK's making is ours, letter by letter."""
    assert WebhookSignature.generate_signature_header(body, secret, timestamp=NOW) == sign(secret, body.encode(), NOW)


def settings(**values: str) -> Settings:
    """Settings that hold only these."""
    return Settings({name: Setting(text, "test") for name, text in values.items()}, (), Path(), "test")


def test_secrets_of_the_settings() -> None:
    """The web app's own secret is `web`; the labelled ones stand beside it; what surrounds a secret is not part of it."""
    both = settings(STRIPE_WEBHOOK_SECRET="whsec_a\n", AURA_STRIPE_WEBHOOK_SECRETS='{"old": " whsec_b "}')
    assert secrets_of(both) == {"web": "whsec_a", "old": "whsec_b"}
    assert secrets_of(settings()) == {}
    assert secrets_of(settings(AURA_STRIPE_WEBHOOK_SECRETS='{"web": "whsec_b"}')) == {"web": "whsec_b"}


UNMEANT = ("whsec_b", "[]", '["whsec_b"]', '{"old": 1}', '{"old": {}}', '{"old": ""}', '{"old": " "}', '{"web": "whsec_b"}')


@pytest.mark.parametrize("text", UNMEANT)
def test_secrets_that_cannot_be_meant(text: str) -> None:
    """No JSON object of texts, an empty secret, a label that is taken: said, and the secret not shown."""
    with pytest.raises(ConfigurationError) as raised:
        secrets_of(settings(STRIPE_WEBHOOK_SECRET="whsec_a", AURA_STRIPE_WEBHOOK_SECRETS=text))
    assert "whsec_b" not in f"{raised.value.message} {raised.value.hint}"
