"""A scheduler whose jobs each have surroundings of their own, and tell of trouble in the log of the process that they share."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from aura_cli.cron.conducting import Conductor
from aura_cli.cron.jobs import SINGLE, Job
from aura_cli.cron.running import AtWork, How
from aura_cli.cron.scheduler import Scheduler
from aura_cli.cron.work import Surroundings
from aura_cli.errors import AuraError
from aura_cli.settings import Settings

_FRESH_SECONDS = 120.0  # between two of a job's minutes are five of them
Open = Callable[[], AbstractContextManager[Surroundings]]


def beside(settings: Settings, surroundings: Open, clock: Callable[[], datetime]) -> Scheduler:
    """Of the jobs those that are configured; what `surroundings` gives is opened and closed with each run."""

    def start(job: Job, stop: threading.Event) -> None:
        with surroundings() as at:
            try:
                outcome = Conductor(job, at, How(stop=stop, fresh=_FRESH_SECONDS)).run()
            except AtWork:  # another of several such processes has it
                return
            except AuraError as error:  # settings that cannot be read
                at.console.warn(f"The job {job.name} could not begin: {error.message}")
                return
            if outcome.ran.error and outcome.trouble:
                at.console.warn(f"The job {job.name} ended with exit {outcome.ran.exit_code}: {outcome.ran.error}")

    return Scheduler([job for job in SINGLE if all(settings.secret(name) for name in job.needs)], start, clock)
