"""What the stand-in refuses, in Resend's shape (https://resend.com/docs/api-reference/errors)."""

from collections.abc import Mapping
from types import MappingProxyType


class ResendError(Exception):
    """An answer that is not 2xx. `name` is Resend's name of it, which a client tells the three 429s apart by."""

    def __init__(self, status: int, name: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, object]:
        return {"statusCode": self.status, "name": self.name, "message": self.message}


_KNOWN: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "invalid_idempotency_key": (400, "Idempotency keys, if present, must have between 1 and 256 characters."),
        "missing_api_key": (401, "Missing API key in the authorization header."),
        "suspended_api_key": (403, "This API key is suspended"),
        "not_found": (404, "The requested endpoint does not exist."),
        "method_not_allowed": (405, "Method is not allowed for the requested path."),
        "concurrent_idempotent_requests": (409, "There is another request in progress with the same idempotency key."),
        "invalid_idempotent_request": (
            409,
            (
                "This idempotency key has been used with this HTTP method and endpoint within the last 24 hours, "
                "but the request body was modified and doesn't match the original request."
            ),
        ),
        "rate_limit_exceeded": (
            429,
            "Too many requests. Please limit the number of requests per second. Or contact support to increase rate limit.",
        ),
        "daily_quota_exceeded": (429, "You have exceeded your daily email sending quota."),
        "monthly_quota_exceeded": (429, "You have exceeded your monthly email sending quota."),
        "application_error": (500, "An unexpected error occurred."),
        "service_unavailable": (503, "API is temporarily unavailable"),
    }
)
NAMES = frozenset(_KNOWN)


def known(name: str, headers: Mapping[str, str] | None = None) -> ResendError:
    """One of the errors whose status and words Resend's reference fixes."""
    status, message = _KNOWN[name]
    return ResendError(status, name, message, headers)


def invalid(message: str, status: int = 422) -> ResendError:
    """A field that is wrong."""
    return ResendError(status, "validation_error", message)


def missing(field: str) -> ResendError:
    return ResendError(422, "missing_required_field", f"Missing `{field}` field.")
