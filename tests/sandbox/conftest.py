"""Resend's stand-in, as its official SDK finds it."""

from collections.abc import Iterator

import pytest
import resend

from tests.parts.resend import Post, post


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A stand-in of its own without a limit a second, to which the official SDK is led."""
    with post() as found:
        found.state.limits.rate = 0
        monkeypatch.setattr(resend, "api_url", found.base)
        monkeypatch.setattr(resend, "api_key", found.state.api_key)
        monkeypatch.setenv("NO_PROXY", "*")
        yield found
