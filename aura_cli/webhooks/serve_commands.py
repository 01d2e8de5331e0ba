"""`aura serve-webhooks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from aura_cli.errors import ConfigurationError, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from aura_cli.webhooks.serving import Listening

PATH = "/api/webhooks/stripe"


@dataclass(frozen=True)
class Started:
    """Where a listener listens and for whom: what `--json` prints once it does."""

    url: str
    admin: str
    stripe_account: str | None
    stripe_mode: str
    billing_owner: str
    workers: int
    secrets: tuple[str, ...]


def serve_webhooks(
    ctx: typer.Context,
    host: str = typer.Option("127.0.0.1", "--host", help="The address to listen on."),
    port: int = typer.Option(8787, "--port", min=0, max=65535, help="0: any free one."),
    path: str = typer.Option(PATH, "--path", help="The path that Stripe posts to."),
    admin_port: int = typer.Option(8788, "--admin-port", min=0, max=65535, help="Of /readyz and /metrics, on loopback; 0: any free one."),
    workers: int = typer.Option(1, "--workers", min=0, max=16, help="How many work on what arrives; 0: only receive."),
    grace: float = typer.Option(20.0, "--grace", min=0, help="Seconds to finish in when it is stopped."),
    trusted_proxies: int = typer.Option(0, "--trusted-proxies", min=0, help="How many proxies of yours stand before it (X-Forwarded-For)."),
    connections: int = typer.Option(512, "--connections", min=1, help="How many connections it takes at once."),
) -> None:
    """Receive Stripe's webhooks, store each event once, and work on them, until stopped.

    Serves plain HTTP: put a proxy that speaks TLS before it. Example: aura serve-webhooks --port 8787
    """
    from aura_cli.webhooks.listener import make_app
    from aura_cli.webhooks.serving import Serving, serve
    from aura_cli.webhooks.signature import secrets_of

    runtime: Runtime = ctx.obj
    if not path.startswith("/"):
        raise UsageError(f"--path {path} does not begin with a slash")
    secrets = secrets_of(runtime.settings)
    if not secrets:
        raise ConfigurationError("No signing secret is set: nobody's events could be told from Stripe's", "Set STRIPE_WEBHOOK_SECRET")
    mode = runtime.settings.stripe_mode
    if mode is None:
        raise ConfigurationError("STRIPE_SECRET_KEY is not set: it says whether live or test events are meant", "Set it")
    identity = runtime.authorise()
    app = make_app(runtime.engine, secrets, livemode=mode == "live", path=path, trusted_proxies=trusted_proxies)
    serving = Serving(host, port, admin_port, grace, connections)

    def started(listening: Listening) -> None:
        url, admin = f"http://{host}:{listening.port}{path}", f"http://127.0.0.1:{listening.admin_port}"
        _tell(runtime, Started(url, admin, identity.stripe_account, mode, "web", workers, tuple(secrets)))

    raise typer.Exit(128 + serve(app, serving, started))


def _tell(runtime: Runtime, started: Started) -> None:
    from aura_cli.console import dump

    if runtime.options.as_json:
        runtime.console.emit(dump(started))
    s = started
    runtime.console.say(f"Listening on {s.url} for {s.stripe_mode} events of Stripe account {s.stripe_account}; Ctrl-C stops it.")
    runtime.console.say(f"Readiness and metrics: {s.admin}/readyz, {s.admin}/metrics")
    work = f"{s.workers} working on them here" if s.workers else "only received here; aura webhooks work handles them"
    runtime.console.say(f"Events signed with {', '.join(s.secrets)}, {work}; {s.billing_owner} grants balances.")
