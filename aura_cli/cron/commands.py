"""`aura cron`: jobs that a clock starts."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format
from aura_cli.errors import AttentionNeeded, ConfigurationError, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.cron.jobs import Job
    from aura_cli.cron.running import Outcome, Ran
    from aura_cli.cron.units import Setup
    from aura_cli.settings import Settings

app = typer.Typer(
    help="Jobs that a clock starts: run one, see how they fare, print them for cron.", rich_markup_mode=None, no_args_is_help=True
)

COLUMNS = ("job", "state", "last", "took_s", "exit_code", "due", "schedule", "error", "about")
_SPANS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Printed:
    """Files by their names."""

    files: dict[str, str]


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
    conductor = Conductor(chosen, runtime, how)
    outcome = conductor.run(metrics_file)
    runtime.console.result(outcome.ran, lambda: _told(outcome.ran))
    if outcome.ran.exit_code == AttentionNeeded.exit_code and not (attended or conductor.changed or attention_ok):
        raise typer.Exit(AttentionNeeded.exit_code)  # it was told of before: what a clock starts is mailed whatever it says
    _end(outcome, attention_ok=attention_ok)


@app.command("print")
def print_(
    ctx: typer.Context,
    names: list[str] | None = typer.Argument(None, metavar="[JOB]...", help="Which; without, all but maintenance."),
    form: Form = typer.Option(Form.CRONTAB, "--format", help="For whom."),
    out: Path | None = typer.Option(None, "--out", metavar="DIR", help="Write the files into this folder."),
    directory: Path | None = typer.Option(None, "--directory", metavar="DIR", help="Where the settings' files are. Default: here."),
    program: Path | None = typer.Option(None, "--program", metavar="FILE", help="Where aura is, on the machine that is meant."),
    image: str | None = typer.Option(None, "--image", help="For Kubernetes and GitHub Actions: the image that holds aura."),
) -> None:
    """Print what makes a clock start the jobs; what only needs attention (exit 3) is no crash to it.

    Example: aura cron print --format systemd --out units
    """
    from aura_cli.cron.jobs import SINGLE, find
    from aura_cli.cron.units import FORMS

    runtime: Runtime = ctx.obj
    jobs = [find(name) for name in names] if names else list(SINGLE)
    if form is Form.GITHUB_ACTIONS and not names:
        jobs = _lasting(runtime, jobs)
    if form is Form.GITHUB_ACTIONS:
        runtime.console.say("GitHub's runner forgets its disk: while the database is away, each run alerts anew")
    if runtime.settings.is_sandbox:
        runtime.console.say("This is a sandbox, which ends and leaves nothing: do not install what is printed here")
    elif form in (Form.CRONTAB, Form.SYSTEMD) and (passing := _passing(runtime.settings, jobs)):
        runtime.console.say(
            f"Set in this environment, which what starts jobs has not: {', '.join(passing)}. Put them into a .env.local there"
        )
    for job in jobs:
        if absent := [name for name in job.needs if not runtime.settings.secret(name)]:
            runtime.console.say(f"{job.name} needs what is not set here: {', '.join(absent)}")
    if not runtime.settings.get("AURA_ALERT_TO") and not runtime.settings.get("NEXT_PUBLIC_SENTRY_DSN"):
        runtime.console.say("Nobody would hear that a job fails: set AURA_ALERT_TO, or NEXT_PUBLIC_SENTRY_DSN")
    setup = _setup(runtime, jobs, directory, program, image)
    if form in (Form.CRONTAB, Form.SYSTEMD) and not setup.home:
        runtime.console.say(f"{program} is not on this machine: AURA_HOME, and systemd's User=, are yours to add where they differ there")
    files = dict(FORMS[form](jobs, setup))
    if out and not runtime.options.dry_run:
        _write(out, files)
    deed = "Would be written" if runtime.options.dry_run else "Written"
    shown = [f"{deed}: {out / name}" for name in files] if out else [line for name in files for line in _shown(name, files)]
    runtime.console.result(Printed(files), lambda: shown)


def _lasting(runtime: Runtime, jobs: list[Job]) -> list[Job]:
    """Of the jobs those that leave nothing on a disk."""
    if spooling := [job.name for job in jobs if job.spools]:
        runtime.console.say(f"Without {', '.join(spooling)}: what a provider answered must be on a disk that outlasts the run")
    return [job for job in jobs if not job.spools]


def _setup(runtime: Runtime, jobs: list[Job], directory: Path | None, program: Path | None, image: str | None) -> Setup:
    import shutil
    import sys

    from aura_cli.cron.units import Setup
    from aura_cli.settings import is_secret

    here, settings, options = str((directory or Path()).absolute()), runtime.settings, runtime.options
    found = str(program) if program else shutil.which("aura")
    if not here.isprintable() or (found and not found.isprintable()):
        raise UsageError("A path that cannot be shown cannot be printed")
    words = [found] if found else [sys.executable, "-m", "aura_cli"]
    file = str(Path(options.env_file).absolute()) if options.env_file else None
    given = [word for name, value in (("--env", options.environment), ("--env-file", file)) if value for word in (name, value)]
    names = [name for name in _read_by(jobs, settings) if name != "AURA_ENV"] or ["DATABASE_URL"]
    secret = [name for name in names if is_secret(name) or name == "AURA_ALERT_TO"]  # whoever knows a chat's address may write there
    plain = [name for name in names if name not in secret]
    user, home = ("", "") if program and not program.exists() else (_login(), str(settings.home.absolute()))  # those of another machine?
    return Setup(words, here, image, given, settings.environment, user, home, secret, plain)


def _login() -> str:
    """The login name of whoever prints, or a number that has none; empty where there are no such names."""
    import os

    with suppress(ImportError):
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return str(os.getuid())
    return ""


def _read_by(jobs: list[Job], settings: Settings) -> list[str]:
    """The settings that count here and that these jobs read: providers' credentials only those that refresh."""
    from aura_cli.settings import KNOWN

    refreshing = any(job.spools for job in jobs)
    return sorted(name for name in settings.values if refreshing or name in KNOWN)


def _passing(settings: Settings, jobs: list[Job]) -> list[str]:
    """Of those the ones that come from no file."""
    from aura_cli.settings import ENVIRONMENT

    return [name for name in _read_by(jobs, settings) if settings.values[name].source == ENVIRONMENT]


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--out {folder} cannot be written: {error.strerror}") from error


def _shown(name: str, files: dict[str, str]) -> Iterator[str]:
    """A file's lines, below its name where there are several."""
    yield from ([f"# {name}"] if len(files) > 1 else [])
    yield from files[name].splitlines()


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
        counted = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in one.counts.items() if number)
        yield f"{one.job}: {counted or 'nothing to do'} ({one.duration_s:.1f} s){f' – {one.error}' if one.error and one is not ran else ''}"


def _seconds(text: str) -> float:
    """A length of time, `90s`, `15m`, `2h`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text.strip())
    if not found or not int(found[1]):
        raise UsageError(f"--max-runtime: {text[:40]!r} is no length of time", "Like 90s, 15m or 2h")
    return float(int(found[1]) * _SPANS[found[2]])
