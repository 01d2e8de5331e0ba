"""The rate limits."""
