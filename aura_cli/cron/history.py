"""Earlier runs of jobs: noted when they begin and end, looked at by the next one, forgotten in the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from aura_cli.cron.tables import job_runs
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import is_dead
from aura_cli.db.tables import leases
from aura_cli.db.types import utc_now

KILLED = 137  # as a shell says of kill -9
KILLED_HOW = "It was killed, or its machine went down"
BROKEN_OFF = (130, 143)  # by a person or a shutdown: says nothing of how the job fares
WELL_ENDED = (0, 3)
LEASE = "cron {}"


@dataclass(frozen=True)
class Run:
    """One run. Without `finished_at` it is under way, or was killed."""

    id: int
    job: str
    owner: str
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    counts: dict[str, int] | None
    error: str | None


def begin(connection: Connection, job: str, owner: str) -> tuple[int, list[Run]]:
    """Note that a run begins, by whoever holds the job's lease. Returns its number, and the runs that must have been killed.

    The database's clock counts.
    """
    r = job_runs.c
    lost = list(_runs(connection, r.job == job, r.finished_at.is_(None)))
    gone = {"finished_at": utc_now(), "exit_code": KILLED, "error": KILLED_HOW}
    connection.execute(job_runs.update().where(r.job == job, r.finished_at.is_(None)).values(gone))
    statement = job_runs.insert().values(job=job, owner=owner).returning(r.id)
    return connection.execute(statement).scalar_one(), lost


def end(connection: Connection, run: int, exit_code: int, counts: Mapping[str, int], error: str | None) -> None:
    """Note how it went."""
    values = {"finished_at": utc_now(), "exit_code": exit_code, "counts": dict(counts), "error": error}
    connection.execute(job_runs.update().where(job_runs.c.id == run).values(values))


def verdict_before(connection: Connection, job: str, run: int) -> Run | None:
    """The last run before this one that says how the job fares."""
    r = job_runs.c
    return next(_runs(connection, r.job == job, r.id < run, r.exit_code.is_not(None), r.exit_code.not_in(BROKEN_OFF), most=1), None)


def note_told(connection: Connection, run: int, state: str) -> None:
    """Somebody has been told how the job fared with this run."""
    connection.execute(job_runs.update().where(job_runs.c.id == run).values(told=state))


def told(connection: Connection, job: str) -> str:
    """How the job fared when somebody was last told of it; empty: well, or nobody ever was."""
    r = job_runs.c
    last = select(r.told).where(r.job == job, r.told.is_not(None)).order_by(r.id.desc()).limit(1)
    return connection.execute(last).scalar() or ""


def well_before(connection: Connection, job: str, run: int | None = None) -> Run | None:
    """The last run (before this one) that came to a good end."""
    r = job_runs.c
    return next(_runs(connection, r.job == job, r.exit_code.in_(WELL_ENDED), *([r.id < run] if run else []), most=1), None)


def newest(connection: Connection, job: str) -> Run | None:
    """The last run, however it stands."""
    return next(_runs(connection, job_runs.c.job == job, most=1), None)


def newest_of_each(connection: Connection) -> dict[str, Run]:
    """The last run of every job, by the job's name."""
    latest = select(func.max(job_runs.c.id)).group_by(job_runs.c.job)
    return {run.job: run for run in _runs(connection, job_runs.c.id.in_(latest))}


def under_way(connection: Connection) -> set[str]:
    """The jobs that somebody who lives is at, by their leases."""
    held = select(leases.c.name, leases.c.owner).where(leases.c.expires_at > utc_now())
    return {row.name.removeprefix(LEASE.format("")) for row in connection.execute(held) if not is_dead(row.owner)}


def prune(engine: Engine, before: datetime) -> int:
    """Forget runs that ended before; of each job the last stays, and the last that was told of. How many there were."""
    r = job_runs.c
    last = select(func.max(r.id)).group_by(r.job, r.told.is_(None))
    with writing(engine) as connection:
        return connection.execute(job_runs.delete().where(r.finished_at < before, r.id.not_in(last))).rowcount


def last_success(engine: Engine, job: str) -> datetime | None:
    """When a run of the job last came to a good end."""
    with reading(engine) as connection:
        found = well_before(connection, job)
    return found.finished_at if found else None


def _runs(connection: Connection, *conditions: ColumnElement[bool], most: int | None = None) -> Iterator[Run]:
    columns = [job_runs.c[name] for name in Run.__dataclass_fields__]
    statement = select(*columns).where(*conditions).order_by(job_runs.c.id.desc()).limit(most)
    return iter([Run(*row) for row in connection.execute(statement)])
