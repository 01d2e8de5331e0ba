"""A run with all that goes round it: the check-ins at Sentry, the metrics file, and an alert where the job fares otherwise than before."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aura_cli.cron import history, metrics
from aura_cli.cron.alerts import Alert, recipients, send
from aura_cli.cron.history import BROKEN_OFF, KILLED, KILLED_HOW, WELL_ENDED, Run
from aura_cli.cron.jobs import Job
from aura_cli.cron.limit import Limit, Overrun
from aura_cli.cron.running import AtWork, Begun, How, Outcome, Ran, Watch, failed_to_begin, perform
from aura_cli.cron.work import Surroundings, failing
from aura_cli.db.engine import reading, writing
from aura_cli.errors import AuraError, ConfigurationError, ServiceError, UnreachableError
from aura_cli.reporting import SILENT

if TYPE_CHECKING:
    from aura_cli.db.binding import Identity

_MARKS = "cron"  # the folder in AURA_HOME
_UNHEARD = "unheard: "  # before how a job fares, where nobody was to be told: who is configured later hears of it
_BINDING_SECONDS = _TELLING_SECONDS = 60.0  # both fit into the time after which whoever started a job ends it
_COMMAND = re.compile(r"(^|(?<=[:;] ))aura [^;]+")
_NUMBER = re.compile(r"[0-9][0-9,.]*( \w+?)?(?=s?\b)s?")  # with the word that it counts, be it one or many
_SPAN = re.compile(r"\b[0-9][0-9,.]* ?(ms|s|min|h|d|seconds?|minutes?|hours?|days?)\b")
_VARIES = re.compile(r"\breq_\w+|\b(Read|Connect|Write|Pool)(?=Timeout|Error)")  # an id; whose time-out it was


@dataclass
class Conductor:
    """Does jobs for whoever started them: a scheduler, or a person, to whom nothing is told behind their back (`How.told`)."""

    job: Job
    at: Surroundings
    how: How
    changed: bool = field(default=True, init=False)  # the job fares otherwise than when somebody was last told
    _check_in: str | None = field(default=None, init=False)

    def run(self, metrics_file: Path | None = None) -> Outcome:
        """Do it, and tell whoever has to know. Raises AtWork where somebody else is at it, and nothing that went wrong in it.

        Raises ConfigurationError for a metrics file that cannot be written, once everything else is done.
        """
        try:
            job = self._bound()
            outcome = perform(job, self.at, self.how, Watch(self._begin, self._hangs) if self.how.told else Watch())
        except AtWork:
            raise
        except (Exception, Overrun) as error:  # noqa: BLE001 (whatever it is, somebody has to hear that the job did not run)
            outcome = failed_to_begin(self.job, self.at, self.how, error)
        self._report(outcome)
        if self.how.told:
            self._tell_all(outcome)
        if metrics_file:
            r, well = outcome.ran, outcome.last_success
            well = well if outcome.number else metrics.last_success(metrics_file, r.job)
            metrics.write(metrics_file, metrics.text(r.job, self.at.clock(), r.duration_s, r.exit_code, r.counts, well))
        return outcome

    def _bound(self) -> Job:
        """The job, once the guard before a write has passed. Raises ConfigurationError where the database belongs to something else.

        Where Stripe is away, or refuses its key, the rest of the binding is looked at: only what needs Stripe fails for it.
        """
        from aura_cli.db.binding import Identity, check

        engine = self.at.engine
        try:
            identity = self._identity()
        except (ConfigurationError, UnreachableError, ServiceError) as error:
            check(engine, replace(Identity.of(self.at.settings, str), stripe_account=None), store=False)
            return replace(self.job, work=failing(error)) if "STRIPE_SECRET_KEY" in self.job.needs else self.job
        check(engine, identity, store=True)
        return self.job

    def _identity(self) -> Identity:
        """Who would write. Raises UnreachableError where Stripe takes longer than a minute to say it; Overrun where that is too long."""
        seconds = self.how.seconds or self.job.seconds
        try:
            with Limit(min(seconds, _BINDING_SECONDS), self.how.stop):
                return self.at.identity()
        except Overrun:
            if seconds <= _BINDING_SECONDS:
                raise
            raise UnreachableError(f"Stripe did not answer within {_BINDING_SECONDS:.0f} seconds", "Trying again is safe") from None

    def _begin(self, begun: Begun) -> None:
        schedule = self.job.schedule.cron
        self._check_in = self.at.reporter.check_in(self.job.name, "in_progress", schedule=schedule, max_runtime=begun.seconds)
        if begun.killed and (now := state(KILLED, begun.killed[0].error or KILLED_HOW)) != self._told():
            when = f"{begun.killed[0].started_at:%Y-%m-%d %H:%M} UTC"
            subject = f"{self.job.name}: the run begun at {when} was killed, or its machine went down"
            if self._alert(self._alert_of(subject, ["The next one has begun."], f"{begun.killed[0].id}-killed")):
                self._note_told(begun.killed[0].id, now)

    def _hangs(self, run: int, trouble: AuraError) -> None:
        """Nothing may come of it any more, so it is told of now; where it ends in spite of that, it is as it was told."""
        lines = ["It comes to no safe point, and its lease is given up: end the process that it runs in, and start that anew."]
        if self._alert(self._alert_of(f"{self.job.name} hangs, long after its time was over", lines, f"{run}-hangs")):
            self._note_told(run, state(trouble.exit_code, trouble.message))

    def _tell_all(self, outcome: Outcome) -> None:
        """Whoever has to know, as far as they can be reached in a minute."""
        with self._within_a_minute("Nobody could be told of it within a minute; the next run tries again"):
            self._end(outcome.ran)
            self._tell(outcome)
        if outcome.number:
            with self._within_a_minute("Alerts that wait could not all be sent within a minute; the next run goes on"):
                self._carry_notices()

    @contextmanager
    def _within_a_minute(self, otherwise: str) -> Iterator[None]:
        try:
            with Limit(_TELLING_SECONDS):
                yield
        except Overrun:
            self.at.console.warn(otherwise)

    def _end(self, ran: Ran) -> None:
        """What worked is ok, though it may need attention; whatever else ended it is an error, for the work was not done."""
        self.at.reporter.check_in(
            self.job.name,
            "ok" if ran.exit_code in WELL_ENDED else "error",
            id=self._check_in,
            schedule=self.job.schedule.cron,
            max_runtime=self.how.seconds or self.job.seconds,
            duration=ran.duration_s,
            counts=ran.counts,
        )

    def _report(self, outcome: Outcome) -> None:
        ran, where = outcome.ran, f"aura cron {self.job.name}"
        reporter = self.at.reporter if outcome.trouble else SILENT
        if outcome.cause and outcome.trouble and outcome.trouble.kind == AuraError.kind:
            reporter.error(outcome.cause, where, ran.counts)
        elif outcome.trouble and self.how.told and ran.exit_code not in WELL_ENDED:
            reporter.message(f"{self.job.name} failed: {outcome.trouble.kind}", where, {**ran.counts, "why": ran.error})

    def _tell(self, outcome: Outcome) -> None:
        """Tell somebody where the job fares otherwise than when somebody was last told; what reached nobody is told by the next run."""
        ran = outcome.ran
        if ran.exit_code in BROKEN_OFF:
            return
        now, key = state(ran.exit_code, ran.error), str(outcome.number or ran.started_at.timestamp())
        told, heard = self._told(), bool(recipients(self.at.settings))
        self.changed = now != (told if heard else told.removeprefix(_UNHEARD))
        if self.changed and self._alert(self._alert_of(_subject(ran), _lines(ran, outcome), key)):
            self._note_told(outcome.number, now if heard or not now else _UNHEARD + now)

    def _told(self) -> str:
        """How the job fared when somebody was last told; a run that the database knows nothing of has left it in a file."""
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(OSError):
            if self._mark.exists():
                return self._mark.read_text(encoding="utf-8")
        with suppress(AuraError, SQLAlchemyError), reading(self.at.engine) as connection:
            return history.told(connection, self.job.name)
        return ""

    def _note_told(self, run: int, state: str) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(OSError, AuraError, SQLAlchemyError):  # then it is told once more
            if not run:
                self._mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._mark.write_text(state, encoding="utf-8")
                return
            with writing(self.at.engine) as connection:
                history.note_told(connection, run, state)
            self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.at.settings.home / _MARKS / f"{self.job.name}.failed"

    def _carry_notices(self) -> None:
        """What rooms asked to be told meanwhile goes along; what does not get there is tried again by a later run, or a listener."""
        from aura_cli.cron.notices import Notices
        from aura_cli.outbox.carrying import Carrier

        if notices := Notices.of(self.at.settings):
            try:
                carried = Carrier(self.at.engine, notices, reporter=self.at.reporter).once(self.how.stop)
            except Exception as error:  # noqa: BLE001 (the job has been done)
                self.at.console.warn(f"The alerts that wait could not be sent: {type(error).__name__}")
                return
            for trouble in {one.error for one in carried if one.error}:
                self.at.console.warn(trouble)

    def _alert_of(self, subject: str, lines: Iterator[str] | list[str] | tuple[str, ...], key: str) -> Alert:
        environment = self.at.settings.environment or "production"
        where = f"On {socket.gethostname()}; all jobs: aura cron list"
        said = [_COMMAND.sub(lambda found: self.at.pasted(found[0]), line) for line in (*lines, where)]
        told = [self.at.console.redact(line) for line in said]
        first, _, _ = self.at.console.redact(subject).partition("\n")  # a mail's subject is a line
        return Alert(f"aura ({environment}): {first}"[:250], told, f"aura-alert/{self.job.name}/{key}")

    def _alert(self, alert: Alert) -> bool:
        """Whether somebody has it, or nobody is to have it: who has it is not told twice for one that could not be reached."""
        troubles = send(self.at.settings, alert)
        for trouble in troubles:
            self.at.console.warn(trouble)
        return not troubles or len(troubles) < len(recipients(self.at.settings))


def state(exit_code: int, error: str | None) -> str:
    """How a job fares, so that the same is told once: what changes from run to run (numbers, ids) is left out. Empty: well."""
    about = _NUMBER.sub(r"#\1", _SPAN.sub("#", _VARIES.sub("", error or "")))
    return f"{exit_code} {about}" if exit_code else ""


def _subject(ran: Ran) -> str:
    match ran.exit_code:
        case 0:
            return f"{ran.job} is well again"
        case 3:
            return f"{ran.job} needs attention: {ran.error}"
    return f"{ran.job} failed: {ran.error}"


def _lines(ran: Ran, outcome: Outcome) -> Iterator[str]:
    yield from (ran.error or "").splitlines()[1:]  # the first stands in the subject, which has one line
    yield from filter(None, (ran.hint,))
    counted = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in ran.counts.items() if number)
    yield f"Exit {ran.exit_code} after {ran.duration_s:.1f} s, begun at {ran.started_at:%Y-%m-%d %H:%M:%S} UTC"
    yield from filter(None, (counted,))
    yield from (f"  {step.job}: exit {step.exit_code}{f', {step.error}' if step.error else ''}" for step in ran.steps)
    if outcome.before:
        yield f"Before: {_fared(outcome.before)}."


def _fared(run: Run) -> str:
    when = f"{run.finished_at:%Y-%m-%d %H:%M} UTC" if run.finished_at else "unknown"
    return f"exit {run.exit_code} at {when}{f', {run.error}' if run.error else ''}"
