"""Moments as a person gives them on the command line."""

import re
from datetime import UTC, datetime

from aura_cli.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"([0-9]{1,6})\s*([smhdw])")


def since(text: str, now: datetime) -> int:
    """The moment (epoch seconds) that `text` means: how long ago (`90s`, `30m`, `2h`, `7d`, `2w`), or a date or time in ISO 8601.

    What names no time zone is UTC. Raises UsageError for anything else, and for what is still to come.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return int(now.timestamp()) - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no moment", "Examples: 30m, 2h, 7d, 2026-11-20, 2026-11-20T08:00:00Z") from None
    if seconds > now.timestamp():
        raise UsageError(f"{text!r} is still to come")
    return seconds
