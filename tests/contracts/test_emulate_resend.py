"""emulate's Resend, which others wrote: it and our stand-in answer the same alike, and `aura email send` reaches its inbox."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import resend
from resend.exceptions import ResendError

from aura_cli.mail.rendering import TEMPLATES, render
from tests.parts.loopback import plain_client
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura
from tests.parts.resend import post

MAIL: Any = {"from": "AURA <noreply@example.com>", "to": ["delivered@resend.dev"], "subject": "Hello", "html": "<b>Hi</b>", "text": "Hi"}


@pytest.fixture
def emulate() -> Iterator[Outside]:
    with node_script("resend.mjs") as running:
        yield running


def conversation() -> list[object]:
    """What the official SDK makes of a row of requests: names instead of ids, so that two services can be compared."""
    names: dict[str, str] = {}
    said: list[object] = []

    def named(identifier: str) -> str:
        return names.setdefault(identifier, f"mail {len(names) + 1}")

    def one(key: str | None, **more: Any) -> None:
        mail: Any = {**MAIL, **more}
        options: Any = {} if key is None else {"idempotency_key": key}
        try:
            said.append(named(resend.Emails.send(mail, options)["id"]))
        except ResendError as error:
            said.append((int(error.code), error.error_type))

    def batch(key: str, mails: list[Any]) -> None:
        try:
            said.append([named(each["id"]) for each in resend.Batch.send(mails, {"idempotency_key": key})["data"]])
        except ResendError as error:
            said.append((int(error.code), error.error_type))

    one("welcome/1")
    one("welcome/1")
    one("welcome/1", subject="Other")
    one("")
    one("k" * 257)
    one(None, cc="cc@example.com", tags=[{"name": "template", "value": "welcome"}])
    batch("all/1", [MAIL, {**MAIL, "subject": "Second"}])
    batch("all/1", [MAIL, {**MAIL, "subject": "Second"}])
    batch("all/1", [MAIL])
    batch("all/2", [MAIL] * 101)
    try:
        resend.Emails.get("00000000-0000-4000-8000-000000000000")
    except ResendError as error:
        said.append((int(error.code), error.error_type))
    for identifier in list(names):
        found: Any = resend.Emails.get(identifier)
        said.append({name: found[name] for name in ("object", "from", "to", "subject", "html", "text", "cc", "bcc", "reply_to", "tags")})
    said.append(sorted(named(each["id"]) for each in resend.Emails.list()["data"]))
    return said


def test_both_answer_alike(emulate: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending, repeating, conflicts, batches, looking up: the same ids, errors and contents, by the SDK's own reading."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(resend, "api_key", "re_sandbox_emulate")
    monkeypatch.setattr(resend, "api_url", emulate.base)
    theirs = conversation()
    with post() as office:
        office.state.limits.rate = 0
        monkeypatch.setattr(resend, "api_key", office.state.api_key)
        monkeypatch.setattr(resend, "api_url", office.base)
        assert conversation() == theirs
    assert theirs[:5] == ["mail 1", "mail 1", (409, "invalid_idempotent_request"), *[(400, "invalid_idempotency_key")] * 2]


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_mail_reaches_its_inbox(emulate: Outside, aura: Aura, sqlite_database: str) -> None:
    """What the program sends arrives as it was rendered, once, however often it is asked for, and can be seen on emulate's page."""
    env = {"DATABASE_URL": sqlite_database, "RESEND_API_KEY": "re_test_emulate", "RESEND_API_URL": emulate.base, "AURA_ENV": "development"}
    env |= {"NEXT_PUBLIC_APP_URL": "https://aura.example.com", "FROM_EMAIL": "AURA <noreply@example.com>"}
    assert aura("db", "upgrade", env=env).exit == 0
    for _ in range(2):
        sent = aura("email", "send", "welcome", "--to", "mina@example.com", "--data", "-", input='{"name": "Mina Okafor"}', env=env)
        assert sent.exit == 0, sent.err
    made = render("welcome", {"name": TEMPLATES["welcome"].sample["name"]}, app_url="https://aura.example.com")
    with plain_client(base_url=emulate.base, headers={"Authorization": "Bearer re_test_emulate"}) as http:
        (mail,) = http.get("/emails").json()["data"]
        assert (mail["to"], mail["from"], mail["subject"]) == (["mina@example.com"], "AURA <noreply@example.com>", made.subject)
        assert (mail["html"], mail["text"]) == (made.html, made.text)
        page = _Words()
        page.feed(http.get("/inbox").text)
        assert made.subject in page.words
