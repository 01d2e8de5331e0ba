"""`aura cron`: jobs that a clock starts."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format
from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.cron.running import Outcome, Ran

app = typer.Typer(
    help="Jobs that a clock starts: run one, see how they fare, print them for cron.", rich_markup_mode=None, no_args_is_help=True
)

COLUMNS = ("job", "state", "last", "took_s", "exit_code", "due", "schedule", "error", "about")
_SPANS = {"s": 1, "m": 60, "h": 3600}


class Form(StrEnum):
    """What can start jobs."""

    CRONTAB = "crontab"
    SYSTEMD = "systemd"
    KUBERNETES = "kubernetes"
    GITHUB_ACTIONS = "github-actions"


@app.command("list")
def list_(
    ctx: typer.Context,
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
) -> None:
    """List the jobs: how the last run of each went, and when the next is due (UTC).

    Example: aura cron list
    """
    from aura_cli.cron.listing import listed
    from aura_cli.db.engine import reading

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        runtime.console.listing(listed(connection, runtime.clock()), COLUMNS, form=form, chosen=columns)


@app.command()
def run(
    ctx: typer.Context,
    job: str = typer.Argument(..., metavar="JOB", help="Its name: aura cron list has them."),
    wait: bool = typer.Option(False, "--wait", help="Where somebody is at it, wait for them; else that is exit 6."),
    max_runtime: str | None = typer.Option(
        None, "--max-runtime", metavar="TIME", help="Stop it after 90s, 15m or 2h at a safe point, where the next run goes on."
    ),
    metrics_file: Path | None = typer.Option(
        None, "--metrics-file", metavar="FILE", help="Write its figures there for Prometheus' node exporter: NAME.prom, one file a job."
    ),
    nothing_is_right: bool = typer.Option(False, "--nothing-is-right", help="Though it always handled something: nothing is no failure."),
    attention_ok: bool = typer.Option(False, "--attention-ok", help="Exit 0 instead of 3, for what takes any other for a crash."),
) -> None:
    """Do a job now, as a clock would: nobody is asked, nothing is said on success, only changes are told of.

    Exit 6 while the same job is at work elsewhere. On a terminal it says what it did, and sends neither alerts nor check-ins.
    Example: aura cron run reconcile --max-runtime 30m
    """
    from aura_cli.cron.conducting import Conductor
    from aura_cli.cron.jobs import find
    from aura_cli.cron.running import How

    runtime: Runtime = ctx.obj
    chosen, seconds = find(job), _seconds(max_runtime) if max_runtime else None
    if runtime.options.dry_run:
        raise UsageError("A job does its work", f"What it would do: {chosen.by_hand}")
    if metrics_file and metrics_file.is_dir():
        raise UsageError(f"--metrics-file {metrics_file} is a folder", f"Name the file: {metrics_file / f'aura-{job}.prom'}")
    attended = runtime.console.is_attended
    runtime.console.quiet = runtime.console.quiet or not attended
    how = How(seconds, wait, nothing_is_right, told=not attended)
    outcome = Conductor(chosen, runtime, how).run(metrics_file)
    runtime.console.result(outcome.ran, lambda: _told(outcome.ran))
    _end(outcome, attention_ok=attention_ok)


def _end(outcome: Outcome, *, attention_ok: bool) -> None:
    """Raise what the run came to."""
    if isinstance(outcome.cause, KeyboardInterrupt) and not outcome.trouble:
        raise outcome.cause
    if outcome.trouble and not (attention_ok and isinstance(outcome.trouble, AttentionNeeded)):
        if outcome.trouble is outcome.cause:
            raise outcome.trouble
        raise outcome.trouble from outcome.cause


def _told(ran: Ran) -> Iterator[str]:
    for one in (*ran.steps, ran):
        counted = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in one.counts.items())
        yield f"{one.job}: {counted or 'nothing'} ({one.duration_s:.1f} s){f' – {one.error}' if one.error and one is not ran else ''}"


def _seconds(text: str) -> float:
    """A length of time, `90s`, `15m`, `2h`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text.strip())
    if not found or not int(found[1]):
        raise UsageError(f"--max-runtime: {text[:40]!r} is no length of time", "Like 90s, 15m or 2h")
    return float(int(found[1]) * _SPANS[found[2]])
