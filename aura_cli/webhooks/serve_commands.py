"""`aura serve-webhooks`, which receives and works, and `aura webhooks work`, which only works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import typer

from aura_cli.errors import ConfigurationError, PartialFailure, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from aura_cli.integrations.routes import Routes
    from aura_cli.outbox.carrying import Deliverer
    from aura_cli.subscriptions.billing_owner import Owner
    from aura_cli.webhooks.crew import Crew
    from aura_cli.webhooks.inbox import Handled
    from aura_cli.webhooks.serving import Listening
    from aura_cli.webhooks.stripe_cli import StripeCli

PATH = "/api/webhooks/stripe"
GRACE = 20.0  # seconds
_CARRIED = {
    "forward": "events forwarded",
    "mail": "mails carried",
    "analytics": "payments counted",
}  # kinds of effects, in the order of `Worked`


@dataclass(frozen=True)
class Started:
    """Where a listener listens and for whom: what `--json` prints once it does. `billing_since` is None where it never changed."""

    url: str
    admin: str
    stripe_account: str | None
    stripe_mode: str
    billing_owner: str
    billing_since: datetime | None
    workers: int
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Working:
    """What `aura webhooks work` says when it begins to go on until it is stopped."""

    billing_owner: str
    billing_since: datetime | None
    workers: int
    forwards_to: str | None


@dataclass(frozen=True)
class Worked:
    """What `aura webhooks work --once` did: tries by outcome; events that went on, mails, and money counted, by what became of them."""

    handled: dict[str, int]
    forwarded: dict[str, int]
    mailed: dict[str, int]
    counted: dict[str, int]


def serve_webhooks(
    ctx: typer.Context,
    host: str = typer.Option("127.0.0.1", "--host", help="The address to listen on."),
    port: int = typer.Option(8787, "--port", min=0, max=65535, help="0: any free one."),
    path: str = typer.Option(PATH, "--path", help="The path that Stripe posts to."),
    admin_port: int = typer.Option(8788, "--admin-port", min=0, max=65535, help="Of /readyz and /metrics, on loopback; 0: any free one."),
    workers: int = typer.Option(1, "--workers", min=0, max=16, help="How many work on what arrives; 0: only receive."),
    grace: float = typer.Option(GRACE, "--grace", min=0, help="Seconds to finish in when it is stopped."),
    trusted_proxies: int = typer.Option(0, "--trusted-proxies", min=0, help="How many proxies of yours stand before it (X-Forwarded-For)."),
    connections: int = typer.Option(512, "--connections", min=1, help="How many connections it takes at once."),
    with_jobs: bool = typer.Option(False, "--with-jobs", help="Also do the jobs of `aura cron` at their times: for a single container."),
    stripe_cli: bool = typer.Option(False, "--stripe-cli", help="Have Stripe's CLI forward a test account's events to it (stripe listen)."),
) -> None:
    """Receive Stripe's webhooks, store each event once, and work on them, until stopped.

    Serves plain HTTP: put a proxy that speaks TLS before it. Example: aura serve-webhooks --port 8787
    Example: aura serve-webhooks --port 8787 --workers 0
    """
    from aura_cli.subscriptions.billing_owner import configured
    from aura_cli.webhooks.listener import make_app
    from aura_cli.webhooks.serving import Serving, serve
    from aura_cli.webhooks.signature import secrets_of

    runtime: Runtime = ctx.obj
    _require_sense(runtime, path)
    wanted, secrets = configured(runtime.settings), secrets_of(runtime.settings)
    cli = _stripe_cli(runtime, secrets) if stripe_cli else None
    mode = _mode(runtime, secrets)
    deliverers, pages = _deliverers(runtime), runtime.postboxes()
    identity = runtime.authorise()
    owner, since = _owner(runtime, wanted)
    app = make_app(
        runtime.engine,
        secrets,
        livemode=mode == "live",
        path=path,
        workers=workers,
        stripe=runtime.stripe,
        deliverers=deliverers,
        trusted_proxies=trusted_proxies,
        links=_links(runtime),
        pages=pages,
        reporter=runtime.reporter,
    )
    with ExitStack() as beside:

        def started(listening: Listening) -> None:
            url, admin = f"http://{_host(host)}:{listening.port}{path}", f"http://127.0.0.1:{listening.admin_port}"
            _tell(runtime, Started(url, admin, identity.stripe_account, mode, owner, since, workers, tuple(secrets)))
            if with_jobs:
                _begin_jobs(runtime, beside)
            if cli:
                beside.enter_context(cli.forwarding(url, runtime.console.say))

        stopped_by = serve(app, Serving(host, port, admin_port, grace, connections), started)
    runtime.console.say("Stopped: what was acknowledged is stored.")
    raise typer.Exit(128 + stopped_by)


def work(
    ctx: typer.Context,
    once: bool = typer.Option(False, "--once", help="Do what is due now, and end; else go on until stopped."),
    workers: int = typer.Option(1, "--workers", min=1, max=16, help="How many at a time."),
) -> None:
    """Work on what a listener received (aura serve-webhooks --workers 0), and carry out what that set off; receives nothing.

    Exit 9 where, with --once, some failed. Example: aura webhooks work --once
    """
    from collections import Counter

    from aura_cli.analytics.effects import KIND as ANALYTICS
    from aura_cli.subscriptions.billing_owner import configured
    from aura_cli.webhooks.batch import Surroundings
    from aura_cli.webhooks.crew import Crew
    from aura_cli.webhooks.deeds import FORWARD

    runtime: Runtime = ctx.obj
    wanted, deliverers = configured(runtime.settings), _deliverers(runtime)
    forwards_to = next((one.to for one in deliverers if one.kind == FORWARD), None)
    if runtime.options.dry_run:
        raise UsageError("This works", "What it would do: aura webhooks replay --status received -n --diff")
    runtime.authorise()
    owner, since = _owner(runtime, wanted)
    stripe = runtime.stripe if runtime.settings.stripe_mode else None
    counts = any(one.kind == ANALYTICS for one in deliverers)
    crew = Crew(
        runtime.engine, stripe, Surroundings(forwards_to is not None, counts=counts), workers, deliverers, reporter=runtime.reporter
    )
    runtime.console.say(f"{_granting(runtime, owner, since).replace('the', 'The', 1)}.")  # aura's name is never capitalised
    if stripe is None:
        runtime.console.say("STRIPE_SECRET_KEY is not set: events are believed, though they may be late.")
    if not once:
        _work_on(runtime, crew, Working(owner, since, workers, forwards_to))
    batches: list[Sequence[Handled]] = []
    crew.on_handled = batches.append
    carried = {kind: dict(Counter(one.state for one in some)) for kind, some in crew.drain().items()}
    handled = Counter(one.outcome if one.state == "done" else one.state for batch in batches for one in batch)
    done = Worked(dict(handled.most_common()), *(carried.get(kind, {}) for kind in _CARRIED))
    runtime.console.result(done, lambda: _worked(done))
    if failed := handled["failed"] + handled["dead"]:
        raise PartialFailure(f"{failed:,} of {handled.total():,} events failed", "See: aura webhooks list --status failed, --status dead")


def _require_sense(runtime: Runtime, path: str) -> None:
    """Raises UsageError."""
    if not path.startswith("/"):
        raise UsageError(f"--path {path} does not begin with a slash")
    if runtime.options.dry_run:
        look = "What work would do: aura webhooks replay --status received -n --diff"
        raise UsageError("This receives and works; it cannot only look", look)


def _begin_jobs(runtime: Runtime, beside: ExitStack) -> None:
    """Jobs at their times until `beside` ends."""
    jobs = beside.enter_context(runtime.scheduled_jobs())
    runtime.console.say(f"Jobs at their times: {', '.join(jobs)}; aura cron list shows how they fare.")


def _mode(runtime: Runtime, secrets: Mapping[str, str]) -> str:
    """Whether live or test events are meant. Raises ConfigurationError where that, or a signing secret, is not set."""
    if not secrets:
        raise ConfigurationError("No signing secret is set: nobody's events could be told from Stripe's", "Set STRIPE_WEBHOOK_SECRET")
    if (mode := runtime.settings.stripe_mode) is None:
        raise ConfigurationError("STRIPE_SECRET_KEY is not set: it says whether live or test events are meant", "Set it")
    return mode


def _deliverers(runtime: Runtime) -> list[Deliverer]:
    """Who carries out what is asked for beside an event, as far as it is configured. Raises ConfigurationError where it cannot be."""
    from functools import partial

    from aura_cli.analytics.effects import Counting
    from aura_cli.webhooks.forwarding import Forwarding
    from aura_cli.webhooks.purchases import invoice_of

    counting = Counting.of(runtime.engine, runtime.settings)
    if counting and runtime.settings.stripe_mode:
        counting.invoice_of = partial(invoice_of, runtime.stripe)
    possible = (Forwarding.of(runtime.engine, runtime.settings), runtime.mailing, counting, runtime.notices)
    return [one for one in possible if one]


def _links(runtime: Runtime) -> Routes | None:
    """The pages of links to connect by, where there can be any."""
    from aura_cli.integrations.routes import Routes

    try:
        return Routes.of(runtime.engine, runtime.settings, runtime.clock)
    except ConfigurationError as error:  # what is wrong with connections keeps no payment waiting
        runtime.console.warn(f"Nobody can connect by a link here: {error.message}")
        return None


def _work_on(runtime: Runtime, crew: Crew, started: Working) -> NoReturn:
    """Until a signal ends it, which is raised here; what is in hand is finished."""
    from threading import Event

    from aura_cli.console import dump

    if runtime.options.as_json:
        runtime.console.emit(dump(started))
    forwarding = f", forwarding to {started.forwards_to}" if started.forwards_to else ""
    runtime.console.say(f"{started.workers} working on what arrives{forwarding}; Ctrl-C stops it.")
    crew.start()
    try:
        while True:
            Event().wait()
    finally:
        crew.stop(GRACE)


def _worked(done: Worked) -> Iterator[str]:
    for deed, counts in zip(("events handled", *_CARRIED.values()), vars(done).values(), strict=True):
        listed = f" ({', '.join(f'{number:,} {name}' for name, number in counts.items())})" if counts else ""
        yield f"{sum(counts.values()):,} {deed}{listed}."


def _stripe_cli(runtime: Runtime, secrets: dict[str, str]) -> StripeCli:
    """The installed CLI; what it signs with joins `secrets`."""
    from dataclasses import replace

    from aura_cli.analytics.collecting import is_configured
    from aura_cli.webhooks.events import handled
    from aura_cli.webhooks.stripe_cli import StripeCli

    cli = replace(StripeCli.find(runtime.settings), events=handled(counts=is_configured(runtime.settings)))
    secrets["stripe-cli"] = cli.secret()
    return cli


def _owner(runtime: Runtime, wanted: Owner | None) -> tuple[str, datetime | None]:
    """Who grants balances, from when on; a change that the settings ask for is announced."""
    from aura_cli.db.engine import reading
    from aura_cli.subscriptions.billing_owner import reigns, take_over

    take_over(runtime.engine, wanted, runtime.settings.operator)
    with reading(runtime.engine) as connection:
        since, owner = reigns(connection).since[-1]
    return owner, datetime.fromtimestamp(since, UTC) if since else None


def _host(host: str) -> str:
    """A host as a URL has it."""
    return f"[{host}]" if ":" in host else host


def _tell(runtime: Runtime, started: Started) -> None:
    from aura_cli.console import dump

    if runtime.options.as_json:
        runtime.console.emit(dump(started))
    s = started
    runtime.console.say(f"Listening on {s.url} for {s.stripe_mode} events of Stripe account {s.stripe_account}; Ctrl-C stops it.")
    runtime.console.say(f"Readiness and metrics: {s.admin}/readyz, {s.admin}/metrics")
    work = f"{s.workers} working on them here" if s.workers else "only received here; aura webhooks work handles them"
    runtime.console.say(f"Events signed with {', '.join(s.secrets)}, {work}; {_granting(runtime, s.billing_owner, s.billing_since)}.")


def _granting(runtime: Runtime, owner: str, since: datetime | None) -> str:
    granting = f"{'the web app' if owner == 'web' else 'aura'} grants balances"
    return f"{granting} from {since:%H:%M:%S} UTC on" if since and since > runtime.clock() else granting
