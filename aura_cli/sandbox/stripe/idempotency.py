"""Idempotency keys: the same key with the same parameters answers the same (https://docs.stripe.com/api/idempotent_requests)."""

from dataclasses import dataclass

from aura_cli.sandbox.stripe.errors import ApiError

KEPT = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Answered:
    fingerprint: str
    at: int
    body: bytes
    request: str


class IdempotencyKeys:
    """What was answered under each key in the last 24 hours; refused requests are not kept, as at Stripe."""

    def __init__(self) -> None:
        self._answers: dict[str, Answered] = {}  # oldest first

    def replay(self, key: str, fingerprint: str, now: int) -> Answered | None:
        """The earlier answer. Raises ApiError 400 when the key was used with other parameters."""
        if len(key) > 255:
            raise ApiError(400, "Idempotency keys can be up to 255 characters long", kind="idempotency_error")
        self._forget(now - KEPT)
        answered = self._answers.get(key)
        if answered is not None and answered.fingerprint != fingerprint:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
            raise ApiError(400, message, kind="idempotency_error")
        return answered

    def keep(self, key: str, answered: Answered) -> None:
        self._answers[key] = answered

    def _forget(self, before: int) -> None:
        while self._answers and next(iter(self._answers.values())).at < before:
            del self._answers[next(iter(self._answers))]
