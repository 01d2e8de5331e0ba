"""What Resend's answers mean for a second try, and the requests that it gets."""

import json
import time
from typing import Any

import httpx
import pytest
import resend as official

from aura_cli.errors import AccessRefused, AuraError, ConfigurationError, NotFoundError, ServiceError, UnreachableError
from aura_cli.mail import svix
from aura_cli.mail.resend import LONGEST_KEY, Failure, Request, Verdict, judged, send, service
from aura_cli.settings import Settings
from tests.parts.resend import Post, post

MESSAGE: dict[str, object] = {"from": "AURA <mail@example.com>", "to": ["mina@example.com"], "subject": "Hello", "text": "Hello"}


def unreachable(cause: Exception) -> UnreachableError:
    error = UnreachableError("Resend could not be reached")
    error.__cause__ = cause
    return error


def said(status: int, name: str, wait: float | None = None) -> ServiceError:
    return ServiceError("no", status=status, body=json.dumps({"statusCode": status, "name": name, "message": "no"}).encode(), wait=wait)


@pytest.mark.parametrize(
    ("error", "verdict", "halts"),
    [
        (AccessRefused("401", status=401, body=b'{"name": "validation_error"}'), Verdict.UNSENT, True),
        (unreachable(httpx.ConnectError("refused")), Verdict.UNSENT, False),
        (unreachable(httpx.ConnectTimeout("slow")), Verdict.UNSENT, False),
        (UnreachableError("stopped before"), Verdict.UNSENT, False),
        (unreachable(httpx.ReadTimeout("slow")), Verdict.UNKNOWN, False),
        (unreachable(httpx.RemoteProtocolError("cut")), Verdict.UNKNOWN, False),
        (unreachable(httpx.WriteError("cut")), Verdict.UNKNOWN, False),
        (ConfigurationError("401"), Verdict.UNSENT, True),
        (AccessRefused("403", status=403, body=b'{"name": "invalid_api_key"}'), Verdict.UNSENT, True),
        (AccessRefused("403", status=403, body=b'{"name": "validation_error"}'), Verdict.UNSENT, False),
        (NotFoundError("404"), Verdict.UNKNOWN, False),
        (ServiceError("a web page", status=200), Verdict.UNKNOWN, False),
        (said(500, "application_error"), Verdict.UNKNOWN, False),
        (said(503, "service_unavailable", 30), Verdict.UNKNOWN, False),
        (said(429, "rate_limit_exceeded", 3), Verdict.UNSENT, True),
        (said(429, ""), Verdict.UNSENT, True),
        (said(429, "daily_quota_exceeded"), Verdict.UNSENT, True),
        (said(429, "monthly_quota_exceeded"), Verdict.UNSENT, True),
        (said(409, "concurrent_idempotent_requests"), Verdict.UNKNOWN, True),
        (said(409, "invalid_idempotent_request"), Verdict.REFUSED, False),
        (said(400, "invalid_idempotency_key"), Verdict.REFUSED, False),
        (said(422, "validation_error"), Verdict.REFUSED, False),
        (said(408, ""), Verdict.UNKNOWN, True),
    ],
)
def test_what_an_error_means(error: AuraError, verdict: Verdict, halts: bool) -> None:
    """Whether the mails were taken is known only where it is sure; a pace and a quota concern all requests."""
    found = judged(error)
    assert (found.verdict, found.halts) == (verdict, halts)
    assert found.wait is None or found.wait > 0


def test_how_long_to_wait() -> None:
    """As long as it says, but no longer than a quarter of an hour, which a quota gets."""
    assert judged(said(429, "rate_limit_exceeded", 3)).wait == 3
    assert judged(said(429, "daily_quota_exceeded", 3)).wait == 900
    assert judged(said(503, "service_unavailable", 30)).wait == 30
    for error in (said(429, "rate_limit_exceeded", 86_400), said(429, "daily_quota_exceeded", 86_400), said(503, "", 86_400)):
        assert judged(error).wait == 900


@pytest.mark.parametrize("key", ["welcome:abc:def", "k" * 256, "k" * 257, "schlüssel", "line\nbreak"])
def test_keys_that_a_header_carries(key: str) -> None:
    """At most 256 printable characters; another key stands for one that is not, always the same."""
    request = Request.of(key, [MESSAGE])
    assert len(request.key) <= LONGEST_KEY
    assert request.key.isascii()
    assert request.key.isprintable()
    assert request.key == Request.of(key, [MESSAGE]).key
    assert (request.key == key) is (len(key) <= 256 and key.isascii() and key.isprintable())


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"data": []}, 2),
        ({"data": [{"id": "a"}], "errors": [{"index": 7, "message": "no"}]}, 2),
        ({"data": [{"id": "a"}, {"id": ""}]}, 2),
        ({"id": ""}, 1),
        ({}, 1),
        ([], 2),
        ("OK", 1),
    ],
)
def test_answers_that_make_no_sense(answer: Any, count: int) -> None:
    """Nobody knows what was taken, so it is asked again."""
    found = _answered(json.dumps(answer).encode(), count)
    assert isinstance(found, Failure)
    assert found.verdict is Verdict.UNKNOWN


def _answered(body: bytes, count: int) -> Any:
    class Fixed:
        def call(self, *args: Any, **named: Any) -> bytes:
            return body

    return send(Fixed(), Request.of("key", [MESSAGE] * count), count)  # type: ignore[arg-type]


def test_a_batch_with_bad_ones() -> None:
    """Each message's fate in its place."""
    body = {"data": [{"id": "a"}, {"id": "c"}], "errors": [{"index": 1, "message": "bad"}]}
    assert [(one.id, one.error) for one in _answered(json.dumps(body).encode(), 3)] == [("a", None), (None, "bad"), ("c", None)]


def test_a_time_out_after_it_was_taken() -> None:
    """Resend is silent for longer than we listen: it may have been sent, and the repetition gets the first answer."""
    with post() as found:
        way = service(Settings.load(found.env))
        assert way
        way.timeout = 0.3
        request = Request.of("welcome:1", [MESSAGE])
        found.suffers("silent", seconds=2)
        with way:
            silent = send(way, request, 1)
            assert isinstance(silent, Failure)
            assert silent.verdict is Verdict.UNKNOWN
            told = _until_answered(found, way, request)
    assert [one.id for one in told] == [mail.id for mail in found.mails]


def _until_answered(found: Post, way: Any, request: Request) -> Any:
    ends = time.monotonic() + 20
    while isinstance(told := send(way, request, 1), Failure) and time.monotonic() < ends:
        time.sleep(0.1)
    return told


def test_the_official_library_believes_our_signature() -> None:
    """What we take for genuine, and make, Resend's own library does, too."""
    body = b'{"type": "email.sent"}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = svix.sign(svix.key_of(secret), "msg_1", int(time.time()), body)
    named = {"id": headers["svix-id"], "timestamp": headers["svix-timestamp"], "signature": headers["svix-signature"]}
    official.Webhooks.verify({"payload": body.decode(), "headers": named, "webhook_secret": secret})  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match=r".+"):
        official.Webhooks.verify({"payload": body.decode() + " ", "headers": named, "webhook_secret": secret})  # type: ignore[typeddict-item]
