"""A stand-in of Upstash's Redis over REST: a store in memory, or a real Redis behind it; `make_app(state)` serves it."""

from aura_cli.sandbox.upstash.app import Database, UpstashState, error_body, make_app
from aura_cli.sandbox.upstash.store import Store
from aura_cli.sandbox.upstash.wire import Remote, database

__all__ = ["Database", "Remote", "Store", "UpstashState", "database", "error_body", "make_app"]
