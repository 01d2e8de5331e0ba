"""What becomes of a mail: decided by its address, as Resend's test addresses do (https://resend.com/docs/dashboard/emails/send-test-emails)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from aura_cli.sandbox.resend.messages import bare
from aura_cli.sandbox.resend.state import Event, Mail, ResendState

TEST_DOMAIN = "resend.dev"
_ON_LIST = "The recipient is on the account's suppression list."
_FATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bounced": ("sent", "bounced"),
        "complained": ("sent", "delivered", "complained"),
        "suppressed": ("suppressed",),
        "delayed": ("sent", "delivery_delayed"),  # ours; Resend has no such address
    }
)
_MORE: Mapping[str, dict[str, Any]] = MappingProxyType(  # what an event says beside what all say
    {
        "bounced": {
            "bounce": {
                "diagnosticCode": ["smtp; 550 5.1.1 user unknown"],
                "message": "The recipient's mail server rejected the mail: there is no such user.",
                "subType": "General",
                "type": "Permanent",
            }
        },
        "suppressed": {"suppressed": {"message": _ON_LIST, "type": "OnAccountSuppressionList"}},
        "failed": {"failed": {"reason": "reached_daily_quota"}},
    }
)
KINDS = ("sent", "delivered", "delivery_delayed", "bounced", "complained", "suppressed", "failed", "opened", "clicked")


def fate(address: str) -> tuple[str, ...]:
    """What happens to a mail to an address, in its order; labels (`bounced+one@resend.dev`) make no difference."""
    mailbox, _, domain = bare(address).lower().rpartition("@")
    found = _FATES.get(mailbox.partition("+")[0]) if domain == TEST_DOMAIN else None
    return found or ("sent", "delivered")


def happen(state: ResendState, mail: Mail, kind: str) -> Event:
    """An event happens to a mail, and who wants it is told."""
    mail.last_event = kind
    event = Event(f"msg_{state.new_id().replace('-', '')[:27]}", f"email.{kind}", state.now(), mail, _MORE.get(kind, {}))
    if state.on_event:
        state.on_event(event)
    return event


def payload(event: Event) -> dict[str, Any]:
    """The body of the webhook (https://resend.com/docs/webhooks/emails/delivered)."""
    mail = event.mail
    data = {
        "created_at": iso(mail.created),
        "email_id": mail.id,
        "message_id": message_id(mail),
        "from": mail.message.sender,
        "to": list(mail.message.to),
        "subject": mail.message.subject,
        **event.more,
    }
    if mail.message.tags:
        data["tags"] = dict(mail.message.tags)
    return {"type": event.type, "created_at": iso(event.created), "data": data}


def message_id(mail: Mail) -> str:
    return f"<{mail.id}@sandbox.example>"


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
