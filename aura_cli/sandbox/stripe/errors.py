"""What the stand-in refuses, in Stripe's error shape (https://docs.stripe.com/api/errors)."""

from typing import Any


class ApiError(Exception):
    """An answer that is not 2xx: `status` is the HTTP status, the rest goes into the body's `error`."""

    def __init__(self, status: int, message: str, *, code: str = "", param: str = "", kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        fields = {"type": kind, "message": message, "code": code, "param": param}
        if code:
            fields["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        self.body: dict[str, Any] = {"error": {name: value for name, value in fields.items() if value}}


def missing_resource(kind: str, identifier: str, param: str = "id", *, status: int = 404) -> ApiError:
    return ApiError(status, f"No such {kind}: '{identifier}'", code="resource_missing", param=param)


def missing_parameter(name: str) -> ApiError:
    return ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def unknown_parameter(name: str) -> ApiError:
    return ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def invalid_parameter(name: str, message: str, code: str = "") -> ApiError:
    return ApiError(400, message, code=code, param=name)


def rate_limited(reason: str, retry_after: int) -> ApiError:
    """Stripe's 429; `reason` is what Stripe-Rate-Limited-Reason says, e.g. global-rate (https://docs.stripe.com/rate-limits)."""
    error = ApiError(
        429, "Request rate limit exceeded. Learn more about rate limits at https://stripe.com/docs/rate-limits.", code="rate_limit"
    )
    error.headers = {"Retry-After": str(retry_after), "Stripe-Rate-Limited-Reason": reason}
    return error
