"""All jobs as they stand: when each is due, how its last run went."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from aura_cli.cron import history
from aura_cli.cron.history import BROKEN_OFF, KILLED, Run
from aura_cli.cron.jobs import JOBS


@dataclass(frozen=True)
class Listed:
    """One job. `state`: new, running, ok, attention, failed, killed or stopped; `due`: when its schedule has it next."""

    job: str
    state: str
    last: datetime | None
    took_s: float | None
    exit_code: int | None
    schedule: str
    due: datetime
    counts: Mapping[str, int] | None
    error: str | None
    last_success: datetime | None
    about: str


def listed(connection: Connection, now: datetime) -> Iterator[Listed]:
    """Every job, in the order of the table."""
    runs, busy = history.newest_of_each(connection), history.under_way(connection)
    for job in JOBS.values():
        run, well = runs.get(job.name), history.well_before(connection, job.name)
        took = (run.finished_at - run.started_at).total_seconds() if run and run.finished_at else None
        yield Listed(
            job.name,
            _state(run, running=job.name in busy),
            run.started_at if run else None,
            took,
            run.exit_code if run else None,
            job.schedule.cron,
            job.schedule.following(now),
            run.counts if run else None,
            run.error if run else None,
            well.finished_at if well else None,
            job.about,
        )


def _state(run: Run | None, *, running: bool) -> str:
    if run is None:
        return "new"
    if run.finished_at is None:
        return "running" if running else "killed"
    if run.exit_code in BROKEN_OFF:
        return "stopped"
    return {0: "ok", 3: "attention", KILLED: "killed"}.get(run.exit_code or 0, "failed")
