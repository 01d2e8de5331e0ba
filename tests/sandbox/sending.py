"""Mails through Resend's official SDK."""

from typing import Any

import resend

MAIL: Any = {"from": "AURA <noreply@example.com>", "to": ["delivered@resend.dev"], "subject": "Hello", "html": "<b>Hi</b>", "text": "Hi"}


def send(key: str | None = None, **more: Any) -> str:
    """One mail through the SDK; its id."""
    options: Any = {"idempotency_key": key} if key is not None else {}
    mail: Any = {**MAIL, **more}
    return resend.Emails.send(mail, options)["id"]
