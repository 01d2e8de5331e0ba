"""A listener and a worker without Stripe's key, as somebody's own program embeds them: what the events say is all that is known.

Run as a program: WHAT PORT SECRET, with DATABASE_URL in its environment. WHAT is `listen` (receives, and works with one worker),
`receive`, `serve` (receives as `aura serve-webhooks` does) or `work`. It prints a line when it has begun.
"""

import os
import sys
import threading
from collections.abc import Callable
from types import MappingProxyType

from aiohttp import web
from sqlalchemy import Engine

from aura_cli.db.engine import connect
from aura_cli.webhooks import serving
from aura_cli.webhooks.handling import Surroundings
from aura_cli.webhooks.listener import make_app
from aura_cli.webhooks.worker import Worker
from tests.parts.insisting import PATH


def listen(engine: Engine, port: int, secret: str, workers: int = 1) -> None:
    """Serve until killed."""
    app = make_app(engine, {"web": secret}, path=PATH, workers=workers, forwards=True)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=_begun, handle_signals=True)


def receive(engine: Engine, port: int, secret: str) -> None:
    listen(engine, port, secret, workers=0)


def serve(engine: Engine, port: int, secret: str) -> None:
    """Serve as the command does, until told to end."""
    app = make_app(engine, {"web": secret}, path=PATH, workers=0, forwards=True)
    serving.serve(app, serving.Serving(port=port, admin_port=0), _begun)


def work(engine: Engine, port: int, secret: str) -> None:
    """Work until killed."""
    del port, secret
    _begun("")
    Worker(engine, None, Surroundings(forwards=True)).run(threading.Event())


WHAT: MappingProxyType[str, Callable[[Engine, int, str], None]] = MappingProxyType(
    {"listen": listen, "receive": receive, "serve": serve, "work": work}
)


def _begun(_: object) -> None:
    sys.stdout.write("begun\n")
    sys.stdout.flush()


if __name__ == "__main__":
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    WHAT[sys.argv[1]](connect(url), int(sys.argv[2]), sys.argv[3])
