"""What the stand-in refuses, in OpenAI's error shape (https://platform.openai.com/docs/guides/error-codes)."""

from collections.abc import Mapping
from types import MappingProxyType

INVALID = "invalid_request_error"


class OpenAIError(Exception):
    """An answer that is not 2xx, or an error in the middle of a stream: `body` is its JSON."""

    def __init__(self, status: int, message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def server_error(status: int = 500) -> OpenAIError:
    return OpenAIError(status, "The server had an error while processing your request. Sorry about that!", kind="server_error")


def rate_limited() -> OpenAIError:
    message = "Rate limit reached for requests: Limit 500, Used 500, Requested 1. Visit https://platform.openai.com/account/rate-limits."
    return OpenAIError(429, message, kind="requests", code="rate_limit_exceeded")


def quota_exceeded() -> OpenAIError:
    message = "You exceeded your current quota, please check your plan and billing details."
    return OpenAIError(429, message, kind="insufficient_quota", code="insufficient_quota")


def wrong_key(key: str) -> OpenAIError:
    """`key` is shown as OpenAI shows it: its beginning and its end."""
    if not key:
        return OpenAIError(
            401, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth."
        )
    shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * len(key)
    message = f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys."
    return OpenAIError(401, message, code="invalid_api_key")


def no_such_model(name: str) -> OpenAIError:
    return OpenAIError(404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found")


def too_long(limit: int, tokens: int) -> OpenAIError:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return OpenAIError(400, message, param="messages", code="context_length_exceeded")


ORDERED: Mapping[int, str] = MappingProxyType(  # what a status that was ordered says; 401 and 429 have words of their own
    {
        400: "The request was refused, as it was ordered.",
        403: "You are not allowed to do this, as it was ordered.",
        404: "Nothing is here, as it was ordered.",
        503: "The engine is currently overloaded, please try again later.",
    }
)


def ordered(status: int, code: str = "") -> OpenAIError:
    """The error that OpenAI answers with a status, for `code` insufficient_quota that of an empty account."""
    if status == 401:
        return wrong_key("")
    if status == 429:
        return quota_exceeded() if code == "insufficient_quota" else rate_limited()
    if status in ORDERED:
        return OpenAIError(status, ORDERED[status], kind=INVALID if status < 500 else "server_error", code=code or None)
    return server_error(status)
