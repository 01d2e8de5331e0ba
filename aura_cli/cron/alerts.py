"""Telling somebody, once, that a job fares otherwise than before: by mail through Resend, or into a chat by its incoming webhook."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from aura_cli.errors import AuraError, ConfigurationError, ServiceError, UnreachableError
from aura_cli.settings import Settings, is_loopback

SECONDS, ATTEMPTS = 5.0, 2  # without a byte, at each: whoever does not answer keeps no job
_DISCORD = ("discord.com", "discordapp.com")


@dataclass(frozen=True)
class Alert:
    """What is said: a line, what belongs to it, and a key by which the same is sent once."""

    subject: str
    lines: Sequence[str]
    key: str

    @property
    def text(self) -> str:
        return "\n".join((self.subject, *self.lines))


def send(settings: Settings, alert: Alert) -> list[str]:
    """Send it to each of AURA_ALERT_TO (addresses and URLs, with commas between). Returns why it did not reach somebody, and never raises.

    The URL of a chat's webhook is a credential, so none is named.
    """
    return [trouble for to in recipients(settings) if (trouble := _sent(settings, to, alert))]


def recipients(settings: Settings) -> list[str]:
    """Who is told."""
    return [to.strip() for to in (settings.get("AURA_ALERT_TO") or "").split(",") if to.strip()]


def _sent(settings: Settings, to: str, alert: Alert) -> str | None:
    try:
        _post(to, alert) if "://" in to else _mail(settings, to, alert)
    except ServiceError as error:
        return f"The alert was not taken: {error.status or error.message}"
    except UnreachableError:
        return "The alert could not be delivered: nobody was reached there"
    except AuraError as error:
        return f"The alert could not be delivered: {error.message}"
    return None


def _post(to: str, alert: Alert) -> None:
    """https://api.slack.com/messaging/webhooks, whose `text` Mattermost, Rocket.Chat and Google Chat take, too;
    https://discord.com/developers/docs/resources/webhook#execute-webhook."""
    from aura_cli.transport import Rate, Service

    try:
        parts = urlsplit(to)
    except ValueError:
        raise ConfigurationError("AURA_ALERT_TO is no address") from None
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ConfigurationError("AURA_ALERT_TO is an address without https")
    content = {"content": alert.text[:2000]} if parts.hostname in _DISCORD else {"text": alert.text}
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    with Service("The chat", f"{parts.scheme}://{parts.netloc}", {}, Rate(0), timeout=SECONDS, attempts=ATTEMPTS) as chat:
        try:
            chat.call("POST", path, json=content, repeatable=True)
        except AuraError as error:
            raise type(error)(str(error).replace(path, "/…"), error.hint) from None


def _mail(settings: Settings, to: str, alert: Alert) -> None:
    from aura_cli.mail import resend
    from aura_cli.mail.addresses import checked, sender
    from aura_cli.mail.sending import FROM

    service = resend.service(settings)
    if service is None:
        raise ConfigurationError("AURA_ALERT_TO is a mail address, and RESEND_API_KEY is not set")
    message: dict[str, object] = {
        "from": sender(settings.get("FROM_EMAIL") or FROM),
        "to": [checked(to)],
        "subject": alert.subject,
        "text": "\n".join(alert.lines),
    }
    service.timeout, service.attempts = SECONDS, ATTEMPTS
    with service:
        body = json.dumps(message).encode()
        headers = {"Idempotency-Key": f"{alert.key}/{sha256(body).hexdigest()[:16]}", "Content-Type": "application/json"}
        service.call("POST", "/emails", content=body, headers=headers, repeatable=True)
