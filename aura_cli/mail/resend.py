"""Resend over plain HTTP: one request for one mail or up to a hundred, and what its answer means for a second try.

https://resend.com/docs/api-reference/emails/send-email, …/send-batch-emails, …/errors, …/rate-limit, and
https://resend.com/docs/dashboard/emails/idempotency-keys: a key has up to 256 characters and is known for 24 hours; a repetition with
the same content gets the first answer, one with another content a 409.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256

import msgspec

from aura_cli.errors import AccessRefused, AuraError, ConfigurationError, ServiceError, UnreachableError
from aura_cli.settings import Settings, leads_here
from aura_cli.transport import Rate, Service

BASE = "https://api.resend.com"
MOST = 100  # mails in one request
KEY_SECONDS = 23 * 3600  # Resend knows a key for 24 hours; clocks differ
LONGEST_KEY = 256
REQUESTS_A_SECOND = 4.0  # Resend allows a team 5 (some accounts 2, and then asks to wait), and the web app draws on the same
QUOTA_WAIT, REFUSED_WAIT = 900.0, 300.0  # seconds until it is looked whether there is quota again (whatever is asked for), or a better key
_QUOTAS = ("daily_quota_exceeded", "monthly_quota_exceeded")


class _Created(msgspec.Struct):
    id: str


class _Refused(msgspec.Struct):
    index: int
    message: str


class _Batch(msgspec.Struct):
    data: list[_Created]
    errors: list[_Refused] = []


class _Error(msgspec.Struct):
    name: str = ""
    message: str = ""


@dataclass(frozen=True)
class Request:
    """One request, exactly as it goes out the first time and every time: where to, its idempotency key, its body (JSON)."""

    path: str
    key: str
    body: str

    @classmethod
    def of(cls, key: str, messages: Sequence[dict[str, object]]) -> "Request":
        """One message is a mail, more are a batch; `key` becomes one that Resend takes."""
        content: object = messages[0] if len(messages) == 1 else list(messages)
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        fits = len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
        named = key if fits else f"sha256:{sha256(key.encode()).hexdigest()}"
        return cls("/emails" if len(messages) == 1 else "/emails/batch", named, body)


@dataclass(frozen=True)
class Told:
    """What Resend told of one message: its id there, or the error for which it was not taken."""

    id: str | None = None
    error: str | None = None


class Verdict(Enum):
    """What a failed request means."""

    REFUSED = "it was not taken, and never will be as it is"
    UNSENT = "it was not taken; a later one may be"
    UNKNOWN = "it may have been taken"


@dataclass(frozen=True)
class Failure:
    """Why a request brought no ids, and how many seconds to wait before it is tried again (None: no matter).

    `halts`: no other request would fare better before that.
    """

    verdict: Verdict
    error: AuraError
    wait: float | None = None
    halts: bool = False


def service(settings: Settings) -> Service | None:
    """Resend with the configured key; None without one. Raises ConfigurationError where the sandbox's key would go elsewhere."""
    if (key := settings.secret("RESEND_API_KEY")) is None:
        return None
    base = settings.get("RESEND_API_URL") or BASE
    is_here = leads_here(base)
    if settings.is_sandbox and not is_here:
        raise ConfigurationError("RESEND_API_URL is not on this machine, and this is the sandbox", "Take a stand-in on 127.0.0.1")
    headers = {"Authorization": f"Bearer {key.reveal().strip()}", "User-Agent": "aura"}  # Resend refuses requests without a User-Agent
    return Service("Resend", base, headers, Rate(0.0 if is_here else REQUESTS_A_SECOND), _said)


def send(resend: Service, request: Request, count: int) -> list[Told] | Failure:
    """Send a request of `count` messages once; what was told of each in their order, or how it failed."""
    headers = {"Idempotency-Key": request.key, "Content-Type": "application/json"}
    if request.path.endswith("/batch"):  # https://resend.com/docs/dashboard/emails/batch-validation-modes
        headers["x-batch-validation"] = "permissive"
    try:
        body = resend.call("POST", request.path, content=request.body.encode(), headers=headers, repeatable=False)
        return _told(request, body, count)
    except AuraError as error:
        return judged(error)


def judged(error: AuraError) -> Failure:
    """What an error means for the mails of its request: https://resend.com/docs/api-reference/errors."""
    failure = _judged(error)
    return failure if failure.wait is None else replace(failure, wait=min(failure.wait, QUOTA_WAIT))


def _judged(error: AuraError) -> Failure:
    if isinstance(error, AccessRefused) and error.status == 403 and _error(error.body).name == "validation_error":
        error.hint = "The key is good: see what it says of the recipient, or of the sender's domain"
        return Failure(Verdict.UNSENT, error)
    if isinstance(error, ConfigurationError):
        return Failure(Verdict.UNSENT, error, REFUSED_WAIT, halts=True)
    if isinstance(error, UnreachableError):
        import httpx

        unsent = error.__cause__ is None or isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return Failure(Verdict.UNSENT if unsent else Verdict.UNKNOWN, error)
    if not isinstance(error, ServiceError) or not 400 <= error.status < 500:
        return Failure(Verdict.UNKNOWN, error, getattr(error, "wait", None))
    said = _error(error.body)
    if error.status == 429 and said.name in _QUOTAS:
        period = said.name.partition("_")[0]
        stop = ServiceError(
            f"Resend's {period} quota is used up: {said.message}", "What waits goes out later: aura email retry", status=429
        )
        return Failure(Verdict.UNSENT, stop, QUOTA_WAIT, halts=True)
    if error.status == 429:
        return Failure(Verdict.UNSENT, error, 1.0 if error.wait is None else error.wait, halts=True)
    if error.status in (408, 425) or said.name == "concurrent_idempotent_requests":
        return Failure(Verdict.UNKNOWN, error, 2.0 if error.wait is None else error.wait, halts=True)
    return Failure(Verdict.REFUSED, error)


def _told(request: Request, body: bytes, count: int) -> list[Told]:
    try:
        if not request.path.endswith("/batch"):
            return [Told(_id(msgspec.json.decode(body, type=_Created)))]
        batch = msgspec.json.decode(body, type=_Batch)
    except msgspec.DecodeError as error:
        raise ServiceError(f"Resend's answer is not what it should be: {error}") from error
    refused = {one.index: one.message for one in batch.errors}
    if len(batch.data) + len(refused) != count or not refused.keys() <= set(range(count)):
        raise ServiceError(f"Resend told of {len(batch.data)} mails and {len(refused)} errors, and {count} mails were sent")
    created = iter(batch.data)
    return [Told(error=refused[place]) if place in refused else Told(_id(next(created))) for place in range(count)]


def _id(created: _Created) -> str:
    if not created.id:
        raise ServiceError("Resend's answer holds no id")
    return created.id


def _error(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Error)
    except msgspec.DecodeError:
        return _Error()


def _said(body: bytes) -> str:
    error = _error(body)
    return f"{error.name}: {error.message}" if error.name else error.message
