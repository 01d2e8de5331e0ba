"""A scheduler whose jobs each have surroundings of their own, and tell of trouble in the log of the process that they share."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from aura_cli.cron.conducting import Conductor
from aura_cli.cron.jobs import SINGLE, Job
from aura_cli.cron.running import AtWork, How
from aura_cli.cron.scheduler import Scheduler
from aura_cli.cron.work import Surroundings
from aura_cli.errors import AuraError
from aura_cli.settings import Settings

_SKEW = timedelta(minutes=2)  # between the database's clock, by which runs begin, and ours
Open = Callable[[], AbstractContextManager[Surroundings]]


def beside(settings: Settings, surroundings: Open, clock: Callable[[], datetime]) -> Scheduler:
    """Of the jobs those that are configured; what `surroundings` gives is opened and closed with each run."""

    def start(job: Job, minute: datetime, stop: threading.Event) -> None:
        with surroundings() as at:
            try:
                outcome = Conductor(job, at, How(stop=stop, since=minute - _SKEW)).run()
            except AtWork:  # another of several such processes has it
                return
            except AuraError as error:  # settings that cannot be read
                at.console.warn(f"The job {job.name} could not begin: {error.message}")
                return
            if outcome.ran.error and outcome.trouble:
                at.console.warn(f"The job {job.name} ended with exit {outcome.ran.exit_code}: {outcome.ran.error}")

    return Scheduler([job for job in SINGLE if all(settings.secret(name) for name in job.needs)], start, clock)
