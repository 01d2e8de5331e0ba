"""The jobs: a table of what there is, when it is due, and what does it."""

from collections.abc import Mapping
from dataclasses import dataclass

from aura_cli.cron import work
from aura_cli.cron.schedule import Schedule
from aura_cli.cron.work import Work
from aura_cli.errors import NotFoundError
from aura_cli.words import meant


@dataclass(frozen=True)
class Job:
    """One job. It may take `minutes`; `by_hand` is the command that shows what it would do.

    It cannot begin without the settings it `needs`, nor while somebody holds one of `leases` to do the same by hand. The count called
    `steady` never falls to nothing by itself. What it `spools` must outlast it on a disk. `steps`: the jobs that it does in turn.
    """

    name: str
    about: str
    schedule: Schedule
    minutes: int
    by_hand: str
    work: Work | None = None
    needs: tuple[str, ...] = ()
    leases: tuple[str, ...] = ()
    steady: str | None = None
    spools: bool = False
    steps: tuple[str, ...] = ()

    @property
    def is_rare(self) -> bool:
        """Whether one that was slept through is worth making up for."""
        return self.schedule.hour != "*"

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return self.minutes * 60.0


_PRIVY = ("NEXT_PUBLIC_PRIVY_APP_ID", "PRIVY_APP_SECRET")
_STRIPE = ("STRIPE_SECRET_KEY",)
_ALL = (
    Job(
        "users-sync",
        "Bring everybody from Privy.",
        Schedule("7"),
        50,
        "aura users sync -n",
        work.users_sync,
        _PRIVY,
        ("users sync",),
        "scanned",
    ),
    Job(
        "reconcile",
        "Compare Stripe with the database, and repair it.",
        Schedule("17", "*/6"),
        180,
        "aura subscriptions reconcile",
        work.reconcile,
        _STRIPE,
        ("reconcile",),
        "remote",
    ),
    Job(
        "refresh-tokens",
        "Renew the connections that end soon.",
        Schedule("*/5"),
        15,
        "aura integrations refresh -n",
        work.refresh_tokens,
        ("INTEGRATION_ENCRYPTION_KEY",),
        steady="connections",
        spools=True,
    ),
    Job(
        "retry-emails",
        "Send the mails that wait.",
        Schedule("4,14,24,34,44,54"),
        15,
        "aura email retry --due -n",
        work.retry_emails,
        ("RESEND_API_KEY",),
    ),
    Job(
        "backfill-webhooks",
        "Fetch the events that no webhook brought.",
        Schedule("12,27,42,57"),
        30,
        "aura webhooks backfill -n",
        work.backfill_webhooks,
        _STRIPE,
        ("webhooks backfill",),
    ),
    Job("prune", "Delete what is old and settled.", Schedule("43", "3"), 60, "aura webhooks prune", work.prune),
    Job("doctor", "Look at every system.", Schedule("9,39"), 5, "aura doctor", work.doctor),
)
_MAINTENANCE = Job(
    "maintenance",
    "All of them, one after the other.",
    Schedule("21", "2"),
    360,
    "aura cron list",
    spools=True,
    steps=tuple(job.name for job in _ALL),
)
JOBS: Mapping[str, Job] = {job.name: job for job in (*_ALL, _MAINTENANCE)}
SINGLE = tuple(job for job in JOBS.values() if not job.steps)  # what a schedule of one's own is made of


def find(name: str) -> Job:
    """The job of that name. Raises NotFoundError, naming those that there are, or the one that was meant."""
    if name in JOBS:
        return JOBS[name]
    raise NotFoundError(f"No such job: {name[:40]}", meant(name, JOBS))
