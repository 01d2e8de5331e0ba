"""One run of a job, from its lease to the note of how it went: in time, by one at a time, whatever happens."""

import errno
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic

from sqlalchemy import Engine, select

from aura_cli.cron import history
from aura_cli.cron.history import Run
from aura_cli.cron.jobs import JOBS, Job
from aura_cli.cron.limit import Limit, Overrun
from aura_cli.cron.work import Done, Surroundings
from aura_cli.db.engine import reading, writing
from aura_cli.db.failures import forget_details, translate
from aura_cli.db.leases import RENEW_SECONDS, Lease, lease
from aura_cli.db.types import utc_now
from aura_cli.errors import AttentionNeeded, AuraError, ConflictError, PartialFailure, UnreachableError

_LOOK_SECONDS = 1.0
BEAT_SECONDS = RENEW_SECONDS + 2.0
PATIENCE_SECONDS = 300.0  # beyond its time, in which a job comes to a safe point, or hangs


class AtWork(ConflictError):
    """Somebody is at this job already."""


@dataclass(frozen=True)
class How:
    """`seconds` it may take (None: the job's own), whether it `waits` for who is at it, whether nothing handled is right this time.

    `told`: check-ins and alerts go out; `stop` ends it at a safe point; not where somebody began it in the last `fresh` seconds.
    Its lease is renewed every `beat` seconds, until it hangs for `patience` seconds beyond its time.
    """

    seconds: float | None = None
    waits: bool = False
    nothing_is_right: bool = False
    told: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    fresh: float = 0.0
    beat: float = BEAT_SECONDS
    patience: float = PATIENCE_SECONDS


@dataclass(frozen=True)
class Ran:
    """How a run went. `counts` say what was handled; `steps` are the jobs that it did in turn."""

    job: str
    exit_code: int
    started_at: datetime
    duration_s: float
    counts: Mapping[str, int]
    error: str | None
    hint: str
    steps: tuple["Ran", ...] = ()


@dataclass(frozen=True)
class Begun:
    """A run that begins: how long it may take, and the runs before it that must have been killed."""

    seconds: float
    killed: tuple[Run, ...]


@dataclass(frozen=True)
class Watch:
    """Who hears of a run under way: `begun` once the job is ours, `hangs` (its number, its trouble) once it is past all patience."""

    begun: Callable[[Begun], None] = lambda run: None
    hangs: Callable[[int, AuraError], None] = lambda number, trouble: None


@dataclass(frozen=True)
class Outcome:
    """A run with what is not for everybody: what ended it, and how the job fared before. `number` is 0 where nothing could be noted."""

    ran: Ran
    cause: BaseException | None = None
    trouble: AuraError | None = None
    before: Run | None = None
    last_success: datetime | None = None
    number: int = 0


def perform(job: Job, at: Surroundings, how: How, watch: Watch = Watch()) -> Outcome:
    """Do a job now, and note how it went. Never raises what went wrong in it.

    Raises AtWork where somebody else is at it, and what the database raises where nothing can be noted.
    """
    seconds = how.seconds or job.seconds
    with ExitStack() as held:
        own = _hold(held, at.engine, job, how, monotonic() + (seconds if how.waits else 0))
        with writing(at.engine) as connection:
            number, killed = history.begin(connection, job.name, own.owner)
            before, well = history.verdict_before(connection, job.name, number), history.well_before(connection, job.name, number)
        started, clock, limit = at.clock(), monotonic(), Limit(seconds, how.stop)
        with kept(at.engine, own, limit, lambda: watch.hangs(number, overrun(seconds)), every=how.beat, patience=how.patience):
            done, cause = _attempt(job, at, how, limit, watch, Begun(seconds, tuple(killed)))
        trouble = _trouble(cause, limit) if cause else _suddenly_nothing(job, done, well, how) or done.left
        code = _exit_code(cause, trouble)
        error = at.console.redact(trouble.message) if trouble else "It was stopped" if cause else None
        with writing(at.engine) as connection:
            history.end(connection, number, code, done.counts, error)
            well = history.well_before(connection, job.name)
    took, hint = round(monotonic() - clock, 3), trouble.hint if trouble else ""
    ran = Ran(job.name, code, started, took, done.counts, error, hint, done.steps)
    return Outcome(ran, cause, trouble, before, well.finished_at if well else None, number)


def _hold(stack: ExitStack, engine: Engine, job: Job, how: How, until: float) -> Lease:
    """The job's lease, taken where nobody does the same by hand. Raises AtWork."""
    while True:
        try:
            with ExitStack() as trying:
                own = trying.enter_context(lease(engine, history.LEASE.format(job.name)))
                for name in job.leases:
                    with lease(engine, name):
                        pass
                _require_due(engine, job, how)
                stack.push(trying.pop_all())
                return own
        except ConflictError as error:
            if isinstance(error, AtWork) or monotonic() >= until or how.stop.is_set():
                raise AtWork(error.message, "--wait waits for it") from None
        how.stop.wait(_LOOK_SECONDS)


def _require_due(engine: Engine, job: Job, how: How) -> None:
    """Of several who wait for the same minute one does it, whatever their clocks say: the database's counts. Raises AtWork."""
    if not how.fresh:
        return
    with reading(engine) as connection:
        newest, now = history.newest(connection, job.name), connection.execute(select(utc_now())).scalar_one()
    if newest and (now - newest.started_at).total_seconds() < how.fresh:
        raise AtWork(f"{job.name} was begun at {newest.started_at:%H:%M:%S} UTC by somebody else")


@contextmanager
def kept(
    engine: Engine,
    own: Lease,
    limit: Limit,
    hangs: Callable[[], None],
    *,
    every: float = BEAT_SECONDS,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[None]:
    """Keep the lease for as long as this process lives and the job may yet come to a safe point; then somebody else may have it.

    `hangs` is called, once, where it does not come to one within `patience` seconds beyond its limit.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every):
            if limit.left < -patience:
                hangs()
                return
            try:
                with writing(engine) as connection:
                    own.assert_held(connection)
            except ConflictError:
                limit.taken_over = True
                return
            except Exception:  # noqa: BLE001, S112 (the database is away for a moment: at the next beat)
                continue

    thread = threading.Thread(target=beat, name=own.name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)


def _attempt(job: Job, at: Surroundings, how: How, limit: Limit, watch: Watch, begun: Begun) -> tuple[Done, BaseException | None]:
    """What it came to, or what ended it."""
    try:
        with limit, at.reporter.trace(f"aura cron {job.name}", "job") as facts:
            watch.begun(begun)
            for setting in job.needs:
                at.settings.require(setting, f"{job.name} needs it")
            done = job.work(at, limit) if job.work else _in_turn(job, at, how, limit, Watch(hangs=watch.hangs))
            facts.update(done.counts)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (noted, and raised in the end)
        forget_details(error)
        return Done({}), error
    return done, None


def _in_turn(job: Job, at: Surroundings, how: How, limit: Limit, watch: Watch) -> Done:
    """Each of its steps that is configured here, whatever became of the others; the worst end is the whole's."""
    ran: list[Ran] = []
    worst: list[AuraError] = []
    for step in (JOBS[name] for name in job.steps):
        limit.tick()
        if not all(at.settings.get(name) or at.settings.secret(name) for name in step.needs):
            continue
        try:
            outcome = perform(step, at, replace(how, seconds=min(step.seconds, limit.left), waits=False, fresh=0.0), watch)
        except AtWork:  # it is being done
            continue
        ran.append(outcome.ran)
        if isinstance(outcome.cause, KeyboardInterrupt) and not isinstance(outcome.cause, Overrun):
            raise outcome.cause
        if outcome.trouble:
            worst.append(outcome.trouble)
    counts = {"jobs": len(ran), "failed": sum(one.exit_code not in history.WELL_ENDED for one in ran)}
    return Done(counts, _worst(ran, worst), steps=tuple(ran))


def _worst(ran: list[Ran], troubles: list[AuraError]) -> AuraError | None:
    """One error out of those of several jobs."""
    if not troubles:
        return None
    parts = "; ".join(f"{one.job}: {one.error}" for one in ran if one.exit_code)
    if any(not isinstance(trouble, AttentionNeeded) for trouble in troubles):
        return PartialFailure(parts, "See: aura cron list")
    return AttentionNeeded(parts, "See: aura cron list")


def _suddenly_nothing(job: Job, done: Done, well: Run | None, how: How) -> AuraError | None:
    """A job that finds nothing where there always was something looks in the wrong place."""
    count = job.steady
    earlier = (well.counts or {}).get(count, 0) if count and well else 0
    if not count or how.nothing_is_right or done.counts.get(count) != 0 or not earlier:
        return None
    message = f"It handled nothing ({count}: 0), and {earlier:,} the last time"
    return PartialFailure(message, f"Where that is right: aura cron run {job.name} --nothing-is-right")


def overrun(seconds: float) -> AuraError:
    """What a job comes to that takes longer than it may."""
    hint = "It goes on from there the next time; --max-runtime gives it more"
    return PartialFailure(f"It was not done after {seconds:.0f} seconds, and was stopped at a safe point", hint)


def _trouble(cause: BaseException, limit: Limit) -> AuraError | None:
    """What ended a job, in the words of a person; None where somebody stopped it."""
    if isinstance(cause, AuraError):
        return cause
    if isinstance(cause, Overrun):
        return overrun(limit.seconds)
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnreachableError(f"There is no room to write: {cause.strerror}", "Make room and run it again")
    if not isinstance(cause, Exception):
        return None
    return translate(cause) or AuraError(f"Unforeseen: {type(cause).__name__}: {cause}", "This is a bug in aura; --debug shows where")


def _exit_code(cause: BaseException | None, trouble: AuraError | None) -> int:
    if trouble:
        return trouble.exit_code
    return getattr(cause, "exit_code", 130) if cause else 0


def failed_to_begin(job: Job, at: Surroundings, how: How, error: Exception | Overrun) -> Outcome:
    """A run that could not be noted anywhere, because the database, or the right to it, is what failed."""
    with suppress(Exception):
        forget_details(error)
    trouble = _trouble(error, Limit(how.seconds or job.seconds))
    assert trouble
    ran = Ran(job.name, trouble.exit_code, at.clock(), 0.0, {}, at.console.redact(trouble.message), trouble.hint)
    return Outcome(ran, error, trouble)
