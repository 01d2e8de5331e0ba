"""A stand-in of Google Analytics' Measurement Protocol and its validation server; `make_app(state)` serves it."""

from aura_cli.sandbox.analytics.app import AnalyticsState, error_body, make_app

__all__ = ["AnalyticsState", "error_body", "make_app"]
