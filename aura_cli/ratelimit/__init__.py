"""The web app's rate limits, seen and reset from outside."""
