"""Resend's webhooks, taken: verified on the raw bytes, noted once, answered when that is committed.

https://resend.com/docs/webhooks/retries-and-replays: what is not answered with 2xx comes again, for a day and a quarter.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.mail import status, svix
from aura_cli.settings import Settings

PATH = "/api/webhooks/resend"
SETTING = "RESEND_WEBHOOK_SECRET"


@dataclass(frozen=True)
class Reception:
    """Takes deliveries that are signed with `key`."""

    engine: Engine
    key: bytes = field(repr=False)
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> "Reception | None":
        """As configured; None without a secret. Raises ConfigurationError for one that cannot be."""
        secret = settings.secret(SETTING)
        return cls(engine, svix.key_of(secret.reveal())) if secret else None

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The status and the words that a delivery is answered with: 200 once it is stored or known, 400 for what is not Resend's."""
        try:
            signed = svix.Signed.of(headers)
            svix.verify(signed, body, self.key, self.clock())
            event = status.read(signed.id, body)
        except (svix.SignatureRefused, status.BadEvent) as error:
            return HTTPStatus.BAD_REQUEST, f"{error.message}."
        with writing(self.engine) as connection:
            is_new = status.note(connection, event)
        return HTTPStatus.OK, "stored" if is_new else "known"
