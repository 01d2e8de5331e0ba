"""Errors that nobody foresaw, told to Sentry: loaded when there is something to report, and not before."""

from collections.abc import Callable, Mapping
from typing import Any

from aura_cli import __version__

FLUSH_SECONDS = 2.0


def report(error: BaseException, dsn: str, environment: str | None, redact: Callable[[str], str]) -> None:
    """Send one error to Sentry, with every text in it redacted. Never raises: a report must not hide what it reports.

    No local variable, request body, host name or breadcrumb goes along.
    """
    import sentry_sdk

    def scrub(event: Any, hint: Mapping[str, Any]) -> Any:
        return _redacted(event, redact)

    try:
        sentry_sdk.init(
            dsn,
            release=f"aura@{__version__}",
            environment=environment or "production",
            before_send=scrub,
            # personal data is off by default (send_default_pii is deprecated in 2.75)
            default_integrations=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            server_name="",
        )
        sentry_sdk.capture_exception(error)
        sentry_sdk.flush(timeout=FLUSH_SECONDS)
    except Exception:  # noqa: BLE001 (see the docstring)
        return


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """`value` with each text in it redacted, however deep."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _redacted(part, redact) for name, part in value.items()}
    return [_redacted(part, redact) for part in value] if isinstance(value, (list, tuple)) else value
