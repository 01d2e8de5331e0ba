"""What `aura explain` says is owed to somebody: that alone which its repair would give, and what has had its time is not."""

from datetime import UTC, datetime, timedelta

from tests.insight.desk import Desk


def test_an_invitation_that_has_expired(desk: Desk) -> None:
    """Whom nobody waits for any more is not to be written to: nothing is broken, and the story still has it."""
    for ago in (timedelta(days=400), timedelta(days=7, minutes=1)):
        desk.invite(f"guest{ago.days}@example.com", at=datetime.now(UTC) - ago)
    for asked in ("", "guest400@example.com", "guest7@example.com"):
        found = desk.explain(asked)
        assert (found["verdict"], found["others"]) == (None, []), asked
        assert "invitation made" in [moment["what"] for moment in found["timeline"]]
    desk.invite("guest6@example.com", at=datetime.now(UTC) - timedelta(days=6, hours=23))
    assert "guest6@example.com was invited by " in desk.explain(exit=3)["verdict"]["what"]
