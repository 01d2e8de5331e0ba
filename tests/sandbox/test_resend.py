"""Resend's stand-in, with the official SDK as the judge of its shapes and signatures."""

import threading
import time
from typing import Any

import httpx
import pytest
import resend
from hypothesis import given
from hypothesis import strategies as st
from resend.exceptions import ApplicationError, MissingApiKeyError, MissingRequiredFieldsError, RateLimitError, ResendError, ValidationError

from aura_cli.sandbox.resend.errors import ResendError as Refusal
from aura_cli.sandbox.resend.messages import read
from tests.parts.loopback import plain_client
from tests.parts.resend import Post
from tests.sandbox.sending import MAIL, send

A_DAY = 86_400


def refused(kind: type[ResendError], key: str | None = None, **more: Any) -> tuple[int, str]:
    """Which error the SDK raises: status and Resend's name."""
    with pytest.raises(kind) as caught:
        send(key, **more)
    assert type(caught.value) is kind
    return int(caught.value.code), caught.value.error_type


def test_a_mail_is_taken_and_found(office: Post) -> None:
    """What was sent comes back whole, by its id and in the list; nobody had it delivered anywhere."""
    identifier = send(cc="cc@example.com", tags=[{"name": "template", "value": "welcome"}], reply_to=["a@example.com", "b@example.com"])
    found: Any = resend.Emails.get(identifier)
    assert {name: found[name] for name in ("object", "id", "from", "to", "subject", "html", "text", "last_event")} == {
        **{name: MAIL[name] for name in ("from", "to", "subject", "html", "text")},
        "object": "email",
        "id": identifier,
        "last_event": "delivered",
    }
    assert (found["cc"], found["bcc"], found["reply_to"]) == (["cc@example.com"], [], ["a@example.com", "b@example.com"])
    listed = resend.Emails.list()
    assert (listed["object"], listed["has_more"], [one["id"] for one in listed["data"]]) == ("list", False, [identifier])


def test_pages(office: Post) -> None:
    """Newest first, forwards and backwards, each once."""
    sent = [send(subject=f"{number}") for number in range(7)][::-1]
    first = resend.Emails.list({"limit": 3})
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (sent[:3], True)
    second = resend.Emails.list({"limit": 4, "after": sent[2]})
    assert ([one["id"] for one in second["data"]], second["has_more"]) == (sent[3:], False)
    back = resend.Emails.list({"limit": 2, "before": sent[3]})
    assert ([one["id"] for one in back["data"]], back["has_more"]) == (sent[1:3], True)
    assert [office.call("GET", f"/emails?{query}").status_code for query in ("limit=0", "limit=101", "limit=x", "after=x")] == [422] * 4
    assert office.call("GET", f"/emails?after={sent[0]}&before={sent[1]}").status_code == 422


def test_a_key_counts_for_24_hours(office: Post) -> None:
    """The same request is one mail and answers the same, whatever the order of its fields; a day later it is another mail."""
    first = send("welcome/1")
    assert send("welcome/1") == first == resend.Emails.send(dict(reversed(MAIL.items())), {"idempotency_key": "welcome/1"})["id"]  # type: ignore[arg-type]
    assert send("welcome/2") != first
    office.state.ahead = A_DAY - 60
    assert send("welcome/1") == first
    office.state.ahead = A_DAY + 60
    assert send("welcome/1") != first
    assert len(office.mails) == 3


def test_a_key_is_of_one_body_and_one_endpoint(office: Post) -> None:
    """Another body under the same key is a conflict; the batch endpoint has keys of its own; what was refused used no key up."""
    assert refused(ValidationError, "k", to="nobody") == (422, "validation_error")
    first = send("k")
    assert refused(ResendError, "k", subject="Other") == (409, "invalid_idempotent_request")
    assert resend.Batch.send([MAIL], {"idempotency_key": "k"})["data"][0]["id"] != first
    assert refused(ResendError, "") == (400, "invalid_idempotency_key")
    assert refused(ResendError, "k" * 257) == (400, "invalid_idempotency_key")
    assert send("k" * 256)


def test_a_key_is_in_use_until_its_answer(office: Post) -> None:
    """Who comes with it meanwhile is told so, and gets the answer later."""
    office.state.limits.work = 1.0
    sent: list[str] = []
    first = threading.Thread(target=lambda: sent.append(send("k")))
    first.start()
    while not office.state.journal:
        time.sleep(0.01)
    time.sleep(0.1)
    assert refused(ResendError, "k") == (409, "concurrent_idempotent_requests")
    first.join()
    assert [send("k")] == sent
    assert len(office.mails) == 1


def test_a_strict_batch_is_all_or_nothing(office: Post) -> None:
    """Ids stand in the order of the mails; one that is wrong stops all."""
    mails: Any = [{**MAIL, "to": [f"delivered+{number}@resend.dev"]} for number in range(100)]
    answer = resend.Batch.send(mails)
    assert [office.state.mails[one["id"]].message.to[0] for one in answer["data"]] == [mail["to"][0] for mail in mails]
    assert "errors" not in answer
    for wrong in ([*mails[:3], {**MAIL, "to": "nobody"}], [*mails, MAIL], [], [{**MAIL, "attachments": [{"content": "eA=="}]}]):
        with pytest.raises(ValidationError):
            resend.Batch.send(wrong)  # type: ignore[arg-type]
    assert len(office.mails) == 100


def test_a_permissive_batch_takes_what_is_right(office: Post) -> None:
    """Those that are wrong are named by their places; the same key brings the same answer."""
    mails: Any = [MAIL, {**MAIL, "to": "nobody"}, {**MAIL, "subject": ""}, {**MAIL, "subject": "Last"}]
    options: Any = {"batch_validation": "permissive", "idempotency_key": "some/1"}
    answer = resend.Batch.send(mails, options)
    assert [office.state.mails[one["id"]].message.subject for one in answer["data"]] == ["Hello", "Last"]
    assert [(one["index"], one["message"].split(".")[0]) for one in answer["errors"]] == [
        (1, "Invalid `to` field"),
        (2, "Missing `subject` field"),
    ]
    assert resend.Batch.send(mails, options)["data"] == answer["data"]
    assert len(office.mails) == 2


@pytest.mark.parametrize(
    "address", ["nobody", "a@b", "a b@example.com", "a@example.com, b@example.com", "A <a@example.com", "a@example.com\n"]
)
def test_addresses(office: Post, address: str) -> None:
    """One address, with or without a name; two in one text are none."""
    assert refused(ValidationError, to=address) == (422, "validation_error")
    assert refused(ValidationError, **{"from": address}) == (422, "validation_error")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["a@example.com", "A <a@example.com>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "value", "x"]), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["from", "to", "subject", "html", "text", "cc", "bcc", "reply_to", "headers", "tags", "attachments", "scheduled_at"]


@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans())
def test_whatever_comes_is_a_mail_or_refused(document: Any, whole: bool) -> None:
    """No JSON makes the stand-in stumble: it is taken, or refused as Resend refuses."""
    try:
        message = read({**MAIL, **document} if whole and isinstance(document, dict) else document)
    except Refusal as error:
        assert (error.status, error.name in ("validation_error", "missing_required_field")) == (422, True)  # noqa: PT017
    else:
        assert message.to
        assert message.recipients >= len(message.to)


def test_refusals(office: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in Resend's shape: the SDK knows them by status and name."""
    assert refused(MissingRequiredFieldsError, subject="") == (422, "missing_required_field")
    assert refused(ValidationError, html=None, text=None) == (422, "validation_error")
    assert refused(ValidationError, subject="Hello\r\nBcc: all@example.com") == (422, "validation_error")
    assert refused(ValidationError, to=["a@example.com"] * 51) == (422, "validation_error")
    assert refused(ValidationError, tags=[{"name": "who", "value": "Mina Okafor"}]) == (422, "validation_error")
    assert refused(ValidationError, headers={"X-One": "a\nBcc: b"}) == (422, "validation_error")
    office.state.domains = ("example.com",)
    assert refused(ResendError, **{"from": "a@example.org"}) == (403, "validation_error")
    answers = [office.call("GET", "/emails/x"), office.call("GET", f"/emails/{office.state.new_id()}"), office.call("PUT", "/emails")]
    answers += [office.call("GET", "/audiences"), httpx.post(f"{office.base}/emails", json=MAIL, trust_env=False)]
    names = [(one.json()["statusCode"], one.json()["name"], bool(one.json()["message"])) for one in answers]
    expected = [(422, "validation_error"), (404, "not_found"), (405, "method_not_allowed"), (404, "not_found"), (401, "missing_api_key")]
    assert names == [(*pair, True) for pair in expected]
    assert [one.status_code for one in answers] == [status for status, _ in expected]
    monkeypatch.setattr(resend, "api_key", "re_sandbox_another")
    assert refused(ResendError) == (401, "validation_error")
    monkeypatch.setattr(resend, "api_key", "")
    assert refused(MissingApiKeyError) == (401, "missing_api_key")
    assert office.mails == []


def test_domains(office: Post) -> None:
    """The sender's is verified from the start; a record that is not found any more is its whole domain's state."""
    domains: Any = resend.Domains
    (listed,) = domains.list()["data"]
    assert (listed["name"], listed["status"]) == ("sandbox.test", "verified")
    assert [one["record"] for one in domains.get(listed["id"])["records"]] == ["SPF", "SPF", "DKIM"]
    for wish, status in (({"name": "sandbox.test", "dkim": "failed"}, 200), ({"name": "x", "spf": "great"}, 400), ({}, 400)):
        assert office.call("POST", "/_sandbox/domains", wish).status_code == status
    found = domains.get(listed["id"])
    assert (found["status"], {one["status"] for one in found["records"]}) == ("failed", {"verified", "failed"})
    assert office.call("GET", "/domains/x").status_code == 404


def test_ten_requests_a_second(office: Post) -> None:
    """What is beyond is told when to come again; every answer says how much is left."""
    office.state.limits.rate = 10
    with plain_client(base_url=office.base, headers={"Authorization": f"Bearer {office.state.api_key}"}) as http:
        answers = [http.get("/emails") for _ in range(25)]
    limited = [one for one in answers if one.status_code == 429]
    assert {one.headers["retry-after"] for one in limited} == {"1"}
    assert {one.json()["name"] for one in limited} == {"rate_limit_exceeded"}
    assert 10 <= len(answers) - len(limited) <= 20  # a second may end in between
    assert {(one.headers["ratelimit-limit"], one.headers["ratelimit-reset"]) for one in answers} == {("10", "1")}
    assert answers[0].headers["ratelimit-remaining"] == "9"


def test_quotas(office: Post) -> None:
    """The three 429s are one exception with three names; a batch that is too large takes none; a new day, a new quota."""
    office.call("POST", "/_sandbox/limits", {"daily": 3, "monthly": 4})
    assert office.call("POST", "/emails", MAIL).headers["x-resend-daily-quota"] == "1"
    with pytest.raises(RateLimitError) as caught:
        resend.Batch.send([MAIL, MAIL, MAIL])
    assert (caught.value.error_type, len(office.mails)) == ("daily_quota_exceeded", 1)
    assert send(cc=["b@example.com"])
    assert refused(RateLimitError) == (429, "daily_quota_exceeded")
    office.call("POST", "/_sandbox/clock", {"advance": A_DAY})
    monthly = office.call("POST", "/emails", MAIL)
    if monthly.status_code == 200:  # unless the month has ended
        assert refused(RateLimitError) == (429, "monthly_quota_exceeded")
    office.call("POST", "/_sandbox/limits", {"daily": 0, "monthly": 0})
    assert "x-resend-daily-quota" not in office.call("POST", "/emails", MAIL).headers


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate_limit_exceeded", RateLimitError, 429),
        ("daily_quota_exceeded", RateLimitError, 429),
        ("application_error", ApplicationError, 500),
        ("service_unavailable", ResendError, 503),
        ("concurrent_idempotent_requests", ResendError, 409),
    ],
)
@pytest.mark.parametrize("done", [False, True])
def test_errors_to_order(office: Post, kind: str, error: type[ResendError], status: int, done: bool) -> None:
    """As often as was ordered; what was taken all the same is found under its key."""
    office.suffers(kind, times=2, done=done)
    for _ in range(2):
        assert refused(error, "k") == (status, kind)
    assert len(office.mails) == done
    identifier = send("k")
    assert [mail.id for mail in office.mails] == [identifier]


@pytest.mark.parametrize("kind", ["html", "not_json", "cut", "silent"])
def test_taken_and_not_told(office: Post, kind: str) -> None:
    """A page, nonsense, a cut connection or silence hides that the mail was taken; the key finds it again."""
    office.suffers(kind, seconds=0.2)
    with pytest.raises(ResendError):
        send("k")
    assert [mail.id for mail in office.mails] == [send("k")]
    assert [entry.replayed for entry in office.state.journal] == [False, True]


def test_faults_of_chance(office: Post) -> None:
    """Those that every stand-in has, with Resend's words."""
    office.faults.change({"server_error": 1.0})
    assert refused(ApplicationError) == (500, "application_error")
    office.faults.change({"server_error": 0.0, "too_many": 1.0, "retry_after": 7})
    with pytest.raises(RateLimitError) as caught:
        send()
    assert (caught.value.error_type, caught.value.headers["Retry-After"]) == ("rate_limit_exceeded", "7")
    office.faults.change({"too_many": 0.0, "cut_before": 1.0})
    with pytest.raises(ResendError):
        send("k")
    office.faults.change({"cut_before": 0.0})
    assert [mail.id for mail in office.mails] == [send("k")]


def test_the_journal(office: Post) -> None:
    """Every mail that was taken, and every request with its key and what became of it."""
    first = send("k")
    send("k")
    refused(ValidationError, to="nobody")
    found = office.call("GET", "/_sandbox/journal").json()
    assert [(one["id"], one["to"], one["key"], one["last_event"]) for one in found["mails"]] == [(first, MAIL["to"], "k", "delivered")]
    assert [(one["status"], one["error"], one["mails"], one["replayed"]) for one in found["requests"]] == [
        (200, None, [first], False),
        (200, None, [first], True),
        (422, "validation_error", [], False),
    ]
    office.call("DELETE", "/_sandbox/journal")
    assert office.call("GET", "/_sandbox/journal").json()["requests"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("limits", {"rate": -1}),
        ("limits", {"rate": 1.5}),
        ("limits", {"speed": 1}),
        ("mishaps", {"kind": "earthquake"}),
        ("mishaps", {"kind": "cut", "times": 0}),
        ("mishaps", {"kind": "cut", "colour": "red"}),
        ("webhooks", {"url": "https://example.com/hook"}),
        ("events", {"id": "x", "type": "bounced"}),
        ("clock", {"advance": -1}),
        ("clock", [1]),
    ],
)
def test_orders_that_make_no_sense(office: Post, path: str, body: Any) -> None:
    """They are refused, say why, and change nothing."""
    before = office.state.limits, list(office.state.mishaps)
    answer = office.call("POST", f"/_sandbox/{path}", body)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert (office.state.limits, office.state.mishaps) == before


def test_old_bodies_make_room(office: Post) -> None:
    """Of many mails the newest are kept whole; who got the others is still known."""
    office.state.bodies = 5
    sent = [send(subject=f"{number}") for number in range(8)]
    assert [resend.Emails.get(one)["html"] is not None for one in sent] == [False] * 3 + [True] * 5
    assert len(office.call("GET", "/_sandbox/journal").json()["mails"]) == 8
