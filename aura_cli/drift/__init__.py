"""Drift: what two systems say differently, as plans that are checked before they are applied."""
