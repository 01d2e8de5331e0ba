"""Google Analytics 4 over its Measurement Protocol: https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference.

Nothing that is sent names a person: the client id follows from a user's id and does not lead back to it, there is no user id, no
address, and no consent to advertising is claimed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from aura_cli.analytics.rules import Problem
from aura_cli.errors import ConfigurationError, ServiceError
from aura_cli.settings import Settings
from aura_cli.transport import Rate, Service

BASE = "https://www.google-analytics.com"
ID, SECRET = "NEXT_PUBLIC_GA_MEASUREMENT_ID", "GA_API_SECRET"
_SECONDS = 10.0


def is_configured(settings: Settings) -> bool:
    """Can events be sent at all?"""
    return bool(settings.get(ID) and settings.get(SECRET))


def client_id(user: str) -> str:
    """The client id of a user (uuid): two numbers as browsers' ids have them, the same at every time and for nobody else."""
    digest = sha256(f"aura analytics client {user}".encode()).digest()
    return f"{int.from_bytes(digest[:4]) >> 1}.{int.from_bytes(digest[4:8]) >> 1}"


def request_body(client: str, event: str, parameters: Mapping[str, Any], at: datetime | None = None) -> dict[str, Any]:
    """A request with one event, of the moment `at` (Google takes the last 72 hours) or of now."""
    body: dict[str, Any] = {"client_id": client, "consent": {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}}
    if at is not None:
        body["timestamp_micros"] = int(at.timestamp() * 1_000_000)
    return {**body, "events": [{"name": event, "params": dict(parameters)}]}


@dataclass(eq=False)
class Collector:
    """The configured property. Use as a context manager."""

    service: Service
    credentials: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As configured. Raises ConfigurationError where a setting is missing, or is none: Google itself would not say so."""
        identifier = settings.require(ID, "it says which property counts").reveal()
        secret = settings.require(SECRET, "events are sent with it").reveal()
        if not re.fullmatch(r"G-[A-Z0-9]{4,20}", identifier):
            raise ConfigurationError(f"{ID} is {identifier!r}", "A Google Analytics 4 measurement id begins with G-")
        service = Service("Google Analytics", settings.get("GA_API_BASE") or BASE, {}, Rate(0), timeout=_SECONDS)
        return cls(service, {"measurement_id": identifier, "api_secret": secret})

    def __enter__(self) -> Self:
        self.service.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.service.__exit__()

    def send(self, body: Mapping[str, Any]) -> None:
        """Send a request. That it was taken says nothing of whether it counts. Raises UnreachableError, ServiceError."""
        self.service.call("POST", "/mp/collect", params=self.credentials, json=body)

    def validate(self, body: Mapping[str, Any]) -> Sequence[Problem]:
        """What Google's validation server says of a request, which is not counted. It looks at neither the id nor the secret."""
        asked = {**body, "validation_behavior": "ENFORCE_RECOMMENDATIONS"}
        answer = self.service.call("POST", "/debug/mp/collect", params=self.credentials, json=asked, repeatable=True)
        try:
            messages = json.loads(answer)["validationMessages"]
            return [Problem(*(str(one.get(key, "")) for key in ("fieldPath", "description", "validationCode"))) for one in messages]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ServiceError("Google's validation server answered with something else", f"Is {self.service.base} its address?") from error
