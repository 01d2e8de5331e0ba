"""What Sentry is told of an unforeseen error, and what it is not."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from aura_cli.console import Console
from aura_cli.reporting import report
from tests.parts.program import Aura

CANARY = "sk_live_CanaryCanaryCanary0001"


@contextmanager
def sentry() -> Iterator[tuple[str, list[str]]]:
    """A server that takes envelopes as Sentry does; gives its DSN and what it was sent."""
    received: list[str] = []

    class Envelope(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body).decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Envelope)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://public@127.0.0.1:{server.server_port}/1", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def raised(message: str) -> Exception:
    try:
        local_secret = CANARY
        raise RuntimeError(f"{message} {local_secret}")
    except RuntimeError as error:
        return error


def test_an_error_arrives_without_its_secrets() -> None:
    """The report names the error and the environment; no secret of its message or of a local variable is in it."""
    with sentry() as (dsn, received):
        report(raised("database-password-1 and"), dsn, "staging", Console(secrets=("database-password-1",)).redact)
    assert len(received) == 1
    assert "RuntimeError" in received[0]
    assert '"environment":"staging"' in received[0].replace(": ", ":")
    assert CANARY not in received[0]
    assert "database-password-1" not in received[0]


def test_people_s_data_in_a_broken_constraint(aura: Aura, postgres_database: str) -> None:
    """PostgreSQL's DETAIL names the row: neither the terminal, with --debug or without, nor Sentry is told of it."""
    script = (
        "import json, sys, typer; from aura_cli import app; app.Root.table['boom'] = 'json:loads'\n"
        "def loads(ctx: typer.Context):\n"
        "    from aura_cli.db.engine import load, writing; from aura_cli.db.shared import users\n"
        "    with writing(ctx.obj.engine) as connection:\n"
        "        for _ in range(2):\n"
        "            if '--copy' in sys.argv: load(connection, users, ('privy_user_id',), [('did:privy:Canary',)])\n"
        "            else: connection.execute(users.insert().values(privy_user_id='did:privy:Canary'))\n"
        "json.loads = loads; sys.exit(app.run([word for word in sys.argv[1:] if word != '--copy']))"
    )
    with sentry() as (dsn, received):
        env = {**aura.environment, "DATABASE_URL": postgres_database, "AURA_ENV": "staging", "NEXT_PUBLIC_SENTRY_DSN": dsn}
        assert aura("db", "upgrade", env=env).exit == 0
        for words in ([], ["--debug"], ["--copy", "--debug"]):
            done = subprocess.run(
                [sys.executable, "-c", script, "boom", *words], cwd=aura.work, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 1
            assert "duplicate key value" in done.stderr
            assert "Canary" not in done.stderr
    assert [("duplicate key value" in one, "Canary" in one) for one in received] == [(True, False)] * 3


def test_a_report_that_cannot_be_sent_hides_nothing() -> None:
    """A wrong or unreachable address is passed over in silence: the error itself is what counts."""
    report(raised("x"), "no address at all", None, str)
    report(raised("x"), "http://public@127.0.0.1:9/1", None, str)
