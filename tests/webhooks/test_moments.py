"""What `--since` understands."""

from datetime import UTC, datetime

import pytest

from aura_cli.errors import UsageError
from aura_cli.webhooks.moments import since

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-11-22T11:58:30Z"),
        ("30m", "2026-11-22T11:30:00Z"),
        ("2h", "2026-11-22T10:00:00Z"),
        (" 7 d ", "2026-11-15T12:00:00Z"),
        ("2w", "2026-11-08T12:00:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T08:00", "2026-11-20T08:00:00Z"),
        ("2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"),
        ("2026-11-20T08:00:00+02:00", "2026-11-20T06:00:00Z"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    """How long ago, or when; in UTC where no zone is named."""
    assert since(text, NOW) == int(datetime.fromisoformat(moment).timestamp())


@pytest.mark.parametrize("text", ["", "h", "2", "2y", "-2h", "yesterday", "2026-13-01", "2026-11-22T12:00:01Z", "9999999d", "२h"])
def test_what_is_no_moment(text: str) -> None:
    """Neither words nor the future."""
    with pytest.raises(UsageError):
        since(text, NOW)
