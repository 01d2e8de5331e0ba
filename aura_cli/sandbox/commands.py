"""`aura sandbox` and `aura demo`."""

from __future__ import annotations

import typer

from aura_cli.runtime import Runtime

context_settings = {"ignore_unknown_options": False, "allow_interspersed_args": True}

ANY = "0: any free one."


def sandbox(
    ctx: typer.Context,
    command: list[str] | None = typer.Argument(None, metavar="[-- CMD]", help="Run CMD inside the sandbox's environment and end with it."),
    users: int = typer.Option(500, "--users", min=0, max=1_000_000, help="How many people there are."),
    seed: int = typer.Option(7, "--seed", help="The same seed makes the same people."),
    clean: bool = typer.Option(False, "--clean", help="No drift in the database."),
    latency: float = typer.Option(0.0, "--latency", min=0, help="Seconds before every answer."),
    too_many: float = typer.Option(0.0, "--too-many", min=0, max=1, help="Share of requests answered 429."),
    server_error: float = typer.Option(0.0, "--server-error", min=0, max=1, help="Share of requests answered 500."),
    cut: float = typer.Option(0.0, "--cut", min=0, max=1, help="Share of requests whose answer is cut off."),
    rate: float = typer.Option(0.0, "--rate", min=0, help="Requests a second that are allowed (0: any)."),
    duplicate_events: float = typer.Option(0.0, "--duplicate-events", min=0, max=1, help="Share of events delivered twice."),
    reorder_events: bool = typer.Option(False, "--reorder-events", help="Deliver events in any order."),
    webhook_url: str = typer.Option("", "--webhook-url", metavar="URL", help="Deliver Stripe's events to this address on this machine."),
    redis: str = typer.Option("", "--redis", metavar="URL", help="A Redis or Valkey on this machine to be behind Upstash's stand-in."),
    stripe_port: int = typer.Option(0, "--stripe-port", min=0, max=65535, help=ANY),
    privy_port: int = typer.Option(0, "--privy-port", min=0, max=65535, help=ANY),
    providers_port: int = typer.Option(0, "--providers-port", min=0, max=65535, help=ANY),
    openai_port: int = typer.Option(0, "--openai-port", min=0, max=65535, help=ANY),
    resend_port: int = typer.Option(0, "--resend-port", min=0, max=65535, help=ANY),
    upstash_port: int = typer.Option(0, "--upstash-port", min=0, max=65535, help=ANY),
    analytics_port: int = typer.Option(0, "--analytics-port", min=0, max=65535, help=ANY),
    web_app_port: int = typer.Option(0, "--web-app-port", min=0, max=65535, help=ANY),
    vercel_port: int = typer.Option(0, "--vercel-port", min=0, max=65535, help=ANY),
) -> None:
    """Run local stand-ins of every outside service with a made-up population, and a database to match.

    They are Stripe, Privy, the 64 providers, OpenAI, Resend, Upstash, Google Analytics, Vercel and pages of the web app. Without
    CMD it prints the complete environment and runs until it is stopped. Faults can be changed while it runs with
    POST /_sandbox/faults. Example: aura sandbox -- aura subscriptions reconcile
    Example: aura sandbox -- bash
    """
    from aura_cli.sandbox.faults import Faults
    from aura_cli.sandbox.run import Sandbox, run
    from aura_cli.sandbox.server import Ports

    runtime: Runtime = ctx.obj
    faults = Faults(
        latency=latency,
        too_many=too_many,
        server_error=server_error,
        cut_half=cut,
        rate=rate,
        duplicate_events=duplicate_events,
        reorder_events=reorder_events,
        seed=seed,
    )
    own = (openai_port, resend_port, upstash_port, analytics_port, web_app_port, vercel_port)
    ports = Ports(stripe_port, privy_port, providers_port, *own)
    now = int(runtime.clock().timestamp())
    made = Sandbox(users, seed, now, drift=not clean, faults=faults, ports=ports, webhook_url=webhook_url, redis=redis)
    raise typer.Exit(run(made, command or [], runtime.console))


def demo(
    ctx: typer.Context,
    users: int = typer.Option(400, "--users", min=300, max=20_000, help="How many people the tour has."),
    seed: int = typer.Option(7, "--seed", help="The same seed makes the same people."),
) -> None:
    """Take the tour: a sandbox, a throw-away database, drift found and repaired, in half a minute.

    Nothing of yours is read or written. Example: aura demo
    """
    from aura_cli.sandbox.demo import tour

    runtime: Runtime = ctx.obj
    tour(users, seed, int(runtime.clock().timestamp()), runtime.console)
