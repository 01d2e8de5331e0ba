"""Idempotency keys (https://resend.com/docs/dashboard/emails/idempotency-keys): the same request answers the same for 24 hours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aura_cli.sandbox.resend.errors import known

KEPT = 86_400  # seconds
LONGEST = 256  # characters


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered under a key."""

    fingerprint: str
    at: float
    body: bytes


class IdempotencyKeys:
    """Keys of one endpoint each; what was refused is not kept."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answered] = {}  # oldest first
        self._under_way: set[tuple[str, str]] = set()

    def replay(self, endpoint: str, key: str, fingerprint: str, now: float) -> bytes | None:
        """The earlier answer. Raises ResendError 400 for a key that is none, 409 where it was used for another body, or is in use now."""
        if not 1 <= len(key) <= LONGEST:
            raise known("invalid_idempotency_key")
        while self._answers and next(iter(self._answers.values())).at <= now - KEPT:
            del self._answers[next(iter(self._answers))]
        if (endpoint, key) in self._under_way:
            raise known("concurrent_idempotent_requests")
        answered = self._answers.get((endpoint, key))
        if answered and answered.fingerprint != fingerprint:
            raise known("invalid_idempotent_request")
        return answered.body if answered else None

    @contextmanager
    def in_use(self, endpoint: str, key: str | None) -> Iterator[None]:
        """Whoever comes with the same key while the block runs is told so."""
        if key is None:
            yield
            return
        self._under_way.add((endpoint, key))
        try:
            yield
        finally:
            self._under_way.discard((endpoint, key))

    def keep(self, endpoint: str, key: str, answered: Answered) -> None:
        self._answers[endpoint, key] = answered
